"""What a blocking call costs: one thread's calls beside the same awaited directly, and what 32 threads get done."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final

import insession
import insession.blocking
from insession.blocking import BlockingEngine
from insession.kernel.engine import Engine

from .measuring import Figure, Run
from .reporting import main

QUESTION = "Blocking calls: cost beside the direct async call, and calls a second of many threads"
CALLS: Final = 2_000
THREADS: Final = 32
Verb = Callable[[Engine, str], Coroutine[Any, Any, object]]


async def _empty(_: Engine, __: str) -> None:
    """What a call costs that asks for nothing."""


async def _get(engine: Engine, session_id: str) -> object:
    return await engine.get(session_id)


async def _update(engine: Engine, session_id: str) -> object:
    return await engine.update(session_id, {"step": 1})


VERBS: Final[dict[str, Verb]] = {"empty": _empty, "get": _get, "update": _update}


async def _direct(url: str, verb: Verb, calls: int) -> float:
    """Microseconds of a call that is awaited: the median, because a call may lose its processor."""
    async with insession.connect(url) as engine:
        session_id = (await engine.open(data={"step": 0})).id
        times = []
        for _ in range(calls):
            begin = time.perf_counter()
            await verb(engine, session_id)
            times.append(time.perf_counter() - begin)
        return statistics.median(times) * 1e6


def _blocking(url: str, verb: Verb, calls: int) -> float:
    """Microseconds of the same call of one thread."""
    with insession.blocking.connect(url) as engine:
        session_id = engine.open(data={"step": 0}).id
        times = []
        for _ in range(calls):
            begin = time.perf_counter()
            engine.ask(lambda inside: verb(inside, session_id))
            times.append(time.perf_counter() - begin)
        return statistics.median(times) * 1e6


def _of_threads(url: str, calls: int) -> float:
    """Gets and updates a second of 32 threads, each with a session of its own."""

    def work(engine: BlockingEngine, session_id: str) -> None:
        for number in range(calls // THREADS):
            if number % 2:
                engine.get(session_id)
            else:
                engine.update(session_id, {"step": number})

    with insession.blocking.connect(url) as engine:
        ids = [engine.open(data={"step": 0}).id for _ in range(THREADS)]
        threads = [threading.Thread(target=work, args=(engine, session_id)) for session_id in ids]
        begin = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return calls // THREADS * THREADS / (time.perf_counter() - begin)


def _flag(calls: int) -> float:
    """Nanoseconds of a look at ``session.interrupted``."""
    with insession.blocking.connect("memory:") as engine:
        session = engine.open()
        begin = time.perf_counter()
        for _ in range(calls):
            session.interrupted  # noqa: B018 - the reading is what is measured
        return (time.perf_counter() - begin) / calls * 1e9


def _beside(name: str, url: str, run: Run) -> list[Figure]:
    figures = []
    for said, verb in VERBS.items():
        direct, blocking = list[float](), list[float]()
        for _ in range(run.rounds):
            direct.append(asyncio.run(_direct(url, verb, run.count(CALLS))))
            blocking.append(_blocking(url, verb, run.count(CALLS)))
        more = [ours - theirs for ours, theirs in zip(blocking, direct, strict=True)]
        figures += [
            Figure(name=f"{said} on {name}, awaited", unit="µs", values=direct),
            Figure(name=f"{said} on {name}, blocking", unit="µs", values=blocking),
            Figure(name=f"{said} on {name}: blocking costs more by", unit="µs", values=more),
        ]
    many = [_of_threads(url, run.count(10 * CALLS)) for _ in range(run.rounds)]
    return [*figures, Figure(name=f"{THREADS} threads on {name}, get and update", unit="calls/s", values=many)]


def measure(run: Run) -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        figures = [
            *_beside("memory", "memory:", run),
            *_beside("SQLite", f"sqlite:///{Path(folder) / 'blocking.db'}", run),
        ]
    flag = [_flag(run.count(1_000_000)) for _ in range(run.rounds)]
    return [*figures, Figure(name="a look at the flag", unit="ns", values=flag, bar=1_000.0, scale=run.scale)]


if __name__ == "__main__":
    raise SystemExit(main([("blocking_cost", QUESTION, measure)]))

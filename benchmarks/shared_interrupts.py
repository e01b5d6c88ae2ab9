"""Interrupt in one process, task cancelled in another, over Valkey and PostgreSQL, beside a bare change."""

from __future__ import annotations

import asyncio
import random
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import redis.asyncio

import insession

from .measuring import SEED, TIMES, Figure, Run
from .reporting import main
from .servers import bare, running_postgres, running_valkey
from .shared_phases import VALUE, Counted
from .shared_worker import CHANNEL, NAMESPACE

QUESTION = (
    "Interrupt across two processes on Valkey and PostgreSQL: call to cancelled task, beside a bare change's signal"
)
EACH_ROUND: Final = 120
LIMIT: Final = 60.0
_BARE_UPDATE: Final = (
    "WITH changed AS (UPDATE bare SET data = $3 WHERE id = 1 RETURNING 1) SELECT pg_notify($1, $2) FROM changed"
)
Change = Callable[[str], Awaitable[object]]
Delays = dict[str, list[float]]


@asynccontextmanager
async def worker(*words: str) -> AsyncIterator[tuple[asyncio.StreamReader, list[str]]]:
    """Another process, and what it printed before it was ready."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.shared_worker", *words, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        said = list[str]()
        async with asyncio.timeout(LIMIT):
            while (line := (await process.stdout.readline()).decode().strip()) != "ready":
                assert line, "the worker has died"
                said.append(line)
        yield process.stdout, said
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _arrived(lines: asyncio.StreamReader, called: dict[str, int]) -> dict[str, float]:
    """Milliseconds from each call to its arrival."""
    delays = dict[str, float]()
    async with asyncio.timeout(LIMIT):
        while len(delays) < len(called):
            name, stamp = (await lines.readline()).decode().split()
            assert name not in delays
            delays[name] = (int(stamp) - called[name]) / 1e6
    return delays


async def _delays(run: Run, url: str, listener: tuple[str, str], change: Change) -> tuple[Delays, Delays]:
    """Of our interrupts and of the bare changes, in turn; by round."""
    chance, ours, theirs = random.Random(SEED), dict[str, int](), dict[str, int]()
    number = run.count(EACH_ROUND) * run.rounds
    async with (
        worker("work", url, str(number)) as (cancelled, ids),
        worker(*listener, "") as (heard, _),
        insession.connect(Counted(url, NAMESPACE)) as engine,
    ):

        async def call(name: str, calls: dict[str, int], send: Change) -> None:
            # So that the calls do not fall into step with anything.
            await asyncio.sleep(chance.uniform(0.005, 0.02))
            calls[name] = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
            await send(name)

        for place, session_id in enumerate(ids):
            await call(session_id, ours, lambda one: engine.interrupt(one, "measured"))
            await call(str(place), theirs, change)
        assert len(ids) == number
        return _rounds(run, await _arrived(cancelled, ours), ids), _rounds(run, await _arrived(heard, theirs), theirs)


def _rounds(run: Run, delays: dict[str, float], names: Any) -> Delays:
    """In the order in which they were called."""
    called = [delays[name] for name in names]
    each = len(called) // run.rounds
    return {"all": sorted(called)} | {str(n): called[n * each : (n + 1) * each] for n in range(run.rounds)}


async def _on_valkey(run: Run, fsync: str) -> list[Figure]:
    with running_valkey("--appendonly", "yes", "--appendfsync", fsync) as server:
        client = redis.asyncio.Redis(port=server.port, password=server.password)

        async def change(name: str) -> None:
            pipeline = client.pipeline(transaction=False)
            pipeline.set("bare", VALUE)
            pipeline.publish(CHANNEL, name)
            assert await pipeline.execute() == [True, 1]

        try:
            delays = await _delays(run, server.url, ("hear_valkey", server.url), change)
        finally:
            await client.aclose()
    return _figures(run, f"Valkey, appendfsync {fsync}", *delays, "SET + PUBLISH")


async def _on_postgres(run: Run) -> list[Figure]:
    with running_postgres() as server:
        connection = await bare(server)
        await connection.execute("CREATE TABLE bare (id integer PRIMARY KEY, data bytea)")
        await connection.execute("INSERT INTO bare VALUES (1, '')")

        async def change(name: str) -> None:
            assert await connection.execute(_BARE_UPDATE, CHANNEL, name, VALUE) == "SELECT 1"

        try:
            delays = await _delays(run, server.url(), ("hear_postgres", str(server.folder)), change)
        finally:
            await connection.close()
    return _figures(run, "PostgreSQL", *delays, "UPDATE + NOTIFY")


def _figures(run: Run, name: str, ours: Delays, theirs: Delays, beside: str) -> list[Figure]:
    turns = [str(n) for n in range(run.rounds)]
    mine, other = [[statistics.median(delays[turn]) for turn in turns] for delays in (ours, theirs)]
    ratios = [one / two for one, two in zip(mine, other, strict=True)]
    everyone, late = ours["all"], [delays["all"][int(len(delays["all"]) * 0.99)] for delays in (ours, theirs)]
    note = f"{len(everyone)} interrupts, longest {everyone[-1]:.1f} ms; the bare change's p99 {late[1]:.1f} ms"
    return [
        Figure(name=f"{name}: p50", unit="ms", values=mine),
        Figure(name=f"{name}: p50 of a bare {beside}", unit="ms", values=other),
        Figure(name=f"{name}: p50 ÷ that of the bare change", unit=TIMES, values=ratios, bar=3.0),
        Figure(name=f"{name}: p99", unit="ms", values=[late[0]], bar=25.0, scale=run.scale, note=note),
    ]


async def _measured(run: Run) -> list[Figure]:
    figures = []
    for fsync in ("everysec", "always"):
        figures += await _on_valkey(run, fsync)
    return figures + await _on_postgres(run)


def measure(run: Run) -> list[Figure]:
    return asyncio.run(_measured(run))


if __name__ == "__main__":
    raise SystemExit(main([("shared_interrupts", QUESTION, measure)]))

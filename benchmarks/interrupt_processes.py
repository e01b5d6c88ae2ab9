"""How long an interrupt takes from one process's call to the other process's cancelled task."""

from __future__ import annotations

import asyncio
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import insession

from .measuring import SEED, Figure, Run
from .reporting import main

QUESTION = "Interrupt across two processes on one SQLite file: call to cancelled task"
NUMBER = 300
LIMIT = 60.0


@asynccontextmanager
async def worker(role: str, url: str, number: int) -> AsyncIterator[asyncio.StreamReader]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.interrupt_worker", role, url, str(number), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        yield process.stdout
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _ready(lines: asyncio.StreamReader) -> list[str]:
    """Everything that was printed before ``ready``."""
    ids = list[str]()
    async with asyncio.timeout(LIMIT):
        while (line := (await lines.readline()).decode().strip()) != "ready":
            assert line, "the worker has died"
            ids.append(line)
    return ids


async def _delays(url: str, number: int) -> list[float]:
    """Milliseconds, one for each interrupt."""
    chance = random.Random(SEED)
    async with worker("work", url, number) as lines, insession.connect(url) as engine:
        ids = await _ready(lines)
        called: dict[str, int] = {}
        for session_id in ids:
            # So that the calls do not fall into step with anything.
            await asyncio.sleep(chance.uniform(0.005, 0.03))
            called[session_id] = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
            await engine.interrupt(session_id, "measured")
        delays = []
        async with asyncio.timeout(LIMIT):
            for _ in ids:
                session_id, cancelled = (await lines.readline()).decode().split()
                delays.append((int(cancelled) - called[session_id]) / 1e6)
    return delays


async def _delays_under_load(url: str, number: int) -> list[float]:
    async with worker("load", url, 0) as lines:
        await _ready(lines)
        return await _delays(url, number)


async def _measured(run: Run) -> list[Figure]:
    number = run.count(NUMBER)
    figures = []
    for mode in ("normal", "full"):
        for loaded in (False, True):
            with tempfile.TemporaryDirectory() as folder:
                url = f"sqlite:///{Path(folder) / 'sessions.db'}?synchronous={mode}"
                delays = await (_delays_under_load if loaded else _delays)(url, number)
            figures += _figures(run, mode, loaded, sorted(delays))
    return figures


def _figures(run: Run, mode: str, loaded: bool, delays: list[float]) -> list[Figure]:
    name = f"{mode.upper()}{', a third process writing without a pause' if loaded else ''}"
    middle, late = delays[len(delays) // 2], delays[int(len(delays) * 0.99)]
    note = f"{len(delays)} interrupts, longest {delays[-1]:.1f} ms"
    bar = None if loaded else 25.0
    return [
        Figure(name=f"{name}: p50", unit="ms", values=[middle]),
        Figure(name=f"{name}: p99", unit="ms", values=[late], bar=bar, scale=run.scale, note=note),
    ]


def measure(run: Run) -> list[Figure]:
    return asyncio.run(_measured(run))


if __name__ == "__main__":
    raise SystemExit(main([("interrupt_processes", QUESTION, measure)]))

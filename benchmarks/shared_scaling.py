"""How much 1, 2 and 4 processes of 32 callers do over one Valkey and one PostgreSQL, and what the server pays."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import insession

from .measuring import Figure, Run
from .reporting import main
from .servers import bare, cpu_seconds, running_postgres, running_valkey, slow_flush
from .shared_phases import DEVICE, VERBS, Counted
from .shared_worker import CALLERS, NAMESPACE

QUESTION = (
    "Valkey and PostgreSQL: operations a second of 1, 2 and 4 processes of 32 callers each, with the server's CPU"
)
PROCESSES: Final = (1, 2, 4)
SECONDS: Final = 2.0
ROUNDS: Final = 3
LIMIT: Final = 60.0
FLUSH: Final = 2_000
"""Microseconds."""


@asynccontextmanager
async def worker(url: str, seconds: float) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.shared_worker", "lives", url, str(seconds)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _line(process: asyncio.subprocess.Process) -> list[str]:
    assert process.stdout is not None
    async with asyncio.timeout(LIMIT):
        words = (await process.stdout.readline()).decode().split()
    assert words, "a worker has died"
    return words


@dataclass(slots=True)
class Measured:
    """Of so many processes, one value for each round."""

    rates: list[float] = field(default_factory=list)
    server: list[float] = field(default_factory=list)
    """Microseconds of the server's processor for each operation,"""
    client: list[float] = field(default_factory=list)
    """and of the callers'."""
    share: list[float] = field(default_factory=list)
    """Of a core, for the server."""


async def _together(url: str, pid: int, processes: int, seconds: float, into: Measured) -> int:
    """Let so many processes work at once; how many sessions they ended."""
    async with AsyncExitStack() as stack:
        workers = [await stack.enter_async_context(worker(url, seconds)) for _ in range(processes)]
        ended = sum([int((await _line(one))[0]) for one in workers])
        before = cpu_seconds(pid)
        for one in workers:
            assert one.stdin is not None
            one.stdin.write(b"go\n")
        said = [list(map(float, await _line(one))) for one in workers]
        server = cpu_seconds(pid) - before
        for one in workers:
            assert one.stdin is not None
            one.stdin.write(b"go\n")
        for one in workers:
            await one.wait()
    operations, longest = sum(words[1] for words in said), max(words[2] for words in said)
    into.rates.append(operations / longest)
    into.server.append(server / operations * 1e6)
    into.client.append(sum(words[3] for words in said) / operations * 1e6)
    into.share.append(server / longest * 100)
    return ended + int(sum(words[0] for words in said))


async def _all(run: Run, url: str, pid: int) -> dict[int, Measured]:
    found = {processes: Measured() for processes in PROCESSES}
    ended = 0
    async with insession.connect(Counted(url, NAMESPACE), kinds=[DEVICE]) as engine:
        before = await engine.count(kind="device", state="closed")
        for _ in range(min(run.rounds, ROUNDS)):
            for processes, into in found.items():
                ended += await _together(url, pid, processes, SECONDS / 4 if run.quick else SECONDS, into)
        assert await engine.count(kind="device") == 0
        assert await engine.count(kind="device", state="closed") - before == ended
    return found


async def _measured(run: Run) -> list[Figure]:
    with running_valkey() as server:
        assert server.process is not None
        figures = _figures("Valkey", await _all(run, server.url, server.process.pid))
    with running_postgres() as database:
        connection = await bare(database)
        figures += _figures("PostgreSQL", await _all(run, database.url(), database.pid))
        await slow_flush(connection, FLUSH)
        figures += _figures("PostgreSQL, 2 ms a flush", await _all(run, database.url(), database.pid))
        await connection.close()
    return figures


def _figures(name: str, found: dict[int, Measured]) -> list[Figure]:
    figures = []
    for processes, measured in found.items():
        middle = Figure(name="", unit="", values=measured.server).median
        share, client = (
            sorted(measured.share)[len(measured.share) // 2],
            Figure(name="", unit="", values=measured.client),
        )
        note = f"server {middle:.0f} µs of CPU an operation ({share:.0f} % of a core), callers {client.median:.0f} µs"
        if name == "Valkey":
            masters = ", ".join(f"{count}: {count * 1e6 / middle:,.0f}/s" for count in (1, 2, 3))
            note += f"; computed, a core each: masters {masters}"
        each = "1 process" if processes == 1 else f"{processes} processes"
        figures.append(Figure(name=f"{name}: {each} of {CALLERS} callers", unit="/s", values=measured.rates, note=note))
    return figures


def measure(run: Run) -> list[Figure]:
    """Of lives: open, load, update, touch and end, once each."""
    assert len(VERBS) == 5
    return asyncio.run(_measured(run))


if __name__ == "__main__":
    raise SystemExit(main([("shared_scaling", QUESTION, measure)]))

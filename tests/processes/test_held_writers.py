"""A writer that is held up in the middle of its batch, while others commit: no reader's cursor passes its events."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest

import insession
from insession.testing.clock import ManualClock
from tests.servers.postgres import fresh_schema, shared_server

from .checking import check_positions, whole_log
from .running import DEADLINE
from .test_reading import read_while_others_write

OTHERS = 50
_ACTIVE = (
    "SELECT pid FROM pg_stat_activity WHERE state = 'active' AND backend_type = 'client backend' "
    "AND pid <> pg_backend_pid() AND query LIKE '%.apply\"(%' ORDER BY random() LIMIT 1"
)
_STUCK = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"


@pytest.fixture
def schema() -> str:
    return fresh_schema()


@asynccontextmanager
async def straight(url: str) -> AsyncGenerator[asyncpg.Connection[asyncpg.Record]]:
    """A connection of our own to the server of a URL."""
    (host,) = parse_qs(urlsplit(url).query)["host"]
    connection = await asyncpg.connect(host=host, user="insession", database="postgres")
    try:
        yield connection
    finally:
        await connection.close()


@pytest.mark.processes
async def test_a_batch_that_waits_for_a_row_comes_later_in_the_log(schema: str) -> None:
    url, clock = shared_server().url(schema), ManualClock()
    async with (
        straight(url) as blocker,
        insession.connect(url, clock=clock) as held,
        insession.connect(url, clock=clock) as free,
    ):
        session = await held.open(kind="call", owner="ann")
        # What an engine looks for at its start, which is alone in the store, is behind it then.
        await free.open(kind="call", owner="free")
        stream = free.events(after=insession.START)
        seen = [await anext(stream) for _ in range(2)]
        async with blocker.transaction():
            row = f'SELECT 1 FROM "{schema}"."default.sessions" WHERE id = $1 FOR UPDATE'  # noqa: S608 - our own name
            await blocker.execute(row, session.id)
            waiting = asyncio.gather(held.open(kind="call", owner="bob"), session.close())
            async with asyncio.timeout(DEADLINE):
                while not (stuck := await blocker.fetchval(_STUCK)):
                    assert stuck == 0
                for place in range(OTHERS):
                    await free.open(kind="call", owner=f"o{place}")
                seen += [await anext(stream) for _ in range(OTHERS)]
            assert not waiting.done()
        async with asyncio.timeout(DEADLINE):
            late, _ = await waiting
            seen += [await anext(stream) for _ in range(2)]
        assert [event.id for event in seen[-2:]] == [late.id, session.id]
        check_positions(seen)
        assert seen == await whole_log(free)


async def stop_backends(url: str, stops: list[int]) -> None:
    """Stop whoever writes, in the middle of its batch, for as long as it takes others to go on or be stuck."""
    async with straight(url) as connection:
        while True:
            pid = await connection.fetchval(_ACTIVE)
            if pid is None:
                await asyncio.sleep(0)
                continue
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
                try:
                    await asyncio.sleep(0.02)
                finally:
                    os.kill(pid, signal.SIGCONT)
                stops.append(pid)


async def read_beside_stopped_writers(url: str, callers: int, each: int) -> int:
    """6 processes write, and are stopped in the middle; how often."""
    stops: list[int] = []
    stopping = asyncio.create_task(stop_backends(url, stops))
    try:
        await read_while_others_write(url, callers, each, processes=6)
    finally:
        stopping.cancel()
        await asyncio.gather(stopping, return_exceptions=True)
    assert stops
    return len(stops)


@pytest.mark.processes
async def test_a_reader_misses_nothing_of_writers_that_are_stopped(schema: str) -> None:
    assert await read_beside_stopped_writers(shared_server().url(schema), callers=10, each=5) > 0

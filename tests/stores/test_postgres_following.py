"""What an engine over PostgreSQL reads of the log, and whom it tells: not its own answers, and nobody if alone."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest

import insession
from insession import Engine, Limit
from insession.kernel.events import ENDINGS
from tests.servers.postgres import fresh_schema, shared_server
from tests.servers.proxy import LOG, TELL, PostgresTrips, Proxy, proxied

KINDS = (
    insession.Kind("device", idle=600.0),
    insession.Kind("seat", idle=600.0, limits=(Limit(most=1, then="oldest"),)),
)
PATIENCE = 20.0


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not true():  # noqa: ASYNC110 - there is no event for what a handle has heard
            await asyncio.sleep(0.005)


@pytest.fixture
async def url() -> str:
    return shared_server().url(fresh_schema())


@pytest.fixture
async def counted() -> AsyncIterator[tuple[Proxy, str, str]]:
    """What is asked through one of two ways to the same schema."""
    server = shared_server()
    below = server.folder / fresh_schema()
    below.mkdir()
    way = f"{server.folder}/.s.PGSQL.5432"
    async with proxied(way, PostgresTrips, f"{below}/.s.PGSQL.5432") as (proxy, _):
        yield proxy, f"postgresql://insession@/postgres?host={below}&schema={below.name}", server.url(below.name)


async def test_own_endings_are_not_read_back_and_told_to_nobody(counted: tuple[Proxy, str, str]) -> None:
    proxy, here, there = counted
    async with insession.connect(here, kinds=KINDS) as engine:
        sessions = [await engine.open(kind="device") for _ in range(40)]
        watched = sessions[::2]
        assert not any(session.interrupted for session in watched)
        proxy.asked.clear()
        for session in sessions[:20]:
            await session.close()
        await asyncio.gather(*(session.close() for session in sessions[20:]))
        assert all(session.interrupted for session in watched)
        # The slow look may have come in between.
        assert proxy.asked[LOG] <= 2
        assert proxy.asked[TELL] == 0
        # What the answer does not tell is read: whom a limit sends away.
        first = await engine.open(kind="seat", owner="ann")
        assert not first.interrupted
        await engine.open(kind="seat", owner="ann")
        await until(lambda: first.interrupted)
        assert proxy.asked[TELL] == 0
        async with insession.connect(there, kinds=KINDS) as other:
            session = await other.open(kind="device")
            assert not session.interrupted
            await engine.interrupt(session.id)
            await until(lambda: session.interrupted)
            await until(lambda: proxy.asked[TELL] > 0)


async def test_nothing_of_others_is_passed(url: str) -> None:
    chance = random.Random(12)

    async def end(engine: Engine, ids: list[str]) -> None:
        for session_id in ids:
            await engine.close(session_id, "measured")
            if chance.random() < 0.2:
                await asyncio.sleep(0.001)

    async with AsyncExitStack() as stack:
        mine, other = [await stack.enter_async_context(insession.connect(url, kinds=KINDS)) for _ in range(2)]
        sessions = [await mine.open(kind="device") for _ in range(120)]
        assert not any(session.interrupted for session in sessions)
        stream = mine.events(types=ENDINGS)
        await stream.start()
        ids = [session.id for session in sessions]
        chance.shuffle(ids)
        await asyncio.gather(end(mine, ids[:60]), end(other, ids[60:90]), end(other, ids[90:]))
        await until(lambda: all(session.interrupted for session in sessions))
        assert {session.reason for session in sessions} == {"measured"}
        # Other readers get every ending.
        async with asyncio.timeout(PATIENCE):
            assert {(await anext(stream)).id for _ in ids} == set(ids)


async def test_who_is_left_behind_is_told_when_the_first_has_gone(url: str) -> None:
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(AsyncExitStack())
        await first.enter_async_context(insession.connect(url, kinds=KINDS))
        one, two = [await stack.enter_async_context(insession.connect(url, kinds=KINDS)) for _ in range(2)]
        await first.aclose()
        session = await one.open(kind="device")
        assert not session.interrupted
        await two.interrupt(session.id)
        await until(lambda: session.interrupted)

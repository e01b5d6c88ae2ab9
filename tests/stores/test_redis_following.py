"""What an engine over Redis reads of the log: not the endings of one id that it made, and all that others make."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

import insession
from insession import Engine, Interrupted, Limit
from insession.kernel.events import ENDINGS, FOLLOWED, START, EventType
from tests.servers import valkey
from tests.servers.proxy import LOG, RedisTrips, proxied

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
async def two(tmp_path: Path) -> AsyncIterator[tuple[Engine, Engine]]:
    """Two engines on one namespace, as in two processes."""
    server, namespace = valkey.shared(), valkey.namespace_of(tmp_path)
    async with AsyncExitStack() as stack:
        engines = [insession.connect(server.url, namespace=namespace, kinds=KINDS) for _ in range(2)]
        for engine in engines:
            await stack.enter_async_context(engine)
        yield engines[0], engines[1]


async def test_own_endings_are_not_read_back(tmp_path: Path) -> None:
    server, namespace = valkey.shared(), valkey.namespace_of(tmp_path)
    async with proxied(("127.0.0.1", server.port), RedisTrips) as (proxy, port):
        url = f"redis://:{server.password}@127.0.0.1:{port}/0"
        async with insession.connect(url, namespace=namespace, kinds=KINDS) as engine:
            sessions = [await engine.open(kind="device") for _ in range(20)]
            watched = sessions[::2]
            assert not any(session.interrupted for session in watched)
            proxy.asked.clear()
            for session in sessions:
                await session.close()
            assert all(session.interrupted for session in watched)
            assert proxy.asked[LOG] == 0
            # What the answer does not tell is read: whom a limit sends away.
            first = await engine.open(kind="seat", owner="ann")
            assert not first.interrupted
            await engine.open(kind="seat", owner="ann")
            await until(lambda: first.interrupted)
            assert proxy.asked[LOG] > 0


async def test_nothing_of_others_is_passed(two: tuple[Engine, Engine]) -> None:
    mine, other = two
    chance = random.Random(12)
    sessions = [await mine.open(kind="device") for _ in range(120)]
    assert not any(session.interrupted for session in sessions)

    async def end(engine: Engine, ids: list[str]) -> None:
        for session_id in ids:
            await engine.close(session_id, "measured")
            if chance.random() < 0.2:
                await asyncio.sleep(0.001)

    ids = [session.id for session in sessions]
    chance.shuffle(ids)
    await asyncio.gather(end(mine, ids[:60]), end(other, ids[60:90]), end(other, ids[90:]))
    await until(lambda: all(session.interrupted for session in sessions))
    assert {session.reason for session in sessions} == {"measured"}


async def test_work_is_stopped_by_an_ending_whose_caller_has_gone(two: tuple[Engine, Engine]) -> None:
    engine, _ = two
    session = await engine.open(kind="device")
    begun = asyncio.Event()

    async def work() -> None:
        async with session.running():
            begun.set()
            await asyncio.Event().wait()

    working = asyncio.create_task(work())
    await begun.wait()
    ending = asyncio.create_task(engine.interrupt(session.id, "gone"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    ending.cancel()
    async with asyncio.timeout(PATIENCE):
        with pytest.raises((Interrupted, asyncio.CancelledError)):
            await ending
        if (await engine.get(session.id)).record.live:
            await engine.interrupt(session.id, "gone")  # it was cancelled before it left
        with pytest.raises(Interrupted):
            await working


async def test_other_readers_get_every_ending(two: tuple[Engine, Engine]) -> None:
    engine, _ = two
    stream = engine.events(types=ENDINGS)
    await stream.start()
    sessions = [await engine.open(kind="device") for _ in range(5)]
    for session in sessions:
        await session.close()
    async with asyncio.timeout(PATIENCE):
        assert [(await anext(stream)).id for _ in sessions] == [session.id for session in sessions]
    page = await engine.store.events(START, 100, FOLLOWED)
    assert [event.type for event in page.events] == [EventType.CLOSED] * 5

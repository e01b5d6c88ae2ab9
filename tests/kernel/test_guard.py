"""Guarded streams: the interrupt is raised at the next step, never inside the consumer."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from insession import Engine, Interrupted, Session, SessionEnded, StoreUnavailable
from insession.testing.clock import settle
from insession.testing.faulty import FaultyStore

from .jobs import Source


async def _read_all(session: Session, source: AsyncIterator[int], seen: list[int]) -> None:
    async for number in session.guard(source):
        seen += [number]


async def test_a_stream_passes(engine: Engine) -> None:
    session = await engine.open()

    async def numbers() -> AsyncIterator[int]:
        for number in range(3):
            yield number

    assert [number async for number in session.guard(numbers())] == [0, 1, 2]
    assert engine._following._works == {}


async def test_a_step_that_waits_is_cancelled(engine: Engine, other: Engine) -> None:
    session = await engine.open()
    source, seen = Source([1, 2]), list[int]()
    reading = asyncio.create_task(_read_all(session, source, seen))
    await settle()
    await other.interrupt(session.id, "enough")
    with pytest.raises(Interrupted) as raised:
        await reading
    assert raised.value.reason == "enough"
    assert (seen, source.cancelled, source.closed) == ([1, 2], True, True)
    await settle()
    assert (await engine.get(session.id)).stopped == "cancelled"


async def test_the_consumer_is_never_cancelled(engine: Engine, other: Engine) -> None:
    session = await engine.open()
    source, seen = Source([1, 2, 3]), list[int]()
    with pytest.raises(Interrupted):
        async for number in session.guard(source):
            await other.interrupt(session.id)
            await settle(50)  # nothing is cancelled here
            seen.append(number)
    assert (seen, source.cancelled, source.closed) == ([1], False, True)


async def test_closing_it_while_consuming_raises_at_the_next_step(engine: Engine) -> None:
    session = await engine.open()
    seen = []
    with pytest.raises(SessionEnded):
        async for number in session.guard(Source([1, 2, 3])):
            await session.close()
            await settle()
            seen.append(number)
    assert seen == [1]


async def test_break_drops_the_stream(engine: Engine) -> None:
    session = await engine.open()
    async for _ in session.guard(Source([1, 2])):
        break
    gc.collect()
    await settle()
    assert engine._following._works == {}
    await session.interrupt()
    await settle()
    assert (await engine.get(session.id)).stopped is None


async def test_closing_the_guard_closes_the_source(engine: Engine) -> None:
    session, source = await engine.open(), Source([1, 2])
    async with aclosing(session.guard(source)) as stream:  # type: ignore[type-var]
        assert await anext(stream) == 1
    assert source.closed
    assert engine._following._works == {}


async def test_a_source_that_raises_is_closed_and_heard(engine: Engine) -> None:
    session, source = await engine.open(), Source([1, -1])
    with pytest.raises(ConnectionError):
        await _read_all(session, source, [])
    assert source.closed
    assert engine._following._works == {}


async def test_an_ended_session_begins_no_stream(engine: Engine, other: Engine) -> None:
    session, source = await engine.open(), Source([1])
    await other.interrupt(session.id)
    with pytest.raises(Interrupted):
        await anext(session.guard(source))
    assert source.closed
    assert source.queue.qsize() == 1


async def test_a_stream_that_could_not_begin_is_guarded_when_it_does(shaky: Engine, faulty: FaultyStore) -> None:
    session, source = await shaky.open(), Source([1])
    assert not session.interrupted
    await settle()
    stream = session.guard(source)
    faulty.down = True
    with pytest.raises(StoreUnavailable):
        await anext(stream)
    faulty.down = False
    assert await anext(stream) == 1
    step = asyncio.ensure_future(anext(stream))
    await settle()
    await shaky.interrupt(session.id)
    with pytest.raises(Interrupted):
        await step


async def test_a_cancelled_consumer_takes_the_stream_along(engine: Engine) -> None:
    session, source = await engine.open(), Source()
    reading = asyncio.create_task(_read_all(session, source, []))
    await settle()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert source.cancelled
    assert engine._following._works == {}

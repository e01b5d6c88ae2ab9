"""The event stream: from a cursor, from the start, from now; nothing is missed, and what is gone is said."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from insession import START, CursorTrimmed, Engine, Event, InvalidInput
from insession.kernel.streams import EventStream
from insession.stores.memory import MemoryStore
from insession.testing.clock import ManualClock, settle


async def _take(stream: EventStream, number: int) -> list[Event]:
    async with asyncio.timeout(5.0):
        return [await anext(stream) for _ in range(number)]


async def test_an_event_says_what_happened(engine: Engine, clock: ManualClock) -> None:
    stream = engine.events(after=START)
    session = await engine.open(kind="chat", owner="ann", data="not in the event")
    await session.interrupt("enough")
    opened, interrupted = await _take(stream, 2)
    assert (opened.type, opened.id, opened.kind, opened.owner) == ("opened", session.id, "chat", "ann")
    assert (interrupted.type, interrupted.reason, interrupted.version) == ("interrupted", "enough", session.version)
    assert (interrupted.time, interrupted.node) == (clock.now(), engine.name)
    assert interrupted.position > opened.position
    assert "not in the event" not in repr(opened)


async def test_from_now_on(engine: Engine) -> None:
    await engine.open()
    stream = engine.events()
    await stream.start()
    session = await engine.open()
    assert [event.id for event in await _take(stream, 1)] == [session.id]


async def test_a_reader_waits_for_what_comes(engine: Engine, other: Engine) -> None:
    stream = engine.events()
    reading = asyncio.create_task(_take(stream, 2))
    await settle()
    first = await other.open()
    await settle()
    assert not reading.done()
    await other.close(first.id)
    assert [event.type for event in await reading] == ["opened", "closed"]


async def test_a_reader_goes_on_from_its_cursor_without_loss(engine: Engine, other: Engine) -> None:
    sessions = [await engine.open() for _ in range(25)]
    seen: list[str] = []
    cursor: str | None = START
    for _ in range(5):
        stream = other.events(after=cursor)
        seen += [event.id for event in await _take(stream, 5)]
        cursor = stream.cursor
    assert seen == [session.id for session in sessions]


async def test_nothing_is_missed_while_others_write(engine: Engine, other: Engine) -> None:
    async def write(one: Engine) -> None:
        for _ in range(100):
            session = await one.open()
            await asyncio.sleep(0)
            await session.close()

    async def read() -> list[tuple[str, str]]:
        events: list[tuple[str, str]] = []
        cursor: str | None = START
        while len(events) < 800:  # a new reader for every 37 events
            stream = other.events(after=cursor)
            page = await _take(stream, min(37, 800 - len(events)))
            events += [(event.id, event.type) for event in page]
            cursor = stream.cursor
        return events

    reading = asyncio.create_task(read())
    await asyncio.gather(*(write(one) for one in (engine, other) * 2))
    events = await reading
    assert len(set(events)) == 800
    for session_id in {session_id for session_id, _ in events}:
        assert [name for one, name in events if one == session_id] == ["opened", "closed"]


async def test_only_some_types(engine: Engine) -> None:
    stream = engine.events(after=START, types=["closed", "updated"])
    session = await engine.open()
    await session.update(1)
    await session.update(2, event=True)
    await session.close()
    assert [event.type for event in await _take(stream, 2)] == ["updated", "closed"]
    resumed = engine.events(after=stream.cursor)
    await engine.open()
    assert [event.type for event in await _take(resumed, 1)] == ["opened"]


async def test_a_trimmed_cursor_says_so_and_carries_where_to_go_on(clock: ManualClock) -> None:
    async with Engine(MemoryStore(clock=clock, retention=10), clock=clock) as engine:
        stream = engine.events()
        await stream.start()
        sessions = [await engine.open() for _ in range(25)]
        with pytest.raises(CursorTrimmed) as raised:
            await anext(stream)
        assert raised.value.cursor == stream.cursor
        kept = [event.id for event in await _take(engine.events(after=START), 15)]
        assert kept == [session.id for session in sessions][-15:]
        assert [event.id for event in await _take(stream, 15)] == kept
        again = engine.events(after=raised.value.cursor)
        assert [event.id for event in await _take(again, 15)] == kept


async def test_a_cursor_of_another_store_is_trimmed(engine: Engine, clock: ManualClock) -> None:
    async with Engine(MemoryStore(clock=clock), clock=clock) as elsewhere:
        stream = elsewhere.events()
        await stream.start()
    with pytest.raises(CursorTrimmed):
        await anext(engine.events(after=stream.cursor))


@pytest.mark.parametrize(
    "cursor", ["", "x", "abc", "abc:", "abc:1,x", "abc:-1", ":1", "ä:1", "a\x00:1", 5, "a:" + "1" * 5000]
)
async def test_a_malformed_cursor_is_refused_at_once(engine: Engine, cursor: Any) -> None:
    for make in (engine.events, lambda after: engine.observe(print, after=after)):
        with pytest.raises(InvalidInput) as raised:
            make(after=cursor)
        assert raised.value.field == "cursor"


async def test_an_unknown_type_names_the_nearest(engine: Engine) -> None:
    with pytest.raises(InvalidInput, match="did you mean 'interrupted'") as raised:
        engine.events(types=["interupted"])
    assert raised.value.field == "types"


async def test_a_reader_that_is_cancelled_misses_nothing(engine: Engine) -> None:
    stream = engine.events()
    await stream.start()
    for _ in range(3):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await anext(stream)
    session = await engine.open()
    assert [event.id for event in await _take(stream, 1)] == [session.id]


async def test_history_is_of_one_session(engine: Engine, other: Engine) -> None:
    session = await engine.open()
    await engine.open()
    await other.interrupt(session.id, "enough")
    assert [(event.type, event.node) for event in await engine.history(session.id)] == [
        ("opened", engine.name),
        ("interrupted", other.name),
    ]

"""Reading the event log for somebody outside: each event with the cursor after it, gaps told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection

import msgspec

from insession.errors import CursorTrimmed
from insession.kernel.engine import Engine
from insession.kernel.events import Cursor, Event, EventType
from insession.kernel.streams import PAGE, EventStream

Types = Collection[EventType | str] | None


class Logged(msgspec.Struct, frozen=True):
    """An event and the cursor after it. Without an event: what came before this cursor has been trimmed away."""

    cursor: str
    event: Event | None = None


async def following(stream: EventStream) -> AsyncIterator[Logged]:
    """The log as it grows, for ever."""
    while True:
        logged = await next_of(stream)
        yield logged


async def next_of(stream: EventStream) -> Logged:
    """The next of a stream. Cancelled while it waits, it has taken nothing."""
    try:
        event = await anext(stream)
    except CursorTrimmed as gap:
        return Logged(gap.cursor)
    return Logged(stream.cursor or "", event)


async def to_the_end(engine: Engine, after: str | None, types: Types) -> AsyncIterator[Logged]:
    """The log as far as it goes now."""
    wanted = None if types is None else frozenset(map(EventType, types))
    more = True
    while more:
        page = await engine.store.events(after, PAGE, wanted)
        begin = Cursor.parse(page.begin)
        places = list(begin.positions)
        if page.trimmed:
            yield Logged(page.begin)
        for event in page.events:
            places[event.partition] = event.position
            yield Logged(str(Cursor(begin.epoch, tuple(places))), event)
        after, more = page.cursor, page.more


async def checked(engine: Engine, after: str | None, types: Types) -> EventStream:
    """A stream that begins now; `InvalidInput` for a cursor or a type that cannot be, before anything is sent."""
    stream = engine.events(after=after, types=types)
    if after is not None:
        await engine.store.events(after, 0, None)
    await stream.start()
    return stream

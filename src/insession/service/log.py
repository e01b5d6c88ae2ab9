"""Reading the event log for somebody outside: each event with the cursor after it, gaps told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection

import msgspec

from insession.errors import CursorTrimmed
from insession.kernel.contract import Store
from insession.kernel.engine import Engine
from insession.kernel.events import Cursor, Event, EventType
from insession.kernel.streams import PAGE, EventStream


class Logged(msgspec.Struct, frozen=True):
    """An event and the cursor after it. Without an event: what came before this cursor has been trimmed away."""

    cursor: str
    event: Event | None = None


async def read_log(engine: Engine, after: str | None, types: Collection[EventType | str] | None) -> Reading:
    """Begin after a cursor (None: now). `InvalidInput` for a cursor or a type that cannot be, now and not later."""
    stream = engine.events(after=after, types=types)
    if after is None:
        await stream.start()
        after = stream.cursor or ""
    else:
        await engine.store.events(after, 0, None)
    return Reading(engine.store, stream, after, None if types is None else frozenset(map(EventType, types)))


class Reading:
    """One reader of the log. ``cursor`` is how far it is."""

    def __init__(self, store: Store, stream: EventStream, cursor: str, types: frozenset[EventType] | None) -> None:
        self._store = store
        self._stream = stream
        self._types = types
        self.cursor: str = cursor

    async def next(self) -> Logged:
        """The next, as soon as it is there. Cancelled while it waits, it has taken nothing."""
        try:
            event = await anext(self._stream)
        except CursorTrimmed as gap:
            self.cursor = gap.cursor
            return Logged(gap.cursor)
        self.cursor = self._stream.cursor or ""
        return Logged(self.cursor, event)

    async def passed(self) -> str:
        """The cursor behind all that this reader did not ask for, so that one who waits long is not told of a gap."""
        if self._types is None:
            return self.cursor  # nothing passes unasked for
        page = await self._store.events(self.cursor, 1, self._types)
        if not page.events and not page.trimmed:
            self.cursor = page.cursor
        return self.cursor

    async def following(self) -> AsyncIterator[Logged]:
        """The log as it grows, for ever."""
        while True:
            yield await self.next()

    async def to_the_end(self) -> AsyncIterator[Logged]:
        """The log as far as it goes now."""
        more = True
        while more:
            page = await self._store.events(self.cursor, PAGE, self._types)
            begin = Cursor.parse(page.begin)
            places = list(begin.positions)
            if page.trimmed:
                yield Logged(page.begin)
            for event in page.events:
                places[event.partition] = event.position
                yield Logged(str(Cursor(begin.epoch, tuple(places))), event)
            self.cursor, more = page.cursor, page.more

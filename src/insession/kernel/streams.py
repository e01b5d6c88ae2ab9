"""Reading the log: an ordered stream of events with a cursor."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Collection
from typing import Final

from insession.errors import CursorTrimmed
from insession.kernel.contract import Store
from insession.kernel.events import START, Cursor, Event, EventType
from insession.kernel.ids import check_text

LONGEST_CURSOR: Final = 4_096
PAGE: Final = 500
"""So many events a reader holds at most: a slow one costs nobody else."""


class EventStream(AsyncIterator[Event]):
    """Events after a cursor, as they become visible; it ends when its reader leaves.

    ``cursor`` is where the last event stood: begin there after a reconnect and nothing is missed.
    A cursor that is older than the log raises `CursorTrimmed`, which carries where to go on.
    """

    def __init__(self, store: Store, after: str | None, types: Collection[EventType] | None) -> None:
        if after not in {None, START}:
            Cursor.parse(check_text(after, "cursor", LONGEST_CURSOR))
        self._store = store
        self._types = types
        self._waker = store.waker(frozenset(EventType) if types is None else types)
        self._waiting: deque[Event] = deque()
        self._end = after
        self._more = True
        self._epoch = ""
        self._places: list[int] = []
        self.cursor = after

    async def start(self) -> None:
        """Find the beginning now: what becomes visible after this call is in the stream."""
        if self.cursor is None:
            page = await self._store.events(None, 0, self._types)
            self.cursor = self._end = page.cursor

    @property
    def ready(self) -> bool:
        """Whether the next event is here already."""
        return bool(self._waiting)

    async def __anext__(self) -> Event:
        await self.start()
        while not self._waiting:
            if not self._more:
                await self._waker.wait()
                self._more = True  # until a read has said otherwise: one that fails is tried again
            await self._read()
        event = self._waiting.popleft()
        self._places[event.partition] = event.position
        self.cursor = str(Cursor(self._epoch, tuple(self._places))) if self._waiting else self._end
        return event

    async def _read(self) -> None:
        page = await self._store.events(self._end, PAGE, self._types)
        self._end = page.cursor
        self._more = page.more
        begin = Cursor.parse(page.begin)
        self._epoch, self._places = begin.epoch, list(begin.positions)
        self._waiting.extend(page.events)
        if not page.events:
            self.cursor = self._end
        if page.trimmed:
            raise CursorTrimmed(page.cursor)

"""The log as it is read: on the loop's thread, so in bounded pieces."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from typing import Final

from insession.kernel.events import START, Cursor, Event, EventType, Page

from .statements import Statements, event_of, json_list

SCAN: Final = 2000
"""So many positions one page looks at."""


class Log:
    """Pages of one namespace's log."""

    __slots__ = ("_cursor", "_epoch", "_sql")

    def __init__(self, cursor: sqlite3.Cursor, sql: Statements) -> None:
        self._cursor = cursor
        self._sql = sql
        self._epoch = ""

    def page(self, after: str | None, limit: int, types: Collection[EventType] | None) -> Page:
        """See `Store.events`. Called within a transaction, so that nothing is trimmed meanwhile."""
        self._epoch, first, end = self._cursor.execute(self._sql.bounds).fetchone()
        begin, trimmed = (end, False) if after is None else self._begin(after, first, end)
        if trimmed:
            here = self._at(first - 1)
            return Page((), here, here, more=True, trimmed=True)
        reach = min(begin + SCAN, end)
        found = self._found(begin, reach, limit, types) if begin < end else []
        position = reach if len(found) < limit else found[-1].position if found else begin
        return Page(tuple(found), self._at(begin), self._at(position), more=position < end)

    def _found(self, begin: int, reach: int, limit: int, types: Collection[EventType] | None) -> list[Event]:
        if types is None:
            rows = self._cursor.execute(self._sql.events, (begin, reach, limit))
        else:
            rows = self._cursor.execute(self._sql.events_of, (begin, reach, json_list(types), limit))
        return [event_of(row) for row in rows.fetchall()]

    def _begin(self, after: str, first: int, end: int) -> tuple[int, bool]:
        if after == START:
            return first - 1, False
        cursor = Cursor.parse(after)
        position = cursor.positions[0]
        return position, not (cursor.epoch == self._epoch and first - 1 <= position <= end)

    def _at(self, position: int) -> str:
        return f"{self._epoch}:{position}"

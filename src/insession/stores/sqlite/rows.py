"""`Rows` over SQL: what a batch reads is read once, and what it writes is written once, at its end."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import msgspec

from insession.kernel.events import Event, EventType, fresh_epoch
from insession.kernel.leases import Lease, last_until
from insession.kernel.operations import (
    Commit,
    End,
    Find,
    Index,
    Load,
    Mark,
    Operation,
    Pick,
    Put,
    Touch,
)
from insession.kernel.record import Item, Record, State
from insession.kernel.rows import Place

from .sessions import Sessions
from .statements import (
    Statements,
    event_row,
    item_of,
    item_row,
    json_list,
    lease_from,
    lease_to,
    mark_from,
    mark_to,
)

_AHEAD: Final = 1000
"""So many numbers are taken at a time, so that an update need not write the counter. Who finds that others
have written begins behind theirs: no number comes twice, and later ones are greater."""
_counts_to: Final = msgspec.json.Encoder().encode
_counts_from: Final = msgspec.json.Decoder(dict[str, list[int]]).decode


class Rows:
    """See `kernel.rows.Rows`. Used by a writer, or by a reader that only asks."""

    def __init__(self, cursor: sqlite3.Cursor, sql: Statements, retention: float = 0.0) -> None:
        self._cursor = cursor
        self._sql = sql
        self._retention = retention
        self._sessions = sessions = Sessions(cursor, sql)
        self.record: Callable[[str], Record | None] = sessions.record
        self.write: Callable[[Record, Record | None], None] = sessions.write
        self.drop: Callable[[Record], None] = sessions.drop
        self.walk: Callable[[Pick | Find, str, State, Place | None, int], Sequence[Record]] = sessions.walk
        self.due: Callable[[str, float, int], Sequence[Record]] = sessions.due
        self.next_due: Callable[[Iterable[str]], float] = sessions.next_due
        self.count: Callable[[Index, str | None, str, State], int] = sessions.count
        self.kinds: Callable[[], Iterable[str]] = sessions.kinds
        self.first: int = 0
        """The first position that the log still has,"""
        self.position: int = 0
        """and its last one."""
        self.handed: int = 0
        """How often a lease was handed on."""
        self.mark: Mark | None = None
        self._number = self._reserved = 0
        self._saved: tuple[Any, ...] = ()
        self._marked: Mark | None = None
        self.types: set[EventType] = set()
        """Of the events that this transaction logged."""
        self._items: dict[str, Item | None] = {}
        self._items_changed: dict[str, None] = {}
        self._items_adopted: dict[str, int] = {}
        self._leases: dict[str, Lease | None] = {}
        self._leases_changed: dict[str, None] = {}
        self._events: list[tuple[Any, ...]] = []

    def load_state(self) -> None:
        """Others may have written: forget the records, and read the row that says how far everything has come."""
        self._sessions.forget()
        *saved, mark = self._cursor.execute(self._sql.state).fetchone()
        self._saved = tuple(saved)
        self._reserved, self.first, self.position, self.handed, counts = saved
        self._marked = self.mark = None if mark is None else mark_from(mark)
        self._number = self._reserved
        self._sessions.counts = _counts_from(counts)

    def clear(self) -> None:
        """Know nothing."""
        self._sessions.forget()
        self.begin()

    def begin(self) -> None:
        """Begin a transaction, or give the last one up."""
        self._sessions.begin()
        self.types = set()
        self._items.clear()
        self._items_changed.clear()
        self._items_adopted.clear()
        self._leases.clear()
        self._leases_changed.clear()
        self._events.clear()

    def expect(self, operations: Iterable[Operation]) -> None:
        """Read at once what these operations will ask for one by one."""
        wanted = _Wanted()
        for operation in operations:
            wanted.note(operation)
        if len(wanted.ids) > 1:
            self._sessions.read(wanted.ids)
        if len(wanted.keys) > 1:
            self._items.update(dict.fromkeys(wanted.keys))
            for row in self._all(self._sql.items, (json_list(wanted.keys),)):
                self._items[row[0]] = item_of(row)
        for kind, owners in wanted.owners.items():
            self._sessions.read_counts(kind, owners)

    def flush(self) -> None:
        """Write everything."""
        self._sessions.flush()
        self._flush_items()
        self._flush_leases()
        self._flush_events()
        if self._number > self._reserved:
            self._reserved = self._number + _AHEAD
        counts = _counts_to(self._sessions.counts).decode()
        state = (self._reserved, self.first, self.position, self.handed, counts)
        if state != self._saved:
            self._cursor.execute(self._sql.save_state, state)
            self._saved = state
        if self.mark is not self._marked:
            self._cursor.execute(self._sql.save_mark, (None if self.mark is None else mark_to(self.mark).decode(),))
            self._marked = self.mark

    def adopt(self, record: Record) -> None:
        self._sessions.adopt(record, self.next_number())

    def adopt_item(self, item: Item) -> None:
        self._items_adopted[item.key] = self.next_number()
        self.put(item, None)

    def last_number(self) -> int:
        return max(self._number, self._reserved)

    def skip_numbers(self, number: int) -> None:
        self._number = max(self._number, number)

    def begin_epoch(self) -> None:
        self._cursor.execute(self._sql.begin_epoch, (fresh_epoch(),))

    def reserves(self, most: int) -> bool:
        """Whether so many numbers more than are reserved may be needed."""
        return self._number + most > self._reserved

    def next_number(self) -> int:
        self._number += 1
        return self._number

    def _all(self, sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        return self._cursor.execute(sql, values).fetchall()

    def item(self, key: str) -> Item | None:
        try:
            return self._items[key]
        except KeyError:
            row = self._cursor.execute(self._sql.item, (key,)).fetchone()
            item = self._items[key] = None if row is None else item_of(row)
            return item

    def put(self, item: Item, old: Item | None) -> None:
        self._items[item.key] = item
        self._items_changed[item.key] = None

    def remove(self, item: Item) -> None:
        self._items[item.key] = None
        self._items_changed[item.key] = None

    def _flush_items(self) -> None:
        if not self._items_changed:
            return
        puts: list[Sequence[Any]] = []
        gone: list[Sequence[Any]] = []
        for key in self._items_changed:
            item = self._items[key]
            if item is None:
                gone.append((key,))
            else:
                puts.append(item_row(item, self._items_adopted.get(key, item.version)))
        self._items_changed.clear()
        if gone:
            self._cursor.executemany(self._sql.delete_item, gone)
        if puts:
            self._cursor.executemany(self._sql.put_item, puts)

    def _select_items(self, sql: str, values: Sequence[Any]) -> Sequence[Item]:
        self._flush_items()
        return [item_of(row) for row in self._all(sql, values)]

    def items(self, prefix: str, after: str, most: int) -> Sequence[Item]:
        # One lower bound: of two, the wrong one might be searched by.
        sql = self._sql.items_after if after >= prefix else self._sql.items_from
        return self._select_items(sql, (max(prefix, after), _beyond(prefix), max(most, 0)))

    def items_of(self, owner: str, after: str, most: int) -> Sequence[Item]:
        return self._select_items(self._sql.items_owned, (owner, after, max(most, 0)))

    def items_expired(self, before: float, most: int) -> Sequence[Item]:
        return self._select_items(self._sql.items_expired, (before, most))

    def lease(self, name: str) -> Lease | None:
        try:
            return self._leases[name]
        except KeyError:
            row = self._cursor.execute(self._sql.lease, (name,)).fetchone()
            lease = self._leases[name] = None if row is None else lease_from(row[0])
            return lease

    def keep_lease(self, name: str, lease: Lease | None) -> None:
        if name not in self._leases or lease is not self._leases[name]:
            self._leases[name] = lease
            self._leases_changed[name] = None

    def _flush_leases(self) -> None:
        for name in self._leases_changed:
            lease = self._leases[name]
            if lease is None:
                self._cursor.execute(self._sql.delete_lease, (name,))
            else:
                self._cursor.execute(self._sql.put_lease, (name, lease_to(lease), last_until(lease)))
        self._leases_changed.clear()

    def leases_over(self, before: float, most: int) -> Sequence[Lease]:
        self._flush_leases()
        return [lease_from(row[0]) for row in self._cursor.execute(self._sql.leases_over, (before, most)).fetchall()]

    def leases(self, prefix: str, after: str, most: int) -> Sequence[Lease]:
        self._flush_leases()
        sql = self._sql.leases_after if after >= prefix else self._sql.leases_from
        rows = self._all(sql, (max(prefix, after), _beyond(prefix), max(most, 0)))
        return [lease_from(row[0]) for row in rows]

    def log(self, event: Event) -> None:
        self.position += 1
        self.types.add(event.type)
        self._events.append(event_row(event, self.position))

    def _flush_events(self) -> None:
        if self._events:
            self._cursor.executemany(self._sql.append, self._events)
            self._events.clear()

    def trim(self, before: float, most: int) -> int:
        self._flush_events()
        old = 0
        for position, time in self._all(self._sql.heads, (most,)):
            if time >= before - self._retention:
                break
            old += 1
            self.first = position + 1
        if old:
            self._cursor.execute(self._sql.trim, (self.first,))
        return old

    def forget(self, owner: str, most: int) -> int:
        self._flush_events()
        return self._cursor.execute(self._sql.forget, (owner, max(most, 0))).rowcount


class _Wanted:
    """What operations will ask for: ids, keys of items, and by kind the owners whose sessions are counted."""

    __slots__ = ("ids", "keys", "owners")

    def __init__(self) -> None:
        self.ids: set[str] = set()
        self.keys: set[str] = set()
        self.owners: dict[str, set[str]] = {}

    def note(self, operation: Operation) -> None:
        if isinstance(operation, Touch):
            self.ids.add(operation.id)
        elif isinstance(operation, Commit):
            self._note_commit(operation)
        elif isinstance(operation, End):
            if operation.pick.index == "id":
                self.ids.add(operation.pick.value or "")
        elif isinstance(operation, Load):
            for key in operation.keys:
                (self.keys if "/" in key else self.ids).add(key)

    def _note_commit(self, commit: Commit) -> None:
        for part in commit.patches:
            if isinstance(part, Put):
                self.keys.add(part.key)
                continue
            self.ids.add(part.id)
            new = part.record
            if new is not None and new.owner is not None and any(limit.over == "owner" for limit in commit.limits):
                self.owners.setdefault(new.kind, set()).add(new.owner)


def _beyond(prefix: str) -> str | bytes:
    """A bound above every text that begins with the prefix; bytes come after all texts."""
    stem = prefix.rstrip("\U0010ffff")
    if not stem:
        return b""
    following = ord(stem[-1]) + 1
    # A lone surrogate cannot be written in UTF-8.
    return stem[:-1] + chr(0xE000 if following == 0xD800 else following)  # noqa: PLR2004

"""`Rows` over SQL: what a batch reads is read once, and what it writes is written once, at its end.

Between the two everything happens in dictionaries. Before a query that needs an index, what has
changed is written, so that the query sees it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from itertools import compress
from operator import ne
from typing import Any, Final

import msgspec

from insession.kernel.events import Event, EventType
from insession.kernel.interpreter import Place
from insession.kernel.leases import Lease
from insession.kernel.operations import (
    Acquire,
    Commit,
    End,
    Find,
    Index,
    Load,
    Operation,
    Pick,
    Put,
    Release,
    Renew,
    Touch,
)
from insession.kernel.record import NEVER, Item, Record, State

from .statements import (
    BULK,
    CODES,
    STATES,
    Statements,
    event_row,
    item_of,
    item_row,
    lease_from,
    lease_to,
    record_of,
    row_of,
)

_json: Final = msgspec.json.Encoder().encode
_counts: Final = msgspec.json.Decoder(dict[str, list[int]]).decode
_FIRST: Final[Place] = (-NEVER, "")


class Ledger:
    """The one row that says how far everything has come; read when somebody else wrote, saved when it changed."""

    __slots__ = ("counts", "first", "handed", "number", "position", "saved")

    def __init__(self) -> None:
        self.number = self.first = self.position = self.handed = 0
        self.counts: dict[str, list[int]] = {}
        self.saved: tuple[Any, ...] = ()

    def load(self, cursor: sqlite3.Cursor, sql: Statements) -> None:
        """Read it."""
        row = cursor.execute(sql.state).fetchone()
        self.number, self.first, self.position, self.handed, counts = row
        self.counts = _counts(counts)
        self.saved = row

    def save(self, cursor: sqlite3.Cursor, sql: Statements) -> None:
        """Write it, if it has changed."""
        row = (self.number, self.first, self.position, self.handed, _json(self.counts).decode())
        if row != self.saved:
            cursor.execute(sql.save_state, row)
            self.saved = row


class Rows:
    """See `kernel.interpreter.Rows`."""

    def __init__(self, cursor: sqlite3.Cursor, sql: Statements, retention: float) -> None:
        self._cursor = cursor
        self._sql = sql
        self._retention = retention
        self.ledger = Ledger()
        self.types: set[EventType] = set()
        """Types of the events that were logged since `begin`."""
        # What is known: by id, key or name; None where nothing is.
        self._records: dict[str, Record | None] = {}
        self._numbers: dict[str, int] = {}
        self._owned: dict[tuple[str, str], int] = {}
        self._items: dict[str, Item | None] = {}
        self._leases: dict[str, Lease | None] = {}
        # What is not written yet: sessions as their table has them (None: not at all), and the rest.
        self._changed: dict[str, Record | None] = {}
        self._dropped: list[Record] = []
        self._items_changed: set[str] = set()
        self._leases_changed: set[str] = set()
        self._events: list[tuple[Any, ...]] = []

    # ------------------------------------------------------------------ a transaction

    def begin(self, operations: Sequence[Operation]) -> None:
        """Forget what was known before, and read what these operations will ask for, all at once."""
        self.types = set()
        for known in (self._records, self._numbers, self._owned, self._items, self._leases):
            known.clear()
        for unwritten in (self._changed, self._dropped, self._items_changed, self._leases_changed, self._events):
            unwritten.clear()
        if len(operations) > 1:
            wanted = _Wanted(operations)
            self._read_records(wanted.ids)
            self._read_items(wanted.keys)
            self._read_leases(wanted.leases)

    def flush(self) -> None:
        """Write everything."""
        self._write_records()
        self._write_items()
        self._write_leases()
        self._write_events()
        self.ledger.save(self._cursor, self._sql)

    def next_number(self) -> int:
        self.ledger.number += 1
        return self.ledger.number

    def _all(self, sql: str, values: Sequence[Any]) -> list[Any]:
        return self._cursor.execute(sql, values).fetchall()

    def _one(self, sql: str, values: Sequence[Any]) -> Any:
        return self._cursor.execute(sql, values).fetchone()

    # ------------------------------------------------------------------ records

    def record(self, session_id: str) -> Record | None:
        try:
            return self._records[session_id]
        except KeyError:
            row = self._one(self._sql.record, (session_id,))
            if row is None:
                self._records[session_id] = None
                return None
            return self._met(row)

    def _met(self, row: tuple[Any, ...]) -> Record:
        """The record in a row; one that is known stays the same."""
        record = self._records.get(row[1])
        if record is None:
            record = self._records[row[1]] = record_of(row)
            self._numbers[record.id] = row[0]
        return record

    def _read_records(self, ids: set[str]) -> None:
        if len(ids) > 1:
            self._records = dict.fromkeys(ids)
            for row in self._all(self._sql.records, (_json(list(ids)).decode(),)):
                self._met(row)

    def write(self, record: Record, old: Record | None) -> None:
        session_id = record.id
        self._records[session_id] = record
        if old is None:
            self._changed[session_id] = None
            self._numbers[session_id] = record.version
            self._count(record, 1)
            return
        if session_id not in self._changed:
            self._changed[session_id] = old
        if old.state is not record.state or old.owner != record.owner:
            self._count(old, -1)
            self._count(record, 1)

    def drop(self, record: Record) -> None:
        session_id = record.id
        self._count(record, -1)
        self._records[session_id] = None
        there = self._changed.pop(session_id, record)
        if there is not None:
            self._dropped.append((self._numbers[session_id], there))

    def _count(self, record: Record, step: int) -> None:
        counts = self.ledger.counts
        of_kind = counts.get(record.kind)
        if of_kind is None:
            of_kind = counts[record.kind] = [0] * len(STATES)
        of_kind[CODES[record.state]] += step
        if self._owned and record.state is State.ACTIVE and record.owner is not None:
            where = (record.owner, record.kind)
            if where in self._owned:
                self._owned[where] += step

    def _write_records(self) -> None:
        if not (self._changed or self._dropped):
            return
        cursor, sql = self._cursor, self._sql
        bulk, light = list[tuple[int, bytes]](), list[tuple[int]]()
        if self._dropped:
            cursor.executemany(sql.delete, [(number,) for number, _ in self._dropped])
            light += [(number,) for number, record in self._dropped if len(record.data) > BULK]
        inserts, updates = list[tuple[Any, ...]](), dict[tuple[bool, ...], list[list[Any]]]()
        for session_id, before in self._changed.items():
            after, number = self._records[session_id], self._numbers[session_id]
            assert after is not None
            row = row_of(after)
            if before is None:
                inserts.append((number, *row))
            else:
                changed = tuple(map(ne, row_of(before), row))
                updates.setdefault(changed, []).append([*compress(row, changed), number])
            ...
        if inserts:
            cursor.executemany(sql.insert, inserts)
        for changed, rows in updates.items():
            if any(changed):
                cursor.executemany(sql.update(changed), rows)

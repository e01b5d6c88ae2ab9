"""The sessions of a transaction: read once, changed in dictionaries, written once; and known to the next one.

Before a query that needs an index, what has changed is written, so that the query sees it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Sequence
from itertools import compress
from operator import ne
from typing import Any, Final

from insession.kernel.operations import Find, Index, Pick
from insession.kernel.record import NEVER, Record, State
from insession.kernel.rows import Place

from .statements import BULK, CODES, LOOK, STATES, Statements, json_list, record_of, row_of

_FIRST: Final[Place] = (-NEVER, "")
_KNOWN: Final = 16_384
"""So many records stay known from transaction to transaction,"""
_KNOWN_BYTES: Final = 8 << 20
"""with so many bytes of data."""
_SOME: Final = 100
_OFTEN: Final = 10


class Sessions:
    """The part of `Rows` that is about records."""

    __slots__ = (
        "_bytes",
        "_changed",
        "_cursor",
        "_dropped",
        "_numbers",
        "_owned",
        "_records",
        "_sql",
        "_swept",
        "counts",
    )

    def __init__(self, cursor: sqlite3.Cursor, sql: Statements) -> None:
        self._cursor = cursor
        self._sql = sql
        self.counts: dict[str, list[int]] = {}
        """How many sessions of each kind are in each state."""
        # What is known: by id, None where nothing is; live sessions by owner and kind.
        self._records: dict[str, Record | None] = {}
        self._bytes = 0
        self._numbers: dict[str, int] = {}
        self._owned: dict[tuple[str, str], int] = {}
        self._swept: set[str] = set()
        """Those found as due: their ending takes them out of the sweep, every other one leaves that to it."""
        # What is not written: sessions as their table has them (None: not at all), and those that have to go.
        self._changed: dict[str, Record | None] = {}
        self._dropped: list[tuple[int, Record]] = []

    def begin(self) -> None:
        """Begin a transaction: after one of our own, what was read and written is still known."""
        if len(self._records) > _KNOWN or self._bytes > _KNOWN_BYTES:
            self.forget()
        self._owned.clear()
        self._swept.clear()
        self._changed.clear()
        self._dropped.clear()

    def forget(self) -> None:
        """Forget the records: others may have changed them, or we did not come to commit."""
        self._records.clear()
        self._numbers.clear()
        self._bytes = 0

    def read(self, ids: set[str]) -> None:
        """Read all these, which will be asked for one by one."""
        ids = ids.difference(self._records)
        if not ids:
            return
        self._records.update(dict.fromkeys(ids))
        for row in self._cursor.execute(self._sql.records, (json_list(ids),)).fetchall():
            self._met(row)

    def read_counts(self, kind: str, owners: Collection[str]) -> None:
        """Read how many live sessions of a kind each owner has. Called before anything is changed."""
        for owner, number in self._cursor.execute(self._sql.counts_owned, (kind, json_list(owners))).fetchall():
            self._owned[owner, kind] = number

    def record(self, session_id: str) -> Record | None:
        try:
            return self._records[session_id]
        except KeyError:
            row = self._cursor.execute(self._sql.record, (session_id,)).fetchone()
            if row is not None:
                return self._met(row)
            self._records[session_id] = None
            return None

    def _met(self, row: tuple[Any, ...]) -> Record:
        """The record in a row; one that is known stays the same."""
        session_id = row[1]
        record = self._records.get(session_id)
        if record is None:
            record = self._records[session_id] = record_of(row)
            self._numbers[session_id] = row[0]
            self._bytes += len(record.data)
        return record

    def write(self, record: Record, old: Record | None) -> None:
        session_id = record.id
        self._records[session_id] = record
        if old is None:
            self._changed[session_id] = None
            self._numbers[session_id] = record.version
            self._bytes += len(record.data)
            self._count(record, 1)
            return
        self._bytes += len(record.data) - len(old.data)
        if session_id not in self._changed:
            self._changed[session_id] = old
        if old.state is not record.state or old.owner != record.owner:
            self._count(old, -1)
            self._count(record, 1)

    def adopt(self, record: Record, number: int) -> None:
        """Put a record that others may share their version with, under a number of its own."""
        self.write(record, None)
        self._numbers[record.id] = number

    def drop(self, record: Record) -> None:
        session_id = record.id
        self._records[session_id] = None
        self._bytes -= len(record.data)
        written = self._changed.pop(session_id, record)
        if written is not None:
            self._dropped.append((self._numbers[session_id], written))
        self._count(record, -1)

    def _count(self, record: Record, step: int) -> None:
        of_kind = self.counts.get(record.kind)
        if of_kind is None:
            of_kind = self.counts[record.kind] = [0] * len(STATES)
        if record.state is not State.ACTIVE:
            of_kind[CODES[record.state]] += step
            return
        of_kind[0] += step
        if self._owned and record.owner is not None:
            where = (record.owner, record.kind)
            if where in self._owned:
                self._owned[where] += step

    def flush(self) -> None:
        """Write what has changed."""
        if self._dropped:
            self._delete()
        if self._changed:
            self._insert_and_update()

    def _delete(self) -> None:
        cursor, sql = self._cursor, self._sql
        cursor.executemany(sql.delete, [(number,) for number, _ in self._dropped])
        bulk = [(number,) for number, record in self._dropped if len(record.data) > BULK]
        if bulk:
            cursor.executemany(sql.delete_bulk, bulk)
        self._dropped.clear()

    def _insert_and_update(self) -> None:
        inserts: list[Sequence[Any]] = []
        updates: dict[tuple[bool, ...], list[Sequence[Any]]] = {}
        for session_id, before in self._changed.items():
            after, number = self._records[session_id], self._numbers[session_id]
            assert after is not None  # noqa: S101 - a dropped one is not among the changed
            row = row_of(after)
            if before is None:
                inserts.append((number, *row))
            else:
                differ = list(map(ne, row_of(before), row))
                differ[LOOK] = after.due < before.due or session_id in self._swept
                changed = tuple(differ)
                updates.setdefault(changed, []).append((*compress(row, changed), number))
            if len(after.data) > BULK or (before is not None and len(before.data) > BULK):
                self._write_bulk(number, before, after)
        self._changed.clear()
        if inserts:
            self._cursor.executemany(self._sql.insert, inserts)
        for changed, rows in updates.items():
            if any(changed):
                self._cursor.executemany(self._sql.update(changed), rows)

    def _write_bulk(self, number: int, before: Record | None, after: Record) -> None:
        if len(after.data) <= BULK:
            self._cursor.execute(self._sql.delete_bulk, (number,))
        elif before is None or before.data != after.data:
            self._cursor.execute(self._sql.put_bulk, (number, after.data))

    def _select(self, sql: str, values: Sequence[Any]) -> Sequence[Record]:
        self.flush()
        return [self._met(row) for row in self._cursor.execute(sql, values).fetchall()]

    def walk(self, pick: Pick | Find, kind: str, state: State, after: Place | None, most: int) -> Sequence[Record]:
        if most <= 0:
            return ()
        page = (kind, CODES[state], *(after or _FIRST), most)
        if pick.index == "owner":
            return self._select(self._sql.owned, (pick.value or "", *page))
        if pick.index == "node":
            return self._select(self._sql.placed, (pick.value or "", *page))
        return self._select(self._sql.finish if pick.index == "finish" else self._sql.ranked, page)

    def due(self, kind: str, before: float, most: int) -> Sequence[Record]:
        if most <= 0:
            return ()
        self.flush()
        while self._look_again(kind, before, most):
            pass
        due = self._select(self._sql.due, (kind, before, most))
        self._swept.update([record.id for record in due])
        return due

    def next_due(self, kinds: Iterable[str]) -> float:
        self.flush()
        return min(map(self._next_due, kinds), default=NEVER)

    def _next_due(self, kind: str) -> float:
        """Exact, unless so many were touched that another transaction had better go on."""
        for most in (1, *[_SOME] * _OFTEN):
            if not self._look_again(kind, NEVER, most):
                break
        row = self._cursor.execute(self._sql.looks, (kind, NEVER, 1)).fetchone()
        return NEVER if row is None else float(row[3])

    def _look_again(self, kind: str, before: float, most: int) -> bool:
        """Bring the first entries of the sweep up to date; whether any was not."""
        rows = self._cursor.execute(self._sql.looks, (kind, before, most)).fetchall()
        stale = [(due if state == 0 else None, number) for number, state, due, look in rows if state or due != look]
        if stale:
            self._cursor.executemany(self._sql.look_again, stale)
        return bool(stale)

    def count(self, index: Index, value: str | None, kind: str, state: State) -> int:
        if index not in {"owner", "node", "finish"}:
            of_kind = self.counts.get(kind)
            return of_kind[CODES[state]] if of_kind else 0
        where = (value or "", kind)
        if index == "owner" and state is State.ACTIVE and where in self._owned:
            return self._owned[where]
        self.flush()
        if index == "finish":
            row = self._cursor.execute(self._sql.count_finish, (kind, CODES[state])).fetchone()
        else:
            sql = self._sql.count_owned if index == "owner" else self._sql.count_placed
            row = self._cursor.execute(sql, (*where, CODES[state])).fetchone()
        number: int = row[0]
        return number

    def kinds(self) -> Iterable[str]:
        return sorted(kind for kind, counts in self.counts.items() if any(counts))

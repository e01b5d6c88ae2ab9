"""Transactions that write: what each batch means, in one commit."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, Literal

from insession.errors import OutcomeUnknown
from insession.kernel.events import EventType
from insession.kernel.interpreter import Interpreter
from insession.kernel.operations import Acquire, Answer, Load, Operation, Release, Renew

from .file import CHECKPOINT, File
from .rows import Rows
from .statements import Statements
from .watch import Sight

_APART: Final = 3
"""A row that is changed with few others changes about so many pages, one of a batch about one."""
_FEW: Final = 4

Batch = Sequence[Operation]
Outcome = Sequence[Answer] | Exception


class Transactions:
    """Uses the connection that writes; by one thread at a time."""

    def __init__(
        self, file: File, sql: Statements, connection: sqlite3.Connection, retention: float, sight: Sight
    ) -> None:
        self._file = file
        self._sql = sql
        self._retention = retention
        self._sight = sight
        self.types: set[EventType] = set()
        """Of the events that the last outcomes brought."""
        self.handed_on: bool = False
        """Whether they handed a lease on."""
        self._use(connection)

    def _use(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._cursor = connection.cursor()
        self._rows = Rows(self._cursor, self._sql, self._retention)
        self._interpreter = Interpreter(self._rows)
        self._version: int | None = None
        self._changes = connection.total_changes
        self.away: int = 0
        """About how many pages of the write-ahead log are not brought home."""
        self._restarts = False
        self._waits = True

    def apply(self, batches: Sequence[Batch]) -> list[Outcome]:
        """Apply them in one transaction, when other processes let us."""
        self.types, self.handed_on = set(), False
        try:
            self._wait_for_disk(not all(_passing(one) for batch in batches for one in batch))
            self._file.begin(self._cursor)
        except Exception as error:  # noqa: BLE001 - whatever it is, who waits has to hear of it
            return [self._file.failure(error)] * len(batches)
        return self._begun(batches)

    def apply_at_once(self, batch: Batch) -> Outcome | None:
        """Apply one, unless another process is in the way."""
        self.types, self.handed_on = set(), False
        try:
            self._cursor.execute("BEGIN IMMEDIATE")
        except sqlite3.Error:
            return None
        return self._begun((batch,))[0]

    def _wait_for_disk(self, durable: bool) -> None:  # noqa: FBT001 - it is the question
        """Whether the next commit does, with FULL."""
        if self._waits is not durable and self._file.synchronous == "full":
            self._cursor.execute(f"PRAGMA synchronous = {'full' if durable else 'normal'}")
            self._waits = durable

    def _begun(self, batches: Sequence[Batch]) -> list[Outcome]:
        """Apply them in the transaction that has begun; if that fails for one of them, each in its own."""
        try:
            return self._committed(batches)
        except Exception as error:  # noqa: BLE001 - the same
            failure = self._rolled_back(error)
        if len(batches) == 1 or isinstance(failure, OutcomeUnknown):
            return [failure] * len(batches)
        types, handed_on, outcomes = set[EventType](), False, list[Outcome]()
        for batch in batches:
            outcomes += self.apply((batch,))
            types |= self.types
            handed_on = handed_on or self.handed_on
        self.types, self.handed_on = types, handed_on
        return outcomes

    def _committed(self, batches: Sequence[Batch]) -> list[Outcome]:
        rows, interpreter = self._rows, self._interpreter
        self._notice()
        if not self._waits and rows.reserves(sum(map(len, batches))):
            # Numbers that were given out may be known elsewhere, and must not come again.
            self._cursor.execute("ROLLBACK")
            self._wait_for_disk(True)
            self._file.begin(self._cursor)
            self._notice()
        rows.begin()
        if len(batches) > 1 or len(batches[0]) > 1:
            rows.expect([operation for batch in batches for operation in batch])
        outcomes: list[Outcome] = [interpreter.apply(batch) for batch in batches]
        handed_on, interpreter.handed_on = interpreter.handed_on, False
        rows.handed += handed_on
        rows.flush()
        self._cursor.execute("COMMIT")
        self._sight.own(rows.position, rows.handed)
        self.types, self.handed_on = rows.types, handed_on
        self._count(alone=len(batches) == 1 and len(batches[0]) <= _FEW)
        return outcomes

    def _notice(self) -> None:
        """Notice what others have written."""
        version = self._cursor.execute("PRAGMA data_version").fetchone()[0]
        if version != self._version:
            self._rows.load_state()
            self._version = version
            self._sight.notice(self._cursor, self._rows.position, self._rows.handed)

    def _rolled_back(self, error: Exception) -> Exception:
        """Undo a transaction that failed; what that means to who asked for it."""
        self._version, self._interpreter.handed_on = None, False
        try:
            if self._connection.in_transaction:
                self._cursor.execute("ROLLBACK")
        except sqlite3.Error:
            with suppress(sqlite3.Error):
                self._connection.close()
                self._use(self._file.connect())
            return OutcomeUnknown(f"{self._file.path}: {error}, and it could not be rolled back")
        return self._file.failure(error)

    def _count(self, *, alone: bool) -> None:
        """After a commit."""
        before, self._changes = self._changes, self._connection.total_changes
        self.away += (self._changes - before) * (_APART if alone else 1)
        self._restarts = False

    @property
    def quick(self) -> bool:
        """Whether the next commit waits for no disk."""
        return self._file.synchronous == "normal" and not self._restarts and self.away < CHECKPOINT

    @property
    def overdue(self) -> bool:
        """Whether it is for us to bring it home: with FULL, SQLite does it after a commit that waits anyway."""
        return self._file.synchronous == "normal" and self.away >= CHECKPOINT

    def checkpoint(self, mode: Literal["PASSIVE", "TRUNCATE"] = "PASSIVE") -> None:
        """Bring it home as far as nobody reads it. The next commit begins it anew, and waits for the disk."""
        self.away = 0
        self._restarts = True
        with suppress(sqlite3.Error):
            self._cursor.execute(f"PRAGMA wal_checkpoint({mode})").fetchall()

    def close(self) -> None:
        """Give the connection up."""
        self.checkpoint("TRUNCATE")
        self._connection.close()


def _passing(operation: Operation) -> bool:
    """Whether nobody needs it after a power cut: leases whose holders are gone then, and what changes nothing.

    Their pages lie in the log before those of the next durable commit, which takes them along.
    """
    kind = type(operation)
    return kind is Load or kind is Renew or kind is Release or (type(operation) is Acquire and not operation.displace)

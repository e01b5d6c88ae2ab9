"""The one thread that writes: what waits for it goes into one transaction."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Final

from insession.errors import OutcomeUnknown
from insession.kernel.events import EventType
from insession.kernel.interpreter import Interpreter
from insession.kernel.operations import Answer, Operation

from .file import File
from .rows import Rows
from .statements import Statements
from .watch import Sight

TOGETHER: Final = 1024
"""So many operations go into one transaction, and at most one `apply` more."""
IDLE: Final = 1.0
"""After so many seconds without work the write-ahead log is brought home."""
WORTH: Final = 500
"""If at least so many rows have changed since it was."""

Outcome = Sequence[Answer] | Exception
Tell = Callable[[Collection[EventType], bool], None]
"""Told on the loop's thread what types of events became visible, and whether a lease was handed on."""


class _Job:
    """One `apply`: its operations, and who waits for the answers."""

    __slots__ = ("future", "operations")

    def __init__(self, operations: Sequence[Operation], future: asyncio.Future[Sequence[Answer]]) -> None:
        self.operations = operations
        self.future = future


class Writer:
    """Owns the connection that writes, and the thread that uses it."""

    def __init__(
        self,
        file: File,
        sql: Statements,
        connection: sqlite3.Connection,
        *,
        retention: float,
        sight: Sight,
        tell: Tell,
    ) -> None:
        self._file = file
        self._sql = sql
        self._retention = retention
        self._sight = sight
        self._tell = tell
        self._use(connection)
        self._loop = asyncio.get_running_loop()
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._thread = threading.Thread(target=self._run, name="insession-sqlite-writer", daemon=True)
        self._thread.start()

    def apply(self, operations: Sequence[Operation]) -> asyncio.Future[Sequence[Answer]]:
        """Hand a batch over; it runs to its end whatever becomes of the future."""
        future: asyncio.Future[Sequence[Answer]] = self._loop.create_future()
        self._jobs.put(_Job(operations, future))
        return future

    async def close(self) -> None:
        """Finish what was handed over, bring the write-ahead log home, and end the thread."""
        self._jobs.put(None)
        await asyncio.shield(self._ended)
        self._thread.join()

    # ------------------------------------------------------------------ the thread

    def _use(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._cursor = connection.cursor()
        self._rows = Rows(self._cursor, self._sql, self._retention)
        self._interpreter = Interpreter(self._rows)
        self._known: int | None = None
        self._home = connection.total_changes

    def _run(self) -> None:
        # The loop may be closed without us; then nobody waits any more.
        with suppress(RuntimeError):
            while (jobs := self._take()) is not None:
                outcomes = self._outcomes(jobs)
                rows, interpreter = self._rows, self._interpreter
                handed_on, interpreter.handed_on = interpreter.handed_on, False
                self._loop.call_soon_threadsafe(self._deliver, jobs, outcomes, rows.types, handed_on)
        with suppress(sqlite3.Error):
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        self._connection.close()
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._ended.set_result, None)

    def _take(self) -> list[_Job] | None:
        """What waits, as soon as something does; None: close."""
        jobs, number = [], 0
        first = self._next()
        while first is not None:
            jobs.append(first)
            number += len(first.operations)
            if number >= TOGETHER or self._jobs.empty():
                return jobs
            first = self._jobs.get()
        if jobs:
            self._jobs.put(None)
        return jobs or None

    def _next(self) -> _Job | None:
        if self._connection.total_changes - self._home < WORTH:
            return self._jobs.get()
        try:
            return self._jobs.get(timeout=IDLE)
        except Empty:
            self._home = self._connection.total_changes
            with suppress(sqlite3.Error):
                self._cursor.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            return self._jobs.get()

    def _deliver(
        self,
        jobs: list[_Job],
        outcomes: list[Outcome],
        types: set[EventType],
        handed_on: bool,  # noqa: FBT001
    ) -> None:
        for job, outcome in zip(jobs, outcomes, strict=True):
            if job.future.done():
                continue
            if isinstance(outcome, Exception):
                job.future.set_exception(outcome)
            else:
                job.future.set_result(outcome)
        if types or handed_on:
            self._tell(types, handed_on)

    # ------------------------------------------------------------------ transactions

    def _outcomes(self, jobs: list[_Job]) -> list[Outcome]:
        """Apply them in one transaction; if that fails for one of them, each in its own."""
        rows = self._rows
        try:
            self._begin()
        except Exception as error:  # noqa: BLE001 - whatever it is, who waits has to hear of it
            rows.begin()
            return [self._file.failure(error)] * len(jobs)
        try:
            return self._transaction(jobs)
        except Exception as error:  # noqa: BLE001 - the same
            failure = self._rolled_back(error)
        if len(jobs) == 1 or isinstance(failure, OutcomeUnknown):
            return [failure] * len(jobs)
        types, handed_on = set[EventType](), False
        outcomes: list[Outcome] = []
        for job in jobs:
            outcomes += self._outcomes([job])
            types |= self._rows.types
            handed_on = handed_on or self._interpreter.handed_on
        self._rows.types, self._interpreter.handed_on = types, handed_on
        return outcomes

    def _begin(self) -> None:
        """Begin to write, and notice what others have written."""
        self._file.begin(self._cursor)
        known = self._cursor.execute("PRAGMA data_version").fetchone()[0]
        if known != self._known:
            self._rows.load_state()
            self._known = known
            self._sight.notice(self._cursor, self._rows.position, self._rows.handed)

    def _transaction(self, jobs: list[_Job]) -> list[Outcome]:
        rows, interpreter = self._rows, self._interpreter
        rows.begin()
        if len(jobs) > 1 or len(jobs[0].operations) > 1:
            rows.expect([operation for job in jobs for operation in job.operations])
        outcomes: list[Outcome] = [interpreter.apply(job.operations) for job in jobs]
        if interpreter.handed_on:
            rows.handed += 1
        rows.flush()
        self._cursor.execute("COMMIT")
        self._sight.own(rows.position, rows.handed)
        return outcomes

    def _rolled_back(self, error: Exception) -> Exception:
        """Undo a transaction that failed; what that means to who asked for it."""
        self._known, self._interpreter.handed_on = None, False
        self._rows.begin()
        try:
            if self._connection.in_transaction:
                self._cursor.execute("ROLLBACK")
        except sqlite3.Error:
            with suppress(sqlite3.Error):
                self._connection.close()
                self._use(self._file.connect())
            return OutcomeUnknown(f"{self._file.path}: {error}, and it could not be rolled back")
        return self._file.failure(error)

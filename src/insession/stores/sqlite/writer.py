"""The thread that writes: what waits for it goes into one transaction."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Final

from insession.kernel.events import EventType
from insession.kernel.operations import Answer, Operation

from .forking import turn
from .transactions import Outcome, Transactions

TOGETHER: Final = 1024
"""So many operations go into one transaction, and at most one `apply` more."""
FEW: Final = 4
"""So many operations are done sooner than they are handed over, if that waits for no disk."""
IDLE: Final = 1.0
"""After so many seconds without work the write-ahead log is brought home,"""
WORTH: Final = 500
"""if it has at least so many pages."""

Tell = Callable[[Collection[EventType], bool], None]
"""Told on the loop's thread what types of events became visible, and whether a lease was handed on."""


class _Job:
    """One `apply`: its operations, and who waits for the answers."""

    __slots__ = ("future", "operations")

    def __init__(self, operations: Sequence[Operation], future: asyncio.Future[Sequence[Answer]]) -> None:
        self.operations = operations
        self.future = future


class Writer:
    """Hands batches over to its thread, and their outcomes back."""

    def __init__(self, transactions: Transactions, tell: Tell) -> None:
        self._transactions = transactions
        self._tell = tell
        self._loop = asyncio.get_running_loop()
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._waiting = 0
        """Jobs that were handed over and not delivered yet."""
        self._using = turn()
        """Held by the thread that uses the connection."""
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._thread = threading.Thread(target=self._run, name="insession-sqlite-writer", daemon=True)
        self._thread.start()

    async def apply(self, operations: Sequence[Operation]) -> Sequence[Answer]:
        """Apply a batch; it runs to its end whatever becomes of the caller."""
        if self._waiting == 0 and len(operations) <= FEW:
            outcome = self._at_once(operations)
            if isinstance(outcome, Exception):
                raise outcome
            if outcome is not None:
                return outcome
        job = _Job(operations, self._loop.create_future())
        self._waiting += 1
        self._jobs.put(job)
        return await job.future

    def _at_once(self, operations: Sequence[Operation]) -> Outcome | None:
        """Apply it here, which takes less than handing it over, unless somebody or the disk is in the way."""
        transactions = self._transactions
        if not self._using.acquire(blocking=False):
            return None
        try:
            outcome = transactions.apply_at_once(operations) if transactions.quick else None
        finally:
            self._using.release()
        if outcome is not None:
            self._tell_of(transactions.types, transactions.handed_on)
        return outcome

    async def close(self) -> None:
        """Finish what was handed over, bring the write-ahead log home, and end the thread."""
        self._jobs.put(None)
        await asyncio.shield(self._ended)
        self._thread.join()

    def _deliver(
        self,
        jobs: list[_Job],
        outcomes: list[Outcome],
        types: set[EventType],
        handed_on: bool,  # noqa: FBT001
    ) -> None:
        self._waiting -= len(jobs)
        for job, outcome in zip(jobs, outcomes, strict=True):
            if job.future.done():
                continue
            if isinstance(outcome, Exception):
                job.future.set_exception(outcome)
            else:
                job.future.set_result(outcome)
        self._tell_of(types, handed_on)

    def _tell_of(self, types: set[EventType], handed_on: bool) -> None:  # noqa: FBT001
        if types or handed_on:
            self._tell(types, handed_on)

    def _run(self) -> None:
        # The loop may be closed without us; then nobody waits any more.
        with suppress(RuntimeError):
            while (jobs := self._take()) is not None:
                outcomes = self._outcomes(jobs)
                # Nobody else applies anything before these are delivered.
                news = self._transactions.types, self._transactions.handed_on
                self._loop.call_soon_threadsafe(self._deliver, jobs, outcomes, *news)
                if self._transactions.overdue:
                    self._checkpoint()
        with self._using:
            self._transactions.close()
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._ended.set_result, None)

    def _outcomes(self, jobs: list[_Job]) -> list[Outcome]:
        with self._using:
            return self._transactions.apply([job.operations for job in jobs])

    def _take(self) -> list[_Job] | None:
        """What waits, as soon as something does; None: close."""
        jobs: list[_Job] = []
        number = 0
        job = self._next()
        while job is not None:
            jobs.append(job)
            number += len(job.operations)
            if number >= TOGETHER or self._jobs.empty():
                return jobs
            job = self._jobs.get()
        if jobs:
            self._jobs.put(None)
        return jobs or None

    def _next(self) -> _Job | None:
        if self._transactions.away < WORTH:
            return self._jobs.get()
        try:
            return self._jobs.get(timeout=IDLE)
        except Empty:
            self._checkpoint()
            return self._jobs.get()

    def _checkpoint(self) -> None:
        with self._using:
            self._transactions.checkpoint()

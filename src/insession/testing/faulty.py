"""A store that fails as it is told."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Collection, Iterable, Sequence
from enum import Enum
from typing import Any

from insession.errors import OutcomeUnknown, StoreUnavailable
from insession.kernel.contract import Store, Waker
from insession.kernel.events import EventType, Page
from insession.kernel.operations import Answer, Load, Operation
from insession.kernel.record import Record


class Fault(Enum):
    """What happens to a batch."""

    NONE = "none"
    """It passes."""
    BEFORE = "before"
    """It does not reach the store: `StoreUnavailable`."""
    LOST = "lost"
    """It is applied, and its answer is lost: `OutcomeUnknown`."""
    NEVER = "never"
    """It does not reach the store, and nobody can tell: `OutcomeUnknown`."""


class FaultyStore:
    """Any store, with faults by plan; it counts the trips and their operations.

    The plan holds the faults of the next batches, in their order; then they pass. While it is
    *held*, batches and reads of the log wait for `release`.

    Args:
        store: What is under it.
        immediate: Whether operations may go inline where the store allows it. Otherwise they
            all wait and travel in batches, as with a store on the network.
    """

    def __init__(self, store: Store, *, immediate: bool = False) -> None:
        self.store = store
        self.immediate: frozenset[type[Operation]] = store.immediate if immediate else frozenset()
        self.most: int = store.most
        self.abreast: int = store.abreast
        self.plan: deque[Fault] = deque()
        self.trips: int = 0
        """Batches that came, whatever became of them."""
        self.reads: int = 0
        """Pages of the log that were asked for."""
        self.operations: Counter[type[Any]] = Counter()
        """Operations that came, by type."""
        self.batches: list[int] = []
        """How many operations each batch had."""
        self.down = False
        """While it is set, nothing reaches the store: `StoreUnavailable` for whoever asks."""
        self._passing = asyncio.Event()
        self._passing.set()

    def fail(self, *faults: Fault) -> None:
        """Plan what happens to the next batches."""
        self.plan.extend(faults)

    def hold(self) -> None:
        """Let everything wait until `release`."""
        self._passing.clear()

    def release(self) -> None:
        """Let everything pass that waits."""
        self._passing.set()

    async def open(self) -> None:
        """See `Store.open`."""
        self._reach()
        await self.store.open()

    async def close(self) -> None:
        """See `Store.close`."""
        await self.store.close()

    async def now(self) -> float:
        """See `Store.now`."""
        self._reach()
        return await self.store.now()

    async def apply(self, operations: Sequence[Operation]) -> Sequence[Answer]:
        """See `Store.apply`; with the next fault of the plan."""
        self._count(operations)
        await self._passing.wait()
        fault = self._next_fault()
        answers = await self.store.apply(operations)
        return _delivered(answers, fault)

    def apply_now(self, operation: Operation) -> Answer:
        """See `Store.apply_now`; with the next fault of the plan. It cannot be held."""
        self._count((operation,))
        fault = self._next_fault()
        return _delivered((self.store.apply_now(operation),), fault)[0]

    def record_now(self, session_id: str) -> Record | None:
        """See `Store.record_now`; a batch of one `Load` that cannot be held."""
        self._count((Load((session_id,)),))
        fault = self._next_fault()
        record = self.store.record_now(session_id)
        _delivered((), fault)
        return record

    async def events(self, after: str | None, limit: int, types: Collection[EventType] | None) -> Page:
        """See `Store.events`."""
        self.reads += 1
        await self._passing.wait()
        self._reach()
        return await self.store.events(after, limit, types)

    def waker(self, types: Collection[EventType], *, leases: bool = False, answered: bool = False) -> Waker:
        """See `Store.waker`; answers are lost here, so that nobody can rely on them."""
        return self.store.waker(types, leases=leases)

    def _count(self, operations: Iterable[Operation]) -> None:
        types = [type(operation) for operation in operations]
        self.trips += 1
        self.batches.append(len(types))
        self.operations.update(types)

    def _next_fault(self) -> Fault:
        """The fault of a batch that passes into the store; raises for one that does not."""
        self._reach()
        fault = self.plan.popleft() if self.plan else Fault.NONE
        if fault is Fault.BEFORE:
            raise StoreUnavailable("the plan says that this batch does not reach the store")
        if fault is Fault.NEVER:
            raise OutcomeUnknown("the plan says that nobody knows what became of this batch")
        return fault

    def _reach(self) -> None:
        if self.down:
            raise StoreUnavailable("the store is down, as the test wants it")


def _delivered(answers: Sequence[Answer], fault: Fault) -> Sequence[Answer]:
    if fault is Fault.LOST:
        raise OutcomeUnknown("the plan says that the answer to this batch is lost")
    return answers

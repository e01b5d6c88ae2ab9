"""What a store promises.

A store is one function that applies a batch of operations; all the rest is its life and its log.
`kernel.operations` says what each operation means, `kernel.interpreter` is the reference of it, and
`insession.testing.contract` is the suite that every store must pass.

Edges, the same for every store:

- *missing*: reading what is not there answers None, changing it is refused as missing. Never an error.
- *expired*: a session that is due and not yet ended reads as it is; every change but an expiry is
  refused as past due. An expired item reads as it is until it is purged, and counts as absent.
- *repeated*: a change sent again with its change id is done, not stale; a ticket sent again is the same ticket.
- *malformed*: an operation is validated before it reaches a store; a store need not look again.
- *concurrent*: within a partition operations are atomic and have one order; the order of the log is the
  order in which changes became visible.
- *unable*: an error means that the store failed. `StoreUnavailable`: nothing of the batch ran.
  `OutcomeUnknown`: it may have run; sent again with the same change ids it does no harm.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Protocol

from insession.kernel.events import EventType, Page
from insession.kernel.operations import Answer, Operation
from insession.kernel.record import Record


class Waker:
    """A sticky signal: `wait` returns at once if `set` was called since the last `wait` returned."""

    __slots__ = ("__weakref__", "_future", "_onward", "_set", "answered", "leases", "types")

    def __init__(
        self, types: Collection[EventType], *, leases: bool = False, onward: Callable[[str], str] | None = None
    ) -> None:
        self.types: frozenset[EventType] = frozenset(types)
        self.leases: bool = leases
        self.answered: bool = onward is not None
        """Whether it is not set for what answers tell, see `Store.waker`."""
        self._onward = onward
        self._set = False
        self._future: asyncio.Future[None] | None = None

    def onward(self, cursor: str) -> str:
        """Where its owner reads on who read up to a cursor: behind what answers have told since."""
        return cursor if self._onward is None else self._onward(cursor)

    def set(self) -> None:
        """Wake whoever waits, or the next who will. Called on the loop's thread."""
        self._set = True
        if self._future is not None and not self._future.done():
            self._future.set_result(None)

    async def wait(self) -> None:
        """Wait for a `set` since the last return. One waiter at a time."""
        if not self._set:
            self._future = asyncio.get_running_loop().create_future()
            try:
                await self._future
            finally:
                self._future = None
        self._set = False


class Wakers:
    """The wakers of one store; what a store keeps to satisfy `Store.waker`."""

    __slots__ = ("_wakers", "wanted")

    def __init__(self) -> None:
        self._wakers: weakref.WeakSet[Waker] = weakref.WeakSet()
        self.wanted: frozenset[EventType] = frozenset()
        """Every type that somebody waits for, or did when the last waker was made."""

    def waker(
        self, types: Collection[EventType], *, leases: bool = False, onward: Callable[[str], str] | None = None
    ) -> Waker:
        """Make one; it is forgotten when nobody holds it."""
        waker = Waker(types, leases=leases, onward=onward)
        self._wakers.add(waker)
        self.wanted = frozenset().union(*(one.types for one in self._wakers))
        return waker

    def set(self, types: Collection[EventType] | None = None, *, leases: bool = False, answered: bool = False) -> None:
        """Set those that wait for one of these types (None: every one) or for leases.

        ``answered``: answers tell all of these types that they can tell.
        """
        for waker in self._wakers:
            if (
                types is None
                or (leases and waker.leases)
                or not (waker.types.isdisjoint(types) or (answered and waker.answered))
            ):
                waker.set()


class Store(Protocol):
    """Where sessions, items, leases and events lie. One instance serves one namespace."""

    immediate: frozenset[type[Operation]]
    """The operations that never wait: an engine may call `apply_now` for these, without batch or future."""
    most: int
    """So many operations make the largest batch that one `apply` should get."""
    abreast: int
    """So many batches may be under way at once; their changes have the order in which `apply` was called."""

    async def open(self) -> None:
        """Connect and prepare; raises `StoreUnavailable` or `ConfigurationError`. Opened once."""

    async def close(self) -> None:
        """Give up what `open` made, after the batch under way. A second call does nothing."""

    async def now(self) -> float:
        """The store's clock: what deadlines are judged by, in seconds since the epoch."""

    def apply(self, operations: Sequence[Operation]) -> Awaitable[Sequence[Answer]]:
        """Apply a batch: one trip for each partition concerned. The answers come in the order of the operations.

        A store that can send at once does so, and gives a future; others are coroutines.
        """

    def apply_now(self, operation: Operation) -> Answer:
        """Like `apply` of one operation whose type is in `immediate`; called on the loop's thread."""

    def record_now(self, session_id: str) -> Record | None:
        """What `Load` of one id finds, where `Load` is in `immediate`: the shortest way to the most frequent read."""

    async def events(self, after: str | None, limit: int, types: Collection[EventType] | None) -> Page:
        """Up to ``limit`` events after a cursor, of these types (None: all), in the order of the log.

        ``after`` None answers no event and the cursor of the log's end, ``events.START`` begins at
        the first event that is still there. A cursor that is older than that, or of another epoch, gets a page that
        says trimmed. `InvalidInput` names ``cursor`` where it is malformed.
        """

    def waker(self, types: Collection[EventType], *, leases: bool = False, answered: bool = False) -> Waker:
        """A waker that is set after an event of these types became visible, or (``leases``) a lease was handed on.

        By anyone, in any process. It may be set for nothing and must miss nothing that became visible
        after this call. It is forgotten when nobody holds it.

        ``answered``: whoever waits with it takes the endings of one id from the answers of `apply`, all of them and
        before anybody else gets these. So it need not be set for them, and what `Waker.onward` says may pass them; a
        store that does nothing of that sets it as any other. Not told by answers, and never passed: an ending of a
        session that owes work, of a kind that begins with ``~``, and any that is a consequence of something else.
        """

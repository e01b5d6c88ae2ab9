"""Locks in the hand of a thread."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Self

from insession.errors import LeaseError
from insession.kernel.locks import Lock
from insession.kernel.operations import Fence

from .held import Held

if TYPE_CHECKING:
    from .portal import Portal


class BlockingLock:
    """`Lock` for threads: ``with`` waits for it, the loop renews it while the thread works, the end gives it back.

    A thread cannot be cancelled: if the lock is lost or taken over meanwhile, ``error`` says so at once,
    `raise_if_lost` raises it, and the end of the block does. Commits under its ``fence`` are refused from then on.
    """

    __slots__ = ("_held", "_lock", "_portal")

    def __init__(self, portal: Portal, lock: Lock) -> None:
        self._portal = portal
        self._lock = lock
        self._held: Held[Lock] | None = None

    @property
    def name(self) -> str:
        """The lease's name."""
        return self._lock.name

    @property
    def ttl(self) -> float:
        """Seconds that it lasts unless it is renewed."""
        return self._lock.ttl

    @property
    def wait(self) -> float | None:
        """Seconds to wait for it."""
        return self._lock.wait

    @property
    def ticket(self) -> str:
        """Its place, while it is held or waited for."""
        return self._lock.ticket

    @property
    def error(self) -> LeaseError | None:
        """How it was lost, as soon as this process knows."""
        return self._lock.error

    @property
    def notes(self) -> tuple[bytes, ...]:
        """The notes that were taken over so far."""
        return self._lock.notes

    @property
    def until(self) -> float:
        """When it runs out unless it is renewed."""
        return self._lock.until

    @property
    def fence(self) -> Fence:
        """Proof that this lock is held, for commits."""
        return self._lock.fence

    def __enter__(self) -> Self:
        held = self._portal.hold(lambda: self._lock)
        held.__enter__()
        self._held = held
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        held, self._held = self._held, None
        return None if held is None else held.__exit__(kind, error, trace)

    def raise_if_lost(self) -> None:
        """Raise `LockLost` or `Displaced` if it is not held any more, as far as this process knows."""
        self._portal.check()
        if self._lock.error is not None:
            raise self._lock.error

    def take(self) -> tuple[bytes, ...]:
        """As `Lock.take`."""
        return self._portal.call(self._lock.take)

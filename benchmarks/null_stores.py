"""Stores that do nothing: what is left is the engine's own cost."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

from insession.kernel.contract import Waker, Wakers
from insession.kernel.events import EventType, Page
from insession.kernel.operations import (
    Acquire,
    Commit,
    Counted,
    Done,
    End,
    Ends,
    Find,
    Found,
    Granted,
    Load,
    Loaded,
    Operation,
    Purge,
    Release,
    Released,
    Renew,
    Touch,
    Touched,
)
from insession.kernel.record import NEVER, Item, Record

EVERYTHING: Final[frozenset[type[Operation]]] = frozenset(Operation.__args__)


class NullStore:
    """Answers that were made before. ``immediate``: it never waits, so the engine calls it inline."""

    most = 1024
    abreast = 1

    def __init__(self, *, immediate: bool) -> None:
        self.immediate = EVERYTHING if immediate else frozenset()
        self._wakers = Wakers()
        self._one: dict[type, Any] = {
            Touch: Touched(NEVER),
            Commit: Done((7,)),
            Acquire: Granted(1, NEVER),
            Renew: Granted(1, NEVER),
            Release: Released(done=True),
            Find: Found(()),
            Purge: Counted(0),
        }
        self._loaded: Any = Loaded((None,))
        self._item: Any = Loaded((Item("notes/one", b"\x80", 3),))
        self.seen: list[Operation] | None = None
        """What arrives, while somebody wants to know."""
        self.batches = self.operations = 0

    def hold(self, record: Record) -> None:
        """What every load of a record finds."""
        self._loaded = Loaded((record,))
        self._ends = Ends((record.id,), (9,))

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def now(self) -> float:
        return 1_800_000_000.0

    def apply_now(self, operation: Operation) -> Any:
        if self.seen is not None:
            self.seen.append(operation)
        return self._answer(operation)

    def record_now(self, session_id: str) -> Record | None:  # noqa: ARG002
        found: Record | None = self._loaded.found[0]
        return found

    async def apply(self, operations: Sequence[Operation]) -> Sequence[Any]:
        self.batches += 1
        self.operations += len(operations)
        if self.seen is not None:
            self.seen += operations
        return list(map(self._answer, operations))

    def _answer(self, operation: Any) -> Any:
        kind = type(operation)
        if kind is Load:
            return self._item if "/" in operation.keys[0] else self._loaded
        if kind is End:
            return Ends((), ()) if operation.pick.index == "due" else self._ends
        return self._one[kind]

    async def events(self, after: str | None, limit: int, types: Collection[EventType] | None) -> Page:  # noqa: ARG002
        return Page((), "null:0", "null:0")

    def waker(self, types: Collection[EventType], *, leases: bool = False, answered: bool = False) -> Waker:  # noqa: ARG002
        return self._wakers.waker(types, leases=leases)

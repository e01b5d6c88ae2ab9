"""What an embedded store gives the interpreter to work on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from insession.kernel.events import Event
from insession.kernel.leases import Lease
from insession.kernel.operations import Find, Index, Mark, Pick
from insession.kernel.record import Item, Record, State

Place = tuple[float, str]
"""Rank and id: where a record stands in an index, within its kind and state."""


class Rows(Protocol):
    """What an embedded store keeps, as the interpreter needs it. Everything happens within one atom."""

    mark: Mark | None
    """How the store stands, if it is not open."""

    def next_number(self) -> int:
        """The next number of the partition's counter: versions and fencing tokens."""

    def record(self, session_id: str) -> Record | None:
        """The record under an id."""

    def write(self, record: Record, old: Record | None) -> None:
        """Put a record in place of ``old``, in every index."""

    def drop(self, record: Record) -> None:
        """Remove a record from everywhere."""

    def item(self, key: str) -> Item | None:
        """The item under a key."""

    def put(self, item: Item, old: Item | None) -> None:
        """Put an item in place of ``old``."""

    def remove(self, item: Item) -> None:
        """Remove an item."""

    def lease(self, name: str) -> Lease | None:
        """A lease that somebody holds or waits for."""

    def keep_lease(self, name: str, lease: Lease | None) -> None:
        """Put a lease; None: nobody holds it or waits."""

    def log(self, event: Event) -> None:
        """Append an event; it gets its position."""

    def walk(self, pick: Pick | Find, kind: str, state: State, after: Place | None, most: int) -> Sequence[Record]:
        """The first records of an index of one kind and state, after a place, in the order of rank and id."""

    def due(self, kind: str, before: float, most: int) -> Sequence[Record]:
        """Live records of a kind with ``due <= before``, in the order of due and id."""

    def next_due(self, kinds: Iterable[str]) -> float:
        """The earliest due time of a live record of these kinds."""

    def count(self, index: Index, value: str | None, kind: str, state: State) -> int:
        """How many records of a kind and state an index holds."""

    def kinds(self) -> Iterable[str]:
        """Names of the kinds that have records, in order."""

    def items(self, prefix: str, after: str, most: int) -> Sequence[Item]:
        """Items whose key begins with a prefix, after a key, in key order."""

    def items_of(self, owner: str, after: str, most: int) -> Sequence[Item]:
        """Items of an owner, after a key, in key order."""

    def items_expired(self, before: float, most: int) -> Sequence[Item]:
        """Items with ``expires <= before``, in that order."""

    def leases(self, prefix: str, after: str, most: int) -> Sequence[Lease]:
        """Leases whose name begins with a prefix, after a name, in order."""

    def leases_over(self, before: float, most: int) -> Sequence[Lease]:
        """Leases whose permits and tickets all ran out by then; few leases are there at all."""

    def adopt(self, record: Record) -> None:
        """Put a record of another store; others here may have its version."""

    def adopt_item(self, item: Item) -> None:
        """Put an item of another store; others here may have its version."""

    def last_number(self) -> int:
        """The last number of the partition's counter, or a greater one."""

    def skip_numbers(self, number: int) -> None:
        """Let the counter go on above this number, if it is not there yet."""

    def begin_epoch(self) -> None:
        """Begin another epoch of the log."""

    def trim(self, before: float, most: int) -> int:
        """Forget up to ``most`` of the oldest events older than ``before`` less the retention; how many it were."""

    def forget(self, owner: str, most: int) -> int:
        """Forget up to ``most`` events of an owner; cursors pass the gap."""

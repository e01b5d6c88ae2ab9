"""Where dialogues are kept: a driver is an engine over any store.

A turn is two trips: `Driver.visit` takes the chat's lease and reads what the turn needs, `Visit.finish` writes all
of it and gives the lease back. `insession.testing.dialogue` has the suite that every driver must pass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Final, Protocol, Self

import msgspec

from insession.errors import InsessionError
from insession.kernel.followers import Follower
from insession.kernel.operations import Put, Refused
from insession.kernel.record import Item, Record

KIND: Final = "dialogue"
"""The kind of dialogue sessions, in the engine and everywhere that shows kinds."""


class Place(msgspec.Struct, frozen=True):
    """Where the data of one chat lies."""

    chat_id: str
    owner: str
    """The user of a chat that is computed from its user, else the chat."""
    record: str
    """The id of the record of the chat's session."""
    home: str
    """An id in the same partition that no session has: what outlives the session lies under it."""
    lease: str
    """The name of the lease of its turns."""
    turns: str
    """The key of what it remembers of its last turns."""


class Policy(msgspec.Struct, frozen=True):
    """How a turn waits for its chat."""

    ttl: float
    wait: float | None
    queue: int | None
    displace: bool = False
    note: bytes | None = None
    take: bool = False
    cancel: bool = True


class Visit(Protocol):
    """A chat under its lease, within ``async with``."""

    record: Record | None
    items: Mapping[str, Item | None]
    notes: tuple[bytes, ...]

    async def __aenter__(self) -> Self:
        """Wait for the chat's lease."""

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        """Give the lease back."""

    def cancel(self, why: InsessionError) -> None:
        """Cancel the block, which then raises this."""

    @property
    def lost(self) -> bool:
        """Whether the lease was lost or taken over: nothing of the turn can be saved any more."""

    async def finish(self, change: Change) -> Refused | tuple[int, ...]:
        """Write a turn, all of it or nothing, and give the lease back unless somebody waits for it.

        Raises `TurnLost` and `TurnReplaced` where the lease is known to be lost.
        """


class Change(msgspec.Struct, frozen=True):
    """What a turn writes.

    ``data`` is the session's new data (None: as it was), ``quit`` a reason that ends the session, ``puts`` the items.
    """

    id: str
    data: bytes | None
    opens: bool
    puts: Sequence[Put] = ()
    quit: str | None = None
    touch: bool = True


class Driver(Protocol):
    """Where dialogues are kept."""

    immediate: bool
    """Whether nothing that it does ever waits."""
    most_data: int
    """So many bytes a session's data, a memory, or the replies of a turn may have."""

    async def open(self) -> None:
        """Open what is not open yet."""

    async def close(self) -> None:
        """Close what `open` opened."""

    def place(self, chat_id: str, owner: str) -> Place:
        """Where a chat's data lies: the same in every process."""

    def key(self, routed_by: str, digits: str, name: str) -> str:
        """The key of an item that belongs to no session, in the partition of a text."""

    def owner(self, owner: str) -> str:
        """An owner as the store names it: under encryption a keyed digest."""

    def visit(self, place: Place, keys: Sequence[str], policy: Policy) -> Visit:
        """The chat under its lease, with its session's record and these items, read in the same trip.

        Raises `TurnRefused`, and out of the block `TurnLost` and `TurnReplaced`.
        """

    async def load(self, keys: Sequence[str]) -> dict[str, Item | None]:
        """Items as they are."""

    async def write(self, change: str, puts: Sequence[Put]) -> Refused | None:
        """Write items that belong together: all of them, or none."""

    async def find(self, owner: str, after: str | None) -> tuple[list[Item], str | None]:
        """A page of the items of an owner."""

    def follow(self, follower: Follower) -> Callable[[], None]:
        """Let it hear of every ending of a dialogue session; what this returns ends that."""

    def now(self) -> float:
        """The store's time."""

    async def sleep(self, seconds: float) -> None:
        """Wait for so long."""

    def fresh_change(self) -> str:
        """An id for a change that no other change has."""

    def fresh_id(self) -> str:
        """32 hexadecimal digits that nobody can guess."""

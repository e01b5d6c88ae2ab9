"""Facts of the log, their positions, and cursors."""

from __future__ import annotations

import enum
import secrets
from typing import Final

import msgspec

from insession.errors import InvalidInput


class EventType(enum.StrEnum):
    """What happened."""

    __hash__ = str.__hash__  # that of enumerations is written in Python, and every reader filters by it

    OPENED = "opened"
    UPDATED = "updated"
    INTERRUPTED = "interrupted"
    EXPIRED = "expired"
    CLOSED = "closed"
    STOPPED = "stopped"
    ORPHANED = "orphaned"
    DISPLACED = "displaced"


ENDINGS: Final = frozenset({EventType.INTERRUPTED, EventType.EXPIRED, EventType.CLOSED})
"""What ends a session."""
FOLLOWED: Final = ENDINGS | {EventType.DISPLACED}
"""What an engine always asks for: it stops work."""


class Event(msgspec.Struct, frozen=True, gc=False):
    """One fact with its position.

    ``change`` is the id of the change that made it; of a ``displaced`` event ``id`` is the lease's
    name, ``version`` the fencing token that became void, ``change`` the ticket of its holder.
    """

    type: EventType
    time: float
    id: str
    kind: str
    owner: str | None
    version: int
    reason: str | None
    change: str
    node: str
    """Name of the engine that made it."""
    position: int = 0
    partition: int = 0


class Page(msgspec.Struct, frozen=True):
    """Some of the log: it begins at the cursor ``begin`` and goes on at ``cursor``; ``more``: at once.

    ``trimmed``: the cursor asked for is older than the log (or of an earlier epoch); the events
    begin at the first position that is still there.
    """

    events: tuple[Event, ...]
    begin: str
    cursor: str
    more: bool = False
    trimmed: bool = False


class Cursor(msgspec.Struct, frozen=True):
    """How far a reader has come in every partition of a log, within one epoch of it.

    In text ``<epoch>:<position>[,<position>...]``; the epoch is lower-case letters and digits.
    """

    epoch: str
    positions: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.epoch}:{','.join(map(str, self.positions))}"

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """Read a cursor; `InvalidInput` names the field ``cursor``."""
        epoch, colon, places = text.partition(":")
        numbers = places.split(",")
        if not (colon and epoch.isascii() and epoch.isalnum() and len(text) <= 4096):  # noqa: PLR2004
            raise InvalidInput("cursor", "is not one that a page or an event stream gave out")
        if not all(number.isascii() and number.isdigit() and len(number) <= 19 for number in numbers):  # noqa: PLR2004
            raise InvalidInput("cursor", "its positions are not numbers")
        return cls(epoch, tuple(map(int, numbers)))


def fresh_epoch() -> str:
    """A name for an epoch that no other has."""
    return secrets.token_hex(4)


START: Final = "0"
"""A cursor before everything that the log still holds; never trimmed."""

"""A session at rest, and an item: the two things a store keeps.

Times are seconds since the epoch (float), durations are seconds (float), ``NEVER`` stands for
"no such deadline".
"""

from __future__ import annotations

import enum
import math
from typing import Final

import msgspec

NEVER = math.inf
NODE_KIND = "~node"
"""The kind of an engine's own session; kinds that begin with ``~`` are in no count of all."""
CHECKS: Final = "~keys/"
"""Items below it tell whether a key is the store's; each stays sealed by its own key, and holds nothing."""


class State(enum.StrEnum):
    """Where a session stands. ``active`` has exactly one end: one of the other three."""

    __hash__ = str.__hash__  # that of enumerations is written in Python, and every index asks for it

    ACTIVE = "active"
    INTERRUPTED = "interrupted"
    EXPIRED = "expired"
    CLOSED = "closed"


ENDS: Final = (State.INTERRUPTED, State.EXPIRED, State.CLOSED)


class Outcome(enum.StrEnum):
    """How the work of an ended session stopped, from best to worst."""

    RETURNED = "returned"
    CANCELLED = "cancelled"
    ABANDONED = "abandoned"


# Reading a member of an enumeration costs more than all else that these lines do.
_ACTIVE: Final = State.ACTIVE


class Record(msgspec.Struct, frozen=True, gc=False):
    """A session at rest: an envelope that stores may read, and ``data``, which no store reads.

    A record is never changed: a change makes another one. The collector skips it, because it holds
    nothing that could form a cycle.
    """

    id: str
    kind: str
    owner: str | None
    node: str | None
    state: State
    version: int
    """Taken from the counter of the partition at every change, so that no number comes twice."""
    change: str
    """Id of the change that wrote it last; sent again, that change is done and not stale."""
    opened: float
    touched: float
    window: float
    """Touches closer together than this are not written."""
    reach: float
    """Idle timeout plus window: how far a touch moves the idle deadline."""
    absolute: float
    due: float
    """The nearer of the idle and the absolute deadline."""
    ended: float
    reason: str | None
    keep: float
    """How long an ended session stays readable."""
    finish: bool
    """Whether work after the ending is still owed."""
    stopped: str | None
    """How the work stopped, see `Outcome`."""
    data: bytes

    @property
    def live(self) -> bool:
        """Whether nobody has ended it (it may be due all the same)."""
        return self.state is _ACTIVE

    @property
    def gone(self) -> float:
        """When an ended record may be purged; never, while work after its ending is owed."""
        return NEVER if self.finish else self.ended + self.keep

    @property
    def rank(self) -> float:
        """Its place in every index: by opening while it lives, by purge time after."""
        return self.opened if self.state is _ACTIVE else self.gone


class Item(msgspec.Struct, frozen=True, gc=False):
    """What is no session: a key with bytes, and a version.

    A key holds at least one ``/`` (a session id holds none). Under a session's id
    (``<id>/name``) it lies with that session and goes when its record is replaced or purged.
    """

    key: str
    data: bytes
    version: int
    changes: tuple[str, ...] = ()
    """Ids of the last eight changes that wrote it."""
    owner: str | None = None
    expires: float = NEVER

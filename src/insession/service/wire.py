"""What travels over HTTP: the bodies of requests and answers.

The words are those of the engine. Times are seconds since the epoch, durations are seconds.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, UnsetType

from insession.errors import DataUnreadable
from insession.kernel.batching import MOST_WAITING
from insession.kernel.events import Event
from insession.kernel.record import State
from insession.kernel.session import Deadlines, Session
from insession.kernel.terms import MOST_PERMITS
from insession.kernel.tickets import TTL

from .shapes import KIND, OWN_KIND, REASON, TEXT, TICKET, TIMEOUT, VERSION, Shape, shape

LONGEST_WAIT: Final = 60.0
"""So many seconds an interrupt may wait until the work has stopped."""
WAIT: Final[Shape] = {"minimum": 0.0, "maximum": LONGEST_WAIT}


class OpenSession(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A session to be opened. What is missing is decided by its kind.

    ``name`` is what the other party calls it: of one kind, owner and name one session lives at a time.
    ``idle`` and ``absolute`` are seconds; null: never.
    """

    kind: Annotated[str, shape(OWN_KIND)] = "session"
    owner: Annotated[str, shape(TEXT)] | None = None
    name: Annotated[str, shape(TEXT)] | None = None
    data: Any = None
    idle: Annotated[float, shape(TIMEOUT)] | UnsetType | None = UNSET
    absolute: Annotated[float, shape(TIMEOUT)] | UnsetType | None = UNSET


class InterruptSession(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why a session is interrupted, and how many seconds to wait until its work has stopped."""

    reason: Annotated[str, shape(REASON)] = "interrupted"
    wait: Annotated[float, shape(WAIT)] | None = None


class CloseSession(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why a session is closed."""

    reason: Annotated[str, shape(REASON)] = "completed"


class InterruptAll(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which sessions are interrupted: of a kind, of an owner, of both, or with neither all; and why."""

    kind: Annotated[str, shape(KIND)] | None = None
    owner: Annotated[str, shape(TEXT)] | None = None
    reason: Annotated[str, shape(REASON)] = "interrupted"


class AcquireLock(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A permit of a lock is asked for, or asked for again with the same ticket, which keeps its place.

    ``ticket`` is yours to choose (nobody else may guess it); without one the answer brings one. A ticket lives ``ttl``
    seconds from its last question. ``permits`` are how many may hold the lock at once, ``queue`` how many may wait (0:
    none). ``note`` is what a holder may take over from those who wait; ``again``: this ticket has waited before, and
    when its note was taken and is done with, it is refused rather than queued anew.
    """

    name: Annotated[str, shape(TEXT)]
    ticket: Annotated[str, shape(TICKET)] | None = None
    ttl: Annotated[float, shape(TIMEOUT)] = TTL
    permits: Annotated[int, shape({"minimum": 1, "maximum": MOST_PERMITS})] = 1
    queue: Annotated[int, shape({"minimum": 0, "maximum": MOST_WAITING})] | None = None
    note: str | None = None
    again: bool = False


class RenewLock(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A permit is prolonged by ``ttl`` seconds from now."""

    name: Annotated[str, shape(TEXT)]
    ticket: Annotated[str, shape(TICKET)]
    fencing_token: Annotated[int, shape(VERSION)]
    ttl: Annotated[float, shape(TIMEOUT)] = TTL


class ReleaseLock(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A permit, or a place in the queue, is given back; with ``fencing_token`` only that permit."""

    name: Annotated[str, shape(TEXT)]
    ticket: Annotated[str, shape(TICKET)]
    fencing_token: Annotated[int, shape(VERSION)] | None = None


class Erase(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whose sessions, items and events are removed."""

    owner: Annotated[str, shape(TEXT)]


class SessionView(msgspec.Struct, frozen=True):
    """A session as it is shown. A list leaves its data out. ``node`` is the process that it belongs to."""

    id: str
    kind: str
    owner: str | None
    state: State
    reason: str | None
    version: int
    opened: float
    touched: float
    deadlines: Deadlines
    ended: float | None
    stopped: str | None
    node: str | None = None
    data: Any = UNSET
    unreadable: str | UnsetType = UNSET
    """Why the data cannot be shown; it is null then."""


class SessionList(msgspec.Struct, frozen=True):
    """A page of sessions; ``cursor`` is where the next one begins, null at the end."""

    sessions: list[SessionView]
    cursor: str | None


class NodeList(msgspec.Struct, frozen=True):
    """The processes that own work now: sessions of the kind ``~node``, with name, host and pid as their data."""

    nodes: list[SessionView]


class LockView(msgspec.Struct, frozen=True):
    """A lock that somebody holds or waits for: the tickets of both, in their order."""

    name: str
    holders: list[str]
    waiting: list[str]


class LockList(msgspec.Struct, frozen=True):
    """A page of locks; ``cursor`` is where the next one begins, null at the end."""

    locks: list[LockView]
    cursor: str | None


class LockGranted(msgspec.Struct, frozen=True):
    """The permit is held until ``expires`` unless it is renewed; the fencing token proves it and only grows."""

    ticket: str
    fencing_token: int
    expires: float
    granted: Literal[True] = True


class LockWaiting(msgspec.Struct, frozen=True):
    """Not yet. Ask again with the same ticket within ``look_again`` seconds; ``ahead`` are before it."""

    ticket: str
    look_again: float
    ahead: int
    granted: Literal[False] = False


class LockReleased(msgspec.Struct, frozen=True):
    """Nothing is held under this ticket any more."""

    released: Literal[True] = True


class ItemView(msgspec.Struct, frozen=True):
    """An item without its data; ``size`` is how many bytes that has, as it is kept."""

    key: str
    version: int
    expires: float | None
    owner: str | None
    size: int


class ItemList(msgspec.Struct, frozen=True):
    """A page of items; ``cursor`` is where the next one begins, null at the end."""

    items: list[ItemView]
    cursor: str | None


class ItemWritten(msgspec.Struct, frozen=True):
    """An item's version after it was written."""

    key: str
    version: int


class Erased(msgspec.Struct, frozen=True):
    """How many sessions, items and events were removed."""

    erased: int


class Ending(msgspec.Struct, frozen=True):
    """A session after somebody asked for its end; ``won``: this request ended it (else it had ended before)."""

    won: bool
    session: SessionView


class InterruptedAll(msgspec.Struct, frozen=True):
    """How many sessions this request ended."""

    interrupted: int


class History(msgspec.Struct, frozen=True):
    """What the log still knows of a session, oldest first."""

    events: list[Event]


class Health(msgspec.Struct, frozen=True):
    """The process lives."""

    status: Literal["ok"] = "ok"


class Ready(msgspec.Struct, frozen=True):
    """The store answers, and this is its time."""

    time: float
    status: Literal["ready"] = "ready"


def shown(session: Session, *, data: bool = True, wanted: bool = True) -> SessionView:
    """A session as it is shown; `DataUnreadable` where the data of a live one cannot be, and is what is ``wanted``."""
    content, unreadable = _as_json(session, wanted=wanted) if data else (UNSET, UNSET)
    return SessionView(
        session.id,
        session.kind,
        session.owner,
        session.state,
        session.reason,
        session.version,
        session.opened,
        session.touched,
        session.deadlines,
        session.ended,
        session.stopped,
        session.record.node,
        content,
        unreadable,
    )


def _as_json(session: Session, *, wanted: bool) -> tuple[msgspec.Raw, str | UnsetType]:
    """A session's data, and why it cannot be shown: of one that has ended that is no reason to fail."""
    try:
        return as_json(session.id, session.data), UNSET
    except DataUnreadable as error:
        if wanted and session.record.live:
            raise
        return msgspec.Raw(b"null"), error.problem


def as_json(key: str, data: object) -> msgspec.Raw:
    """Data of a session or an item as JSON; `DataUnreadable` where it is nothing that JSON knows."""
    try:
        return msgspec.Raw(msgspec.json.encode(data))
    except (TypeError, ValueError, RecursionError) as error:
        # A program may keep more than JSON has, such as keys that are no text.
        raise DataUnreadable(key, f"cannot be shown as JSON: {error}") from None

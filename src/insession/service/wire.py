"""What travels over HTTP: the bodies of requests and answers.

The words are those of the engine. Times are seconds since the epoch, durations are seconds.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from insession.errors import DataUnreadable
from insession.kernel.events import Event
from insession.kernel.record import State
from insession.kernel.session import Deadlines, Session


class OpenSession(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A session to be opened. What is missing is decided by its kind.

    ``name`` is what the other party calls it: of one kind, owner and name one session lives at a time.
    ``idle`` and ``absolute`` are seconds; null: never.
    """

    kind: str = "session"
    owner: str | None = None
    name: str | None = None
    data: Any = None
    idle: float | UnsetType | None = UNSET
    absolute: float | UnsetType | None = UNSET


class InterruptSession(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why a session is interrupted, and how many seconds to wait until its work has stopped."""

    reason: str = "interrupted"
    wait: float | None = None


class CloseSession(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why a session is closed."""

    reason: str = "completed"


class InterruptAll(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which sessions are interrupted: of a kind, of an owner, of both, or with neither all; and why."""

    kind: str | None = None
    owner: str | None = None
    reason: str = "interrupted"


class SessionView(msgspec.Struct, frozen=True):
    """A session as it is shown. A list leaves its data out."""

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
    data: Any = UNSET
    unreadable: str | UnsetType = UNSET
    """Why the data of an ended session cannot be shown; it is null then."""


class SessionList(msgspec.Struct, frozen=True):
    """A page of sessions; ``cursor`` is where the next one begins, null at the end."""

    sessions: list[SessionView]
    cursor: str | None


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
    """The store answers, and this is its time."""

    status: str
    time: float


def shown(session: Session, *, data: bool = True) -> SessionView:
    """A session as it is shown; `DataUnreadable` where the data of a live one cannot be."""
    content, unreadable = _as_json(session) if data else (UNSET, UNSET)
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
        content,
        unreadable,
    )


def _as_json(session: Session) -> tuple[msgspec.Raw, str | UnsetType]:
    """A session's data, and why it cannot be shown: of one that has ended that is no reason to fail."""
    try:
        return msgspec.Raw(_encoded(session)), UNSET
    except DataUnreadable as error:
        if session.record.live:
            raise
        return msgspec.Raw(b"null"), error.problem


def _encoded(session: Session) -> bytes:
    try:
        return msgspec.json.encode(session.data)
    except (TypeError, ValueError, RecursionError) as error:
        # A program may keep more than JSON has, such as keys that are no text.
        raise DataUnreadable(session.id, f"cannot be shown as JSON: {error}") from None

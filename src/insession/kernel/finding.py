"""What a caller looks for, checked: states, event types, and the cursors of pages."""

from __future__ import annotations

from insession.errors import InvalidInput
from insession.kernel.events import EventType
from insession.kernel.ids import check_id, check_kind, check_text
from insession.kernel.record import State
from insession.kernel.urls import unknown


def check_state(state: State | str | None) -> State | None:
    """A state by its name; None: any."""
    if state is None:
        return None
    try:
        return State(state)
    except ValueError:
        raise InvalidInput("state", unknown("state", str(state), list(State))) from None


def check_type(name: EventType | str) -> EventType:
    """An event type by its name."""
    try:
        return EventType(name)
    except ValueError:
        raise InvalidInput("types", unknown("event type", str(name), list(EventType))) from None


def check_page(cursor: str | None) -> str | None:
    """A cursor of a page of sessions, as `Find` gives it."""
    if cursor is None:
        return None
    check_text(cursor, "cursor")
    kind, state, rank, session_id = (*cursor.split("|"), "", "", "")[:4]
    try:
        check_kind(kind)
        check_id(session_id)
        whole = cursor == f"{kind}|{int(state)}|{float(rank)!r}|{session_id}"
    except ValueError:
        whole = False
    if not whole:
        raise InvalidInput("cursor", "is not one that a page gave out")
    return cursor

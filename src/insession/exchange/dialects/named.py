"""The events that both generations have: the session's own, and what is said of answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from .dialect import (
    AbortConfirmed,
    AbortDenied,
    Aborted,
    AuthError,
    Closed,
    Heard,
    Rejoined,
    RejoinRefused,
    Started,
    StartRefused,
    fields_of,
    id_in,
    id_or_none,
    message_in,
)


def _closed(payload: object) -> Heard:
    fields = fields_of(payload)
    why = fields.get("type")
    if why not in ("finish", "timeout-close"):
        # It is closed all the same: a word that nobody knows is no reason to wait for ever.
        why = None
    return Closed(session_id=id_or_none(fields, "sessionId"), why=why)


def _aborted(payload: object) -> Heard:
    fields = payload if isinstance(payload, Mapping) else {}
    return Aborted(session_id=id_or_none(fields, "sessionId"), message=message_in(payload))


SESSION_EVENTS: Final[Mapping[str, Callable[[object], Heard]]] = {
    "connection-auth-error": lambda payload: AuthError(message=message_in(payload)),
    "session-start-success": lambda payload: Started(session_id=id_in(fields_of(payload), "sessionId")),
    "session-start-error": lambda payload: StartRefused(message=message_in(payload)),
    "session-reconnect-success": lambda payload: Rejoined(session_id=id_in(fields_of(payload), "sessionId")),
    "session-reconnect-error": lambda payload: RejoinRefused(message=message_in(payload), asked=True),
    "session-auto-reconnect-error": lambda payload: RejoinRefused(message=message_in(payload), asked=False),
    "session-close": _closed,
    "session-abort": _aborted,
    "session-cliend-abort-success": lambda payload: AbortConfirmed(message=message_in(payload)),
    "session-client-abort-success": lambda payload: AbortConfirmed(message=message_in(payload)),
    "session-cliend-abort-error": lambda payload: AbortDenied(message=message_in(payload)),
    "session-client-abort-error": lambda payload: AbortDenied(message=message_in(payload)),
}
"""By the name with hyphens, in both spellings where the document and the servers differ (R32)."""

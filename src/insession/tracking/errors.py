"""What the tracking face raises; a branch of `insession.errors`.

The tree::

    TrackingError
    ├── NotInitialized        call `initialize` first; it said why if it answered False
    ├── TooManySessions       also a LimitReached
    ├── HardwareIDFailed      no hardware id can be had, and one is required
    ├── UnknownSession        also a SessionNotFound
    └── ForeignSession        also a PermissionError: the session belongs to another hardware id

No message carries a hardware id.
"""

from __future__ import annotations

import re
from typing import Final

from insession.errors import InsessionError, LimitReached, SessionNotFound

_ID: Final = re.compile(r"[0-9a-f]{32}")


class TrackingError(InsessionError):
    """Root of what the tracking face raises."""


class NotInitialized(TrackingError):
    """The manager or provider does not run."""

    def __init__(self, what: str = "SessionManager") -> None:
        super().__init__(f"{what} not initialized; await initialize() first, and look whether it answers True")


class TooManySessions(TrackingError, LimitReached):
    """As many sessions live as ``max_concurrent_sessions`` allows."""

    def __init__(self, most: int) -> None:
        InsessionError.__init__(
            self, f"Maximum concurrent sessions reached ({most}); end one first, or raise max_concurrent_sessions"
        )
        self.kind = "device"
        self.most = most


class HardwareIDFailed(TrackingError):
    """A hardware id is required and cannot be had."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"Hardware ID generation failed: {problem}")


class UnknownSession(TrackingError, SessionNotFound):
    """There is no such session: never created, or dropped from the history since."""

    def __init__(self, session_id: object) -> None:
        # What has not the form of an id may be anything, a hardware id too, and is not shown.
        self.session_id: str = session_id if isinstance(session_id, str) and _ID.fullmatch(session_id) else "?"
        problem = "that is no session id" if self.session_id == "?" else "it was never created, or is history by now"
        InsessionError.__init__(self, f"Session not found: {self.session_id}; {problem}")


class ForeignSession(TrackingError, PermissionError):
    """The session belongs to another hardware id than the caller's."""

    def __init__(self, session_id: str) -> None:
        super().__init__(f"session {session_id!r} belongs to another hardware id than the caller's")
        self.session_id = session_id

"""The one shape of an error over HTTP: problem details (RFC 9457).

The table says which problem each error of insession becomes. The command line takes its exit codes
from the same names, so that a store and a service fail alike.
"""

from __future__ import annotations

import math
from http import HTTPStatus
from typing import Final

import msgspec

from insession.errors import (
    ConfigurationError,
    Conflict,
    CursorTrimmed,
    DataUnreadable,
    Displaced,
    InsessionError,
    InvalidInput,
    LeaseError,
    LimitReached,
    LockLost,
    LockTimeout,
    OutcomeUnknown,
    Overloaded,
    SessionEnded,
    SessionNotFound,
    StoreError,
    StoreUnavailable,
)

MEDIA_TYPE: Final = "application/problem+json"
URN: Final = "urn:insession:problem:"
"""A problem's ``type`` is this and its name. It names the problem; there is nothing to fetch."""
RETRY_AFTER: Final = "1"


class PreconditionFailed(Conflict):
    """The version that If-Match names is not the current one."""


class NotServed(InsessionError):
    """The request came under a host name, or from a web page, that this service does not serve."""


class Unauthorized(InsessionError):
    """The request shows no token, or one that this service does not know (``shown``)."""

    def __init__(self, *, shown: bool) -> None:
        what = "this token is not known here" if shown else "this service asks for a token"
        super().__init__(f"{what}; send one that it knows in the header Authorization, as in: Bearer <token>")
        self.shown = shown


class ReadOnly(InsessionError):
    """The token may only read."""


class TooManyRequests(InsessionError):
    """The caller asks more often than it may. ``seconds``: after so many there is room."""

    def __init__(self, seconds: float) -> None:
        super().__init__("too many requests; ask again after the seconds that Retry-After says")
        self.seconds = seconds


class Stopping(InsessionError):
    """The service was told to stop: it takes no more work."""


class ItemNotFound(InsessionError):
    """The store has no item under this key: never written, deleted, or expired."""


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """What went wrong (RFC 9457). ``detail`` says what to do next.

    ``field`` names the input that was wrong, ``reason`` is why the session ended or the lock is not held (``lost``,
    ``displaced``, ``full``, ``taken``), ``version`` the current one, ``cursor`` where the log goes on.
    """

    type: str
    title: str
    status: int
    detail: str
    field: str | None = None
    reason: str | None = None
    version: int | None = None
    cursor: str | None = None

    @property
    def name(self) -> str:
        """The last part of its type."""
        return self.type.removeprefix(URN)


# The nearest class in an error's ancestry decides.
_TABLE: Final[dict[type[InsessionError], tuple[str, int, str]]] = {
    InvalidInput: ("invalid-input", 400, "The input cannot be taken"),
    Unauthorized: ("unauthorized", 401, "A token is needed"),
    ReadOnly: ("read-only", 403, "This token may only read"),
    NotServed: ("not-served", 403, "This request is not served"),
    SessionNotFound: ("session-not-found", 404, "There is no such session"),
    ItemNotFound: ("item-not-found", 404, "There is no such item"),
    # Not 429: that promises room after a while, and here a session has to be ended first.
    LimitReached: ("limit-reached", 409, "The limit of the kind is reached"),
    Conflict: ("conflict", 409, "Somebody else changed it first"),
    LeaseError: ("lease", 409, "The lease is not held"),
    # Nothing is wrong with the service, and asking again changes nothing: broken data is set aside, its session ends.
    DataUnreadable: ("data-unreadable", 409, "Stored data cannot be read"),
    SessionEnded: ("session-ended", 410, "The session has ended"),
    CursorTrimmed: ("cursor-trimmed", 410, "Events after the cursor are gone"),
    PreconditionFailed: ("precondition-failed", 412, "Somebody else changed it first"),
    TooManyRequests: ("too-many-requests", 429, "Too many requests"),
    ConfigurationError: ("configuration", 500, "The service is not set up for this"),
    StoreError: ("store", 500, "The store failed"),
    InsessionError: ("internal", 500, "Something went wrong"),
    StoreUnavailable: ("store-unavailable", 503, "The store cannot be reached"),
    Stopping: ("stopping", 503, "The service is stopping"),
    Overloaded: ("overloaded", 503, "Too much waits here"),
    # Not 503: that would say that nothing has happened.
    OutcomeUnknown: ("outcome-unknown", 504, "Whether it happened is not known"),
}
_LEASE: Final = {LockLost: "lost", Displaced: "displaced"}
_HTTP: Final = {
    404: ("not-found", "there is no such path; /v1/openapi.json lists those that are"),
    405: ("method-not-allowed", "this path does not take this method; the header Allow names those that it takes"),
    413: ("body-too-large", "the body is too large; keep less in the session's data"),
}


def problem_of(error: InsessionError) -> Problem:
    """The problem that an error becomes."""
    name, status, title = next(_TABLE[cls] for cls in type(error).__mro__ if cls in _TABLE)
    field = error.field if isinstance(error, InvalidInput) else None
    reason = error.reason if isinstance(error, SessionEnded) else _of_lease(error)
    version = error.version if isinstance(error, Conflict) else None
    cursor = error.cursor if isinstance(error, CursorTrimmed) else None
    return Problem(URN + name, title, status, str(error), field, reason, version, cursor)


def headers_of(error: InsessionError, status: int) -> dict[str, str]:
    """The headers that go with a problem: when to ask again, and how to show a token (RFC 6750, section 3)."""
    if isinstance(error, TooManyRequests):
        return {"Retry-After": str(math.ceil(error.seconds))}
    if isinstance(error, Unauthorized):
        return {"WWW-Authenticate": 'Bearer realm="insession"' + ', error="invalid_token"' * error.shown}
    if isinstance(error, ReadOnly):
        return {"WWW-Authenticate": 'Bearer realm="insession", error="insufficient_scope"'}
    return {"Retry-After": RETRY_AFTER} if status == HTTPStatus.SERVICE_UNAVAILABLE else {}


def _of_lease(error: InsessionError) -> str | None:
    """Why a lock is not held, in a word."""
    if isinstance(error, LockTimeout):
        return "taken" if error.taken else "full"
    return next((word for cls, word in _LEASE.items() if isinstance(error, cls)), None)


def http_problem(status: int, detail: str) -> Problem:
    """A problem of HTTP itself: no such path, a method that is not taken, a body that is too large."""
    name, detail = _HTTP.get(status, ("internal" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "http", detail))
    return Problem(URN + name, HTTPStatus(status).phrase, status, detail)

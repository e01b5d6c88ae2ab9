"""Which status a client gets: of a session that ended, and of an error of ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from grpc import StatusCode

from insession.errors import (
    ConfigurationError,
    Conflict,
    InsessionError,
    InvalidInput,
    LeaseError,
    LimitReached,
    SessionEnded,
    SessionNotFound,
    StoreError,
)
from insession.tracking import NotInitialized

SESSION_KEY: Final = "insession-session-id"
"""Trailing metadata: the session that ended."""
STATUS_KEY: Final = "insession-status"
"""Trailing metadata: ``interrupted``, ``expired`` or ``completed``."""
REASON_KEY: Final = "insession-reason"
"""Trailing metadata: the reason, percent-encoded UTF-8 where it is not printable ASCII, or a percent sign."""

STATUSES: Final[Mapping[str, StatusCode]] = {
    # CANCELLED says that the caller gave up, which clients and their statistics take for their own doing.
    "interrupted": StatusCode.ABORTED,
    # A time limit of the server's passed. UNAUTHENTICATED would send the client to log in, which mends nothing.
    "expired": StatusCode.DEADLINE_EXCEEDED,
    "completed": StatusCode.ABORTED,
    # The server goes: another call, later or elsewhere, may work.
    "cleanup": StatusCode.UNAVAILABLE,
    "server_shutdown": StatusCode.UNAVAILABLE,
    "shutdown": StatusCode.UNAVAILABLE,
    "node_lost": StatusCode.UNAVAILABLE,
}
"""By the reason that ended a session, else by its status."""

_ERRORS: Final[tuple[tuple[type[Exception], StatusCode], ...]] = (
    (PermissionError, StatusCode.PERMISSION_DENIED),
    (LimitReached, StatusCode.RESOURCE_EXHAUSTED),
    (SessionNotFound, StatusCode.NOT_FOUND),
    (InvalidInput, StatusCode.INVALID_ARGUMENT),
    (SessionEnded, StatusCode.FAILED_PRECONDITION),
    (Conflict, StatusCode.ABORTED),
    (LeaseError, StatusCode.ABORTED),
    (NotInitialized, StatusCode.UNAVAILABLE),
    (StoreError, StatusCode.UNAVAILABLE),
)
_OF_THE_SERVER: Final = {
    StatusCode.UNAVAILABLE: "sessions are not available at the moment",
    StatusCode.INTERNAL: "the server's sessions do not work",
}
"""What clients are told of problems that are not theirs; the log says more."""
_PLAIN: Final = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")


def checked(statuses: Mapping[str, StatusCode] | None) -> dict[str, StatusCode]:
    """`STATUSES` with a user's own over them; `ConfigurationError` names what is no status of a failure."""
    given: Mapping[str, object] = statuses or {}
    for name, code in given.items():
        if not isinstance(code, StatusCode) or code is StatusCode.OK:
            raise ConfigurationError(f"statuses: {name!r} is to be a StatusCode other than OK")
    return {**STATUSES, **(statuses or {})}


def of_error(error: InsessionError) -> tuple[StatusCode, str]:
    """The status and details for an error of ours."""
    code = next((code for kind, code in _ERRORS if isinstance(error, kind)), StatusCode.INTERNAL)
    return code, _OF_THE_SERVER.get(code, str(error))


def trailing(session_id: str, status: str, reason: str, others: Any) -> tuple[tuple[str, str | bytes], ...]:
    """The trailing metadata of a call whose session ended, after what its handler set."""
    # A blank at either end would be lost on the way (gRPC over HTTP/2, ASCII-Value).
    safe = _PLAIN if reason == reason.strip() else _PLAIN.replace(" ", "")
    ours = ((SESSION_KEY, session_id), (STATUS_KEY, status), (REASON_KEY, quote(reason, safe=safe)))
    return (*others, *ours)

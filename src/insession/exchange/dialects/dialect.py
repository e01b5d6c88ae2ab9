"""What a dialect is: it reads what the platform sends, and writes what it is told. It keeps nothing.

Every id is kept as it came, with its type, and echoed so (R33).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ClassVar, Final, Literal, Protocol

import msgspec

from insession.exchange.contracts import Id, Outgoing
from insession.exchange.errors import NotHasRequiredFieldError, ProtocolError, ValidationError
from insession.exchange.options import StarterOptions

LONGEST_MESSAGE: Final = 1_000
LONGEST_ID: Final = 64 * 1024


class Said(msgspec.Struct, frozen=True):
    """An event to the platform. Without a payload it has none, which is not the same as an empty one."""

    event: str
    payload: Mapping[str, Any] | None = None


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """An event from the platform, read. ``message`` is the platform's own."""

    message: str = ""


class AuthError(Heard, frozen=True, kw_only=True):
    """The token is not taken."""


class Started(Heard, frozen=True, kw_only=True):
    """The session is started."""

    session_id: Id


class StartRefused(Heard, frozen=True, kw_only=True):
    """It is not."""


class Rejoined(Heard, frozen=True, kw_only=True):
    """There is an active session and we are in it."""

    session_id: Id


class RejoinRefused(Heard, frozen=True, kw_only=True):
    """There is none. ``asked``: it answers `Dialect.rejoin`, and is not the platform's own word at a connect."""

    asked: bool


class FileCame(Heard, frozen=True, kw_only=True):
    """A file. ``session_id`` is None where the event has none; ``fetch`` stands where it has no content."""

    session_id: Id | None
    file_id: Id
    content: bytes | None = None
    fetch: Callable[[], Awaitable[bytes]] | None = None
    timeout: float | None = None
    raw: Mapping[str, Any] = {}


class Verdict(Heard, frozen=True, kw_only=True):
    """What the platform says of an answer.

    ``key`` is what `Dialect.key` makes of a file; ``file_id`` is its id, where the verdict has it.
    """

    session_id: Id | None
    key: str
    accepted: bool
    file_id: Id | None = None


class Closed(Heard, frozen=True, kw_only=True):
    """The platform closed the session; ``why`` is None where it says a word that nobody knows."""

    session_id: Id | None
    why: Literal["finish", "timeout-close"] | None


class Aborted(Heard, frozen=True, kw_only=True):
    """The platform aborted the session."""

    session_id: Id | None


class AbortConfirmed(Heard, frozen=True, kw_only=True):
    """The platform did what our abort asked for."""


class AbortDenied(Heard, frozen=True, kw_only=True):
    """It did not."""


class Dialect(Protocol):
    """A generation of the protocol."""

    name: ClassVar[str]

    def hear(self, event: str, payload: object) -> Heard | None:
        """An event, read; None: it is none of this dialect. Raises `ProtocolError` and `FileError`."""

    def start(self, options: StarterOptions) -> Said:
        """Start a session. Raises `InvalidInput` where the options are another generation's."""

    def rejoin(self) -> Said:
        """Join the active session."""

    def abort(self, session_id: Id | None, message: str) -> Said:
        """Abort it."""

    def result(self, outgoing: Outgoing) -> Said:
        """An answer. Raises `ValidationError` where the answer has not the form of the dialect."""

    def key(self, file_id: Id, raw: Mapping[str, Any]) -> str:
        """What verdicts name the file by."""

    async def close(self) -> None:
        """Let go of what was opened."""


def plain(event: str) -> str:
    """An event's name with hyphens: the latest servers write underscores."""
    return event.replace("_", "-")


def fields_of(payload: object) -> Mapping[str, Any]:
    """The fields of a payload."""
    if not isinstance(payload, Mapping):
        raise ProtocolError("payload", "is no JSON object")
    return payload


def id_in(fields: Mapping[str, Any], name: str) -> Id:
    """A required id, as it came."""
    found = id_or_none(fields, name)
    if found is None:
        raise NotHasRequiredFieldError(f"{name}: is missing")
    return found


def id_or_none(fields: Mapping[str, Any], name: str) -> Id | None:
    """An id that may be missing."""
    found = fields.get(name)
    if found is None:
        return None
    if isinstance(found, bool) or not isinstance(found, int | str):
        raise ValidationError(f"{name}: is neither text nor a whole number")
    if isinstance(found, str) and not 0 < len(found) <= LONGEST_ID:
        raise ValidationError(f"{name}: is {'empty' if not found else 'far too long'}")
    return found


def message_in(payload: object) -> str:
    """What the platform says, for people."""
    found = payload.get("message") if isinstance(payload, Mapping) else payload
    return "" if found is None else str(found)[:LONGEST_MESSAGE]

"""What the rooms of an exchange say to each other.

The connector speaks with the platform and knows no disk; the work desk keeps files, journal and answers and knows no
platform. Between them go `Received` (a file came), `Outgoing` (an answer is to go) and the verdict on it. What happens
is told as `ExchangeEvent`, for whoever shows or counts it; what goes over the wire as `WireMessage`, for debug log and
recording.
"""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal, Protocol

import msgspec

from .outcomes import Outcome

Id = int | str
"""An id as the platform sent it: the type is kept, because it is echoed unchanged."""
Resend = Literal["always", "never"]
"""``always``: an answer goes again, with equal bytes, until the platform acknowledged it. ``never``: one that may have
left goes no second time, and is reported as unknown."""


class Received(msgspec.Struct, frozen=True, kw_only=True):
    """A file that the platform sent. Either ``content`` is there, or ``fetch`` gets it (the second dialect).

    ``fetch`` raises `DownloadFailed` or `DownloadTimedOut`. ``timeout`` is how many seconds the platform gives for the
    answer, where that is known, from ``at`` (wall clock). ``raw`` are the other fields of the event, without the
    content, as they came.
    """

    session_id: Id
    file_id: Id
    content: bytes | None = None
    fetch: Callable[[], Awaitable[bytes]] | None = None
    timeout: float | None = None
    at: float = 0.0
    raw: Mapping[str, Any] = {}

    def __repr__(self) -> str:
        return f"Received(file_id={_short(self.file_id)})"


class Answer(msgspec.Struct, frozen=True):
    """An answer as it is journaled and sent: UTF-8 text. A solution's text stays as it is, all else is compact JSON."""

    text: bytes

    def __repr__(self) -> str:
        return f"Answer({len(self.text)} bytes)"


class Outgoing(msgspec.Struct, frozen=True, kw_only=True):
    """An answer with the file that it belongs to: what is sent, also again."""

    session_id: Id
    file_id: Id
    answer: Answer
    raw: Mapping[str, Any] = {}


def _nobody() -> None:
    """Nobody is told."""


class Serving(msgspec.Struct, frozen=True, kw_only=True):
    """What a desk is opened with, once the platform's session is known.

    ``send`` gives an answer to the platform. It returns when the message has been handed to the line, which is not yet
    an acknowledgement; it raises `NotConnectedError` while there is no line (the answer stays pending, and goes
    with `WorkDesk.resend`) and `AnswerTooLarge` where it can never go. ``tell`` takes an `ExchangeEvent`.
    ``parameters`` are those of the start, where this client started it; ``joined``: the session was there already.
    ``file_timeout`` is what the platform gives for each file where it says no more (seconds). ``displaced`` is called
    once another process has taken the session over: the desk writes nothing any more, and nothing is to be sent.
    """

    session_id: Id
    send: Callable[[Outgoing], Awaitable[None]]
    tell: Callable[[ExchangeEvent], None]
    dialect: str
    joined: bool = False
    parameters: Mapping[str, Any] = {}
    file_timeout: float | None = None
    resend: Resend = "always"
    displaced: Callable[[], None] = _nobody


class WorkDesk(Protocol):
    """Where files are kept, solved, and their answers wait. One desk serves one session at a time."""

    async def open(self, serving: Serving) -> None:
        """Begin to serve a session: its journal is loaded, what was saved and not solved is solved again.

        Called once the platform's session id is known. Called again for the same session (a rejoin) it changes
        nothing. Raises `SessionServed`.
        """

    async def take_in(self, file: Received) -> None:
        """Save a file, journal it and queue it for its solution; returns once it is on disk.

        A file that is known already is not solved again; if its answer is there it is sent again, unless ``resend`` is
        ``never``. Never raises for what is wrong with the file: that is told. Raises `SessionServed` once another
        process has taken the session over.
        """

    async def answer(self, file_id: Id, answer: object) -> None:
        """Take an answer that was made elsewhere (`Session.send_file`), journal it and send it.

        Raises `SessionEssayNotCorrectError` where the file is none of this session, or has another answer already.
        """

    async def acknowledged(self, file_id: Id) -> None:
        """The platform took the answer. Again, or for a file that nobody knows: told, and no error."""

    async def refused(self, file_id: Id, message: str) -> None:
        """The platform did not take the answer, and will not."""

    async def resend(self) -> None:
        """There is a line: send what waits for one, earliest deadline first; not what is ``unknown``."""

    async def drain(self, timeout: float) -> None:
        """Finish what is in hand within so many seconds, or leave it journaled."""

    async def close(self, outcome: Outcome) -> None:
        """End serving. With a final outcome the session is over, and its record is closed with that reason."""

    async def last(self) -> Id | None:
        """The id of this participant's session that, as far as the journal knows, is not over; None: there is none."""

    async def still_ours(self) -> None:
        """Return once it is sure that no other process serves the session meanwhile. Raises `SessionServed`."""

    async def over(self, session_id: Id, outcome: Outcome) -> None:
        """A session that is not served here is over: its record, if there is one, is closed with that reason."""


class What(enum.Enum):
    """What an `ExchangeEvent` tells of. The first eight are the connector's, the others the desk's."""

    CONNECTED = "connected"
    DISCONNECTED = "disconnected"
    STARTED = "started"
    JOINED = "joined"
    SENT = "sent"
    """An answer was handed to the line; ``again`` in ``detail`` says that it was there before."""
    REPORTED = "reported"
    """Something was not taken: a malformed or foreign event, a verdict on a file that nobody knows."""
    ENDED = "ended"
    """The session, or serving it, ended; ``detail["outcome"]``."""
    NOTICE = "notice"
    """What a person should know, in ``message``."""

    RECEIVED = "received"
    REPEATED = "repeated"
    """The platform sent a file again."""
    SAVED = "saved"
    SOLVING = "solving"
    SOLVED = "solved"
    FALLBACK = "fallback"
    """The fallback answer stands in for a solution that failed or was late."""
    ACKNOWLEDGED = "acknowledged"
    REFUSED = "refused"
    FAILED = "failed"
    UNKNOWN = "unknown"
    """An answer may have left and was not acknowledged, and goes no second time."""


class ExchangeEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Something happened. Carries no content and no token. ``at`` is wall clock time."""

    what: What
    at: float
    session_id: Id | None = None
    file_id: Id | None = None
    message: str = ""
    detail: Mapping[str, Any] = {}


class WireMessage(msgspec.Struct, frozen=True, kw_only=True):
    """One socket.io event as it went over the wire; the payload has contents in it. ``at`` is wall clock time."""

    at: float
    direction: Literal["in", "out"]
    event: str
    payload: Any = None


class Deadlines(msgspec.Struct, frozen=True, kw_only=True):
    """How many seconds each step may take; each has an error of its own.

    ``connect``: until the first line stands. ``join``: how long to wait for the platform's word on an active session
    (one that says nothing has none). ``start``, ``rejoin``, ``abort``: for the answer to what we asked. ``result``: for
    the verdict on a result. ``download``: for one file. ``session``: for the whole session, None: what its parameters
    say and an hour, and no end where they are not known. ``drain``: for work in hand at the end. ``flush``: for what
    was handed to the line, before it is closed.
    """

    connect: float = 30.0
    join: float = 3.0
    start: float = 30.0
    rejoin: float = 30.0
    abort: float = 30.0
    result: float = 30.0
    download: float = 60.0
    session: float | None = None
    drain: float = 10.0
    flush: float = 5.0


def _short(value: Id, most: int = 40) -> str:
    text = repr(value)
    return text if len(text) <= most else f"{text[:most]}..."

"""What a service has to tell the pool: two small protocols, and what goes between them."""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Generic, Never, Protocol, TypeVar, runtime_checkable
from uuid import UUID

import msgspec

from .errors import OutcomeUnknown

Q = TypeVar("Q")
A = TypeVar("A")
A_co = TypeVar("A_co", covariant=True)


class Ticket(msgspec.Struct, frozen=True, kw_only=True):
    """What the service gives for a login. All of it is secret: no repr shows it, and it cannot be pickled."""

    ref: str
    """The service's session id."""
    user: str | None = None
    """What the service calls the user, if it says."""
    expires: float | None = None
    """So many seconds after the login it dies, however busy it is; None: the service does not say."""
    extra: dict[str, str] = {}
    """Whatever else its transport needs."""

    def __repr__(self) -> str:
        return "<Ticket>"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return []

    def __reduce__(self) -> Never:
        raise TypeError("a ticket is secret; hand a session over with detach and attach")


class Call(msgspec.Struct, Generic[Q], frozen=True, kw_only=True):
    """One request to the service. Its repr does not show what is asked."""

    service: str
    """What is called, for errors and logs."""
    request: Q
    """For the transport only."""
    idempotent: bool = False
    """To send it twice is as good as once: it is sent again where its outcome is unknown."""
    retry_busy: bool = False
    """Send it again where the service says that it took no effect (`Busy`), although it is not idempotent."""
    timeout: float | None = None
    """Seconds for all of it: waiting, renewal and every try. None: no limit but those of the transport."""
    generation: int | None = None
    """It rests on what the service keeps in this generation of the session (a pager, a file's key): after a renewal
    it is not sent, and raises `StateLost`. See `SessionPool.generation`."""

    def __repr__(self) -> str:
        return f"<Call {self.service}>"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("service", self.service)]


class Authenticator(Protocol):
    """How sessions with a service begin and end, for one account. Its methods raise the `Report`s of `errors`.

    Any other exception of `login` counts as "the service refused" and reaches the caller as it is.
    """

    @property
    def service(self) -> str:
        """Whose service it is, for errors, logs and records: ``https://erp.example.com:8180``. No secret in it."""
        ...

    @property
    def account(self) -> str:
        """Whose sessions these are. The store has a keyed digest of it only."""
        ...

    def credentials_digest(self) -> bytes:
        """Bytes that change with the credentials, and that nobody has who does not have them.

        A digest of user and password, say. The pool keeps none of it: what it stores or seals with is derived from it
        by scrypt.
        """
        ...

    async def login(self, tag: str) -> Ticket:
        """Begin a session. ``tag`` names this attempt: a service that can be told (by a User-Agent) shows it again.

        A login whose answer is lost raises `OutcomeLost`, refused credentials raise `CredentialsRefused`, a service
        that gives no further session `ServiceFull`, what never left `NotSent`, what may work later `Busy`.
        """
        ...

    async def logout(self, ticket: Ticket) -> None:
        """End a session. That it is dead already is fine. What this raises is tried again later."""
        ...


@runtime_checkable
class FindsLost(Protocol):
    """What an authenticator may have beyond that: finding sessions whose login was never answered."""

    async def find_lost(self, tag: str) -> Sequence[Ticket]:
        """The sessions at the service that a login with this tag began; empty if the service cannot tell."""
        ...


class Transport(Protocol[Q, A_co]):
    """How a call goes to the service."""

    async def send(self, call: Call[Q], ticket: Ticket) -> A_co:
        """Send it once in the session of this ticket, never twice; its answer.

        Raises the `Report`s of `errors`; any other exception means that it ran, and reaches the caller as it is.
        Cancelled, it gives up the connection that it used.
        """
        ...


class Verdict(enum.Enum):
    """What a verify function says of a call that is not there."""

    NOT_DONE = "not done"
    """It has not run: the caller gets `NotDone`."""
    RESEND = "resend"
    """It has not run: send it again, once."""


NOT_DONE: Final = Verdict.NOT_DONE
RESEND: Final = Verdict.RESEND
Verify = Callable[[OutcomeUnknown], Awaitable[A | Verdict]]
"""Finds out whether a call ran whose answer was lost: the answer, if it did; else a `Verdict`."""


class Renewal(msgspec.Struct, frozen=True):
    """What the renewal hook is told: the session's token, and its generations before and after."""

    token: UUID
    old: int
    new: int

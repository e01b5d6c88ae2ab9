"""Errors of the remote face.

The tree::

    RemoteError
    ├── Report                 what an authenticator or a transport tells the pool; it acts on exactly these
    │   ├── SessionGone        the service does not know the session any more: the call did not run
    │   ├── NotSent            proven not to have left this process
    │   ├── OutcomeLost        the answer was lost: it may have run
    │   ├── Busy               took no effect, and may be tried again
    │   ├── Denied             not permitted, or a dead session that says so
    │   ├── CredentialsRefused wrong user or password; never tried again
    │   └── ServiceFull        the service gives no further session
    ├── PoolClosed             after the end of the pool
    ├── UnknownToken           no session of this pool
    ├── SessionExpired         the session is dead, and was not renewed
    ├── SessionLimit           no session was free in time
    ├── OutcomeUnknown         the call may have run; whoever made it has to find out
    ├── NotDone                a verify function found that it did not run
    ├── StateLost              the call rests on what a session that is gone kept for it
    └── HandoverRefused        a detached session cannot be attached here

No message, repr or pickle of them holds a session id, a password or the content of a request.
"""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from insession.errors import InsessionError


class RemoteError(InsessionError):
    """Root of what goes wrong with sessions that we hold with a service.

    ``error`` is the service's own exception, if there is one: what callers get instead, unless the pool was given
    ``translate``. It does not go into a pickle, and neither does what a request contained.
    """

    not_pickled: ClassVar[frozenset[str]] = frozenset({"error", "request"})

    def __init__(self, text: str = "", *, error: Exception | None = None) -> None:
        super().__init__(text)
        self.error: Exception | None = error

    def __reduce__(self) -> tuple[Any, ...]:
        state = {name: value for name, value in vars(self).items() if name not in self.not_pickled}
        return _unpickled, (type(self), self.args, state)


def _unpickled(kind: type[RemoteError], args: tuple[Any, ...], state: dict[str, Any]) -> RemoteError:
    made = kind.__new__(kind, *args)
    made.args = args
    made.__dict__.update(dict.fromkeys(kind.not_pickled), **state)
    return made


class Report(RemoteError):
    """Root of what an authenticator or a transport tells the pool. Anything else that they raise means: it ran.

    Args:
        text: What happened, without a secret.
        error: The service's own exception, which the caller finally gets.
    """


class SessionGone(Report):
    """The service says that the session is dead: the call did not run. It is renewed once, and the call sent again."""


class NotSent(Report):
    """Proven unsent: refused connection, unknown host, no free connection. Any call may be sent again."""


class OutcomeLost(Report):
    """The connection broke, the time was over or the answer is unreadable: the call may have run, or not."""


class Busy(Report):
    """It took no effect, and may work later: a deadlock, too much competition, an unavailable service."""


class Denied(Report):
    """Not permitted, or a dead session that the service answers so: at most one renewal, then this."""


class CredentialsRefused(Report):
    """The service refuses the credentials. They are not tried again, by no process of the store, until they change.

    ``latched``: nobody was asked just now; they were refused before.
    """

    def __init__(self, text: str = "", *, error: Exception | None = None, latched: bool = False) -> None:
        super().__init__(text or "the service refuses these credentials", error=error)
        self.latched: bool = latched


class ServiceFull(Report):
    """The service gives no further session: its own limit of simultaneous ones is reached."""


class PoolClosed(RemoteError):
    """The pool has ended; nothing is sent any more."""

    def __init__(self) -> None:
        super().__init__("this pool is closed, and its sessions have been logged out; open another")


class UnknownToken(RemoteError, LookupError):
    """No session of this pool: finalized, detached, or never acquired here."""

    def __init__(self, token: UUID) -> None:
        super().__init__(f"no session {token} in this pool; it was finalized, detached, or is another pool's")
        self.token: UUID = token


class SessionExpired(RemoteError):
    """The session is dead at the service, and was not renewed: renewal is off, or failed."""

    def __init__(self, service: str, why: str = "", *, error: Exception | None = None) -> None:
        because = f": {why}" if why else ""
        super().__init__(f"session expired at {service}, and was not renewed{because}", error=error)
        self.service: str = service


class SessionLimit(RemoteError):
    """No session was free in time. ``service_full``: it is the service that gives no more."""

    def __init__(self, service: str, waited: float, *, service_full: bool, error: Exception | None = None) -> None:
        whose = "the limit of the service" if service_full else "max_sessions"
        super().__init__(
            f"no session with {service} was free within {waited:g}s ({whose}); finalize one, or raise the limit",
            error=error,
        )
        self.service: str = service
        self.service_full: bool = service_full


class OutcomeUnknown(RemoteError):
    """The answer of a call was lost that may have run, and must not be sent blindly again.

    Look at the service whether it is there, or give `invoke` a ``verify`` function that does.

    Args:
        service: Whose service it was.
        call: The name of the call.
        request: What was sent. It is in no message, repr or pickle.
        token: Our name of the session.
        at: When it was sent, in seconds since the epoch.
    """

    def __init__(self, service: str, call: str, request: Any, token: UUID, at: float) -> None:
        super().__init__(f"{call} at {service} may have run, or not: its answer was lost; look before sending it again")
        self.service: str = service
        self.call: str = call
        self.request: Any = request
        self.token: UUID = token
        self.at: float = at


class NotDone(RemoteError):
    """The answer of a call was lost, and the verify function found that it has not run; it was not sent again."""

    def __init__(self, service: str, call: str) -> None:
        super().__init__(f"{call} at {service} has not run: its answer was lost, and it is not there")
        self.service: str = service
        self.call: str = call


class StateLost(RemoteError):
    """The call rests on what the service kept in a session that has been renewed since: begin it anew."""

    def __init__(self, service: str, call: str) -> None:
        super().__init__(f"{call} at {service} rests on what a session that is gone kept for it; begin anew")
        self.service: str = service
        self.call: str = call


class HandoverRefused(RemoteError):
    """A detached session cannot be attached here. ``why`` is one word.

    ``used`` (attached before), ``tampered`` (it does not open: changed on the way, or another key), ``service``,
    ``user``, ``expired``, ``store`` (it was detached from another one), ``token`` (not that session's).
    """

    def __init__(self, why: str, problem: str) -> None:
        super().__init__(f"this detached session cannot be attached: {problem}")
        self.why: str = why


def own(error: RemoteError) -> Exception:
    """The service's own exception instead of a report, where there is one: what callers get unless told otherwise."""
    return error.error if isinstance(error, Report) and error.error is not None else error

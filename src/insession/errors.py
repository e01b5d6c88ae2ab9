"""Every error that insession raises.

The tree::

    InsessionError
    ├── ConfigurationError        a URL, a kind or an option that cannot work
    ├── InvalidInput              a value that cannot be taken; names the field
    ├── SessionNotFound           no record under that id
    ├── SessionEnded              the session is over; carries the reason
    │   ├── Interrupted
    │   ├── Expired
    │   └── Closed
    ├── Conflict                  somebody else changed it first
    ├── LimitReached              the kind's limit refuses another session
    ├── LeaseError
    │   ├── LockTimeout           the lock was not granted in time, or its queue is full
    │   ├── LockLost              the lease ran out; what followed was fenced off
    │   └── Displaced             somebody took the lease over
    ├── StoreError
    │   ├── StoreUnavailable      the store did not take the operation; nothing of it ran
    │   │   ├── StoreFull         it has no room for more; reading and ending go on
    │   │   └── StoreMoved        its sessions lie in another store by now; names that
    │   ├── OutcomeUnknown        the answer was lost; it may have run
    │   ├── DataUnreadable        stored data cannot be decoded
    │   └── Overloaded            too many operations wait in this process
    ├── CursorTrimmed             events before the cursor's end are gone; carries where to go on
    ├── BlockingError             a blocking call cannot be made here, see insession.blocking
    │   ├── CalledFromEventLoop   in a thread where an event loop runs
    │   ├── CalledAfterFork       in a process that was forked since
    │   └── PortalClosed          after the end
    ├── RemoteError               of sessions that we hold with a service, see insession.remote.errors
    └── TrackingError             of users and devices, see insession.tracking.errors

No message carries session data, owners or secrets.
"""

from __future__ import annotations


class InsessionError(Exception):
    """Root of everything that insession raises on purpose."""


class ConfigurationError(InsessionError):
    """A URL, a kind, or an option cannot work as given."""


class InvalidInput(InsessionError, ValueError):
    """A value cannot be taken. ``field`` names the argument, ``problem`` says what is wrong."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem


class SessionNotFound(InsessionError, LookupError):
    """The store has no record under this id: never opened, or purged since."""

    def __init__(self, session_id: str) -> None:
        super().__init__(f"no session {session_id!r}; it was never opened, or has been purged")
        self.session_id = session_id


class SessionEnded(InsessionError):
    """The session is over. ``reason`` is the first reason that ended it."""

    word = "ended"

    def __init__(self, session_id: str, reason: str | None = None) -> None:
        super().__init__(f"session {session_id!r} is {self.word}: {reason or 'no reason is known yet'}")
        self.session_id = session_id
        self.reason = reason


class Interrupted(SessionEnded):
    """Somebody interrupted the session."""

    word = "interrupted"


class Expired(SessionEnded):
    """The session passed its idle or its absolute deadline."""

    word = "expired"


class Closed(SessionEnded):
    """The session was closed."""

    word = "closed"


class Conflict(InsessionError):
    """Somebody else changed it first. ``version`` is the current version; load again and decide anew."""

    def __init__(self, key: str, version: int | None) -> None:
        super().__init__(f"{key!r} has changed (its version is now {version}); load it again and decide anew")
        self.key = key
        self.version = version


class LimitReached(InsessionError):
    """The kind's limit refuses another session: end one first, or raise the limit."""

    def __init__(self, kind: str) -> None:
        super().__init__(f"the limit of kind {kind!r} is reached; end a session first, or raise the limit")
        self.kind = kind


class LeaseError(InsessionError):
    """Root of what happens to a lease."""

    saying = "failed"

    def __init__(self, name: str) -> None:
        super().__init__(f"lease {name!r} {self.saying}")
        self.name = name


class LockTimeout(LeaseError):
    """The lock was not granted in time, or its queue is full.

    ``taken``: it will not be granted because a holder took the note over, and is done with it.
    """

    taken = False
    saying = "was not granted in time, or its queue is full"


class LockLost(LeaseError):
    """The lease ran out while it was held; commits under it are refused."""

    saying = "ran out while it was held; commits under its fence are refused"


class Displaced(LeaseError):
    """Somebody took the lease over; commits under the old fence are refused."""

    saying = "was taken over by somebody else; commits under its old fence are refused"


class StoreError(InsessionError):
    """Root of what goes wrong between the engine and its store."""


class StoreUnavailable(StoreError):
    """The store cannot be reached or refused to work; nothing of the operation ran."""


class StoreFull(StoreUnavailable):
    """The store has no room for more: nothing of the operation ran, while reading and ending go on."""


class StoreMoved(StoreUnavailable):
    """The sessions have moved to another store: nothing of the operation ran, and no change ever will here.

    ``store`` is the URL of the other one, without its password.
    """

    def __init__(self, store: str) -> None:
        super().__init__(f"this store has moved to {store}; use that one from now on")
        self.store = store


class OutcomeUnknown(StoreError):
    """The store's answer was lost and could not be found out: the operation may have run, or not."""


class DataUnreadable(StoreError):
    """Stored data cannot be read as the kind says. ``key`` names the session or item, ``problem`` the cause.

    ``broken``: its bytes are proven to be nobody's data any more; its session is set aside. Else they stay as they
    are: another key, or another version of the program, reads them.
    """

    def __init__(self, key: str, problem: str, *, broken: bool = False) -> None:
        super().__init__(f"data of {key!r} cannot be read: {problem}")
        self.key = key
        self.problem = problem
        self.broken = broken


class Overloaded(StoreError):
    """Too many operations wait in this process; let some finish, then try again."""


class CursorTrimmed(InsessionError):
    """Events after the cursor have been trimmed away. ``cursor`` is where the log goes on."""

    def __init__(self, cursor: str) -> None:
        super().__init__("events after this cursor are gone; go on from the cursor that this error carries")
        self.cursor = cursor


class BlockingError(InsessionError):
    """Root of what keeps a blocking call from being made, see `insession.blocking`."""


class CalledFromEventLoop(BlockingError):
    """A blocking call in a thread where an event loop runs: it would hold up that loop, or itself, for ever."""

    def __init__(self) -> None:
        super().__init__(
            "an event loop runs in this thread; use the async form (insession.connect), "
            "or make the call in a worker thread (asyncio.to_thread)"
        )


class CalledAfterFork(BlockingError):
    """What was opened before a fork cannot be used in the child: its event loop runs in the parent alone."""

    def __init__(self) -> None:
        super().__init__("this was opened before the fork, and stays with the parent process; open one in this process")


class PortalClosed(BlockingError):
    """The event loop that serves blocking calls has ended, and does not begin again by itself."""

    def __init__(self, *, during: bool = False) -> None:
        self.during: bool = during
        """Whether a call was under way, which may have been done or not."""
        super().__init__(
            "it was closed while this call was under way, which may have been done or not; read what is there"
            if during
            else "it was closed; make another (insession.blocking.connect)"
        )

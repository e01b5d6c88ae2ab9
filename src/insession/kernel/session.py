"""A session in a program's hand."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from msgspec.structs import replace

from insession.errors import Closed, Expired, Interrupted, SessionEnded, SessionNotFound
from insession.kernel.record import NEVER, Record, State

if TYPE_CHECKING:
    from insession.kernel.engine import Engine
    from insession.kernel.items import Items
    from insession.kernel.locks import Lock

_ERRORS = {State.INTERRUPTED: Interrupted, State.EXPIRED: Expired, State.CLOSED: Closed}
_UNREAD: Any = object()
T = TypeVar("T")


class Deadlines(msgspec.Struct, frozen=True):
    """When a session ends by itself, in seconds since the epoch; None: never."""

    idle: float | None
    absolute: float | None


def ended_error(record: Record) -> SessionEnded:
    """The error that says how this session ended."""
    return ended_as(record.id, record.state, record.reason)


def ended_as(session_id: str, state: State, reason: str | None) -> SessionEnded:
    """The error that says that a session ended so."""
    return _ERRORS.get(state, Interrupted)(session_id, reason)


def as_this_life(session: Session, record: Record) -> Record:
    """The record as this handle's life sees it: one of a later life says that this life is over."""
    mine = session.record
    if record.opened == mine.opened:
        return record
    return replace(mine, state=State.CLOSED, reason="opened again", ended=record.opened) if mine.live else mine


class _Slots:
    """Where a handle keeps what it knows. ``interrupted`` is empty until somebody looks."""

    __slots__ = ("__weakref__", "_data", "_engine", "_record", "interrupted")

    interrupted: bool
    """Whether the session has ended, as far as this process has heard: stop working for it.

    Safe to read in any thread; no I/O. The first reading makes the handle follow its session.
    """


class Session(_Slots):
    """A handle of one session: its record as this process knows it, and the verbs.

    What it says of the session is local: `refresh` reads it anew. An ending is different: once
    `interrupted` has been read, or work has been registered, this process follows the log and the
    handle hears of the session's end wherever it was decided.
    """

    __slots__ = ()

    def __init__(self, engine: Engine, record: Record) -> None:
        self._engine = engine
        self._record = record
        self._data = _UNREAD

    if not TYPE_CHECKING:

        @property
        def interrupted(self) -> bool:
            """See `_Slots`.

            The first look makes the handle follow its session: one that nobody watches costs nothing,
            and one that is watched is a `_Followed`, which reads a plain slot.
            """
            return self._engine._following.watch(self)

    def __repr__(self) -> str:
        return f"<Session {self.id} {self.kind} {self.state}>"

    @property
    def id(self) -> str:
        """Its id."""
        return self._record.id

    @property
    def kind(self) -> str:
        """Its kind's name."""
        return self._record.kind

    @property
    def owner(self) -> str | None:
        """Whom it belongs to (of a secret owner: the keyed digest)."""
        return self._record.owner

    @property
    def state(self) -> State:
        """Where it stands."""
        return self._record.state

    @property
    def reason(self) -> str | None:
        """The first reason that ended it."""
        return self._record.reason

    @property
    def version(self) -> int:
        """Changes with every change of its data or state; never comes twice."""
        return self._record.version

    @property
    def opened(self) -> float:
        """When it was opened, in seconds since the epoch."""
        return self._record.opened

    @property
    def touched(self) -> float:
        """When the other party was last seen, within the touch window."""
        return self._record.touched

    @property
    def ended(self) -> float | None:
        """When it ended."""
        return None if self._record.live else self._record.ended

    @property
    def stopped(self) -> str | None:
        """How the work for it stopped after its ending: ``returned``, ``cancelled`` or ``abandoned``."""
        return self._record.stopped

    @property
    def deadlines(self) -> Deadlines:
        """When it ends by itself."""
        record = self._record
        idle = record.touched + record.reach
        return Deadlines(None if idle == NEVER else idle, None if record.absolute == NEVER else record.absolute)

    @property
    def data(self) -> Any:
        """Its data, as read last; change it with `update`. Raises `DataUnreadable`, see `docs/encryption.md`."""
        if self._data is _UNREAD:
            self._data = self._engine.data_of(self._record)
        return self._data

    @property
    def record(self) -> Record:
        """Its record, as read last."""
        return self._record

    @property
    def items(self) -> Items:
        """The items that lie under it."""
        return self._engine.items.under(self.id)

    async def refresh(self) -> Session:
        """Read it anew; `SessionNotFound` if it was purged. Opened again since, it is over for this handle."""
        self._learn(as_this_life(self, await self._engine._read(self.id)))
        return self

    async def update(self, change: Callable[[Any], Any] | object, *, touch: bool = False, event: bool = False) -> Any:
        """Change its data by compare-and-set; the new data.

        A function gets the data and gives the new data; it is called again with what is there by
        then if somebody else was first. A value is written over the version of this handle, or
        `Conflict` is raised. ``touch`` also counts as activity, ``event`` writes an ``updated``
        event. Raises `SessionEnded`, `SessionNotFound`, `InvalidInput`, `DataUnreadable` (also for a value, where a
        newer data version would be written over).
        """
        return await self._engine._update(self, change, touch=touch, event=event)

    async def touch(self) -> None:
        """The other party was active: moves the idle deadline. Within the touch window nothing is written."""
        await self._engine._touch(self)

    async def close(self, reason: str = "completed") -> bool:
        """End it in good order; whether this call ended it. The block of `running` that calls it goes on."""
        return await self._engine._end(self.id, State.CLOSED, reason, self)

    async def interrupt(self, reason: str = "interrupted", *, wait: float | None = None) -> bool:
        """End it from outside and stop the work for it, see `Engine.interrupt`."""
        won = await self._engine._interrupt(self.id, reason, wait, self)
        if wait is not None:
            with suppress(SessionNotFound):
                await self.refresh()
        return won

    def running(self, *, grace: float = 5.0) -> AbstractAsyncContextManager[Session]:
        """A block of work for this session: cancelled when the session ends, anywhere.

        The block then raises `Interrupted`, `Expired` or `Closed`. How it stopped is recorded:
        ``returned``, ``cancelled``, or ``abandoned`` if it goes on ``grace`` seconds later.
        """
        return self._engine._following.running(self, grace)

    def guard(self, source: AsyncIterable[T]) -> AsyncIterator[T]:
        """The elements of a stream, until the session ends: then its next step raises `SessionEnded`.

        A step that waits is cancelled; code that consumes the stream never is. The stream is closed
        when it ends, raises, or is interrupted.
        """
        return self._engine._following.guard(self, source)

    async def wait_interrupted(self, timeout: float | None = None) -> bool:
        """Wait until it has ended; False if ``timeout`` seconds passed before."""
        return await self._engine._following.wait(self, timeout)

    def lock(self, name: str = "lock", **options: Any) -> Lock:
        """A lock that lies with this session, see `Engine.lock`."""
        return self._engine.lock(f"{self.id}/{name}", **options)

    def _learn(self, record: Record) -> None:
        """Take over what is known by now, unless more is known already. The data is kept where it is the same."""
        if record.version < self._record.version:
            return
        if record.data != self._record.data:
            self._data = _UNREAD
        self._record = record
        if not record.live:
            self._flag(ended=True)

    def _flag(self, *, ended: bool) -> None:
        """Set the flag; from now on reading it is reading a slot."""
        _FLAG.__set__(self, ended)
        self.__class__ = _Followed


class _Followed(Session):
    """A handle that follows its session: its flag is a plain slot."""

    __slots__ = ()
    if not TYPE_CHECKING:
        interrupted = _Slots.interrupted


_FLAG: Any = _Slots.__dict__["interrupted"]

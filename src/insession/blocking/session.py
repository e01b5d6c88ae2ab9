"""A session in the hand of a thread."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, TypeVar

from insession.errors import Conflict, SessionEnded
from insession.kernel.changing import TRIES
from insession.kernel.record import Record, State
from insession.kernel.session import Deadlines, Session, ended_error
from insession.kernel.working import GRACE

from .items import BlockingItems
from .locks import BlockingLock
from .running import Guard, Running

if TYPE_CHECKING:
    from .engine import BlockingEngine

T = TypeVar("T")


class BlockingSession:
    """`Session` for threads: the same verbs, and any thread may use one handle.

    What it says of the session is local and costs no call. That it ended is heard from the log as in the async form.
    After a fork, and once its engine is closed, nobody hears of anything: the flag then raises.
    """

    __slots__ = ("_decoded", "_engine", "_session")

    def __init__(self, engine: BlockingEngine, session: Session) -> None:
        self._engine = engine
        self._session = session
        self._decoded: tuple[bytes | None, Any] = (None, None)

    def __repr__(self) -> str:
        return f"<BlockingSession {self.id} {self.kind} {self.state}>"

    @property
    def id(self) -> str:
        """Its id."""
        return self._session.id

    @property
    def kind(self) -> str:
        """Its kind's name."""
        return self._session.kind

    @property
    def owner(self) -> str | None:
        """Whom it belongs to (of a secret owner: the keyed digest)."""
        return self._session.owner

    @property
    def state(self) -> State:
        """Where it stands."""
        return self._session.state

    @property
    def reason(self) -> str | None:
        """The first reason that ended it."""
        return self._session.reason

    @property
    def version(self) -> int:
        """Changes with every change of its data or state; never comes twice."""
        return self._session.version

    @property
    def opened(self) -> float:
        """When it was opened, in seconds since the epoch."""
        return self._session.opened

    @property
    def touched(self) -> float:
        """When the other party was last seen, within the touch window."""
        return self._session.touched

    @property
    def ended(self) -> float | None:
        """When it ended."""
        return self._session.ended

    @property
    def stopped(self) -> str | None:
        """How the work for it stopped after its ending: ``returned``, ``cancelled`` or ``abandoned``."""
        return self._session.stopped

    @property
    def deadlines(self) -> Deadlines:
        """When it ends by itself."""
        return self._session.deadlines

    @property
    def record(self) -> Record:
        """Its record, as read last."""
        return self._session.record

    @property
    def data(self) -> Any:
        """Its data, as read last; change it with `update`."""
        # The loop may learn of other data at any moment: what is kept says what it was decoded from.
        record = self._session.record
        encoded = record.data
        kept, data = self._decoded
        if kept is not encoded:
            data = self._engine.data_of(record)
            self._decoded = (encoded, data)
        return data

    @property
    def interrupted(self) -> bool:
        """Whether the session has ended, as far as this process has heard: stop working for it.

        Local, no I/O. Raises `PortalClosed`, `CalledAfterFork` where nobody hears of it any more.
        """
        if self._session.interrupted:
            return True
        self._engine.portal.check()
        return False

    def raise_if_interrupted(self) -> None:
        """Raise `Interrupted`, `Expired` or `Closed` if the session has ended, as far as this process has heard."""
        if self.interrupted:
            raise ended_error(self._session.record)

    @property
    def items(self) -> BlockingItems:
        """The items that lie under it."""
        return self._engine.items.under(self.id)

    def refresh(self) -> BlockingSession:
        """As `Session.refresh`."""
        self._engine.portal.call(self._session.refresh)
        return self

    def update(self, change: Callable[[Any], Any] | object, *, touch: bool = False, event: bool = False) -> Any:
        """As `Session.update`. A function is called in this thread, and may take its time, and make blocking calls."""
        if not callable(change):
            return self._engine.portal.call(self._session.update, change, touch=touch, event=event)
        record = self._session.record
        for _ in range(TRIES):
            if not record.live:
                raise ended_error(record)
            # Decoded anew for every try, so that a function that changes it in place harms nothing.
            data = change(self._engine.data_of(record))
            current = self._write_over(record, data, touch=touch, event=event)
            if current is None:
                return data
            record = current
        raise Conflict(self.id, record.version)

    def touch(self) -> None:
        """As `Session.touch`."""
        self._engine.portal.call(self._session.touch)

    def close(self, reason: str = "completed") -> bool:
        """As `Session.close`. The block of `running` that calls it in this thread goes on."""
        return self._engine.portal.call(self._session.close, reason)

    def interrupt(self, reason: str = "interrupted", *, wait: float | None = None) -> bool:
        """As `Session.interrupt`."""
        return self._engine.portal.call(self._session.interrupt, reason, wait=wait)

    def running(self, *, grace: float = 5.0) -> AbstractContextManager[BlockingSession]:
        """A block of work for this session. A thread cannot be cancelled: it looks whether the session has ended.

        ``session.raise_if_interrupted()`` between two steps leaves the block, or ``session.interrupted`` is asked.
        At its end the block raises `Interrupted`, `Expired` or `Closed` if the session ended meanwhile, unless the
        block raised something else, or ended the session itself. How it stopped is recorded: ``returned`` if it came
        to its end, ``cancelled`` if it was left by that error, ``abandoned`` if it goes on ``grace`` seconds later.
        """
        return self._running(grace)

    def guard(self, source: Iterable[T]) -> Iterator[T]:
        """The elements of an iterable, until the session ends: then its next step raises `SessionEnded`.

        A step runs in the thread that takes it. One that waits is not cancelled: the ending is raised after it. An
        iterator with a ``close`` is closed when it ends, raises, or is interrupted.
        """
        return Guard(self._running(GRACE), source, self.raise_if_interrupted)

    def wait_interrupted(self, timeout: float | None = None) -> bool:
        """As `Session.wait_interrupted`."""
        return self._engine.portal.call(self._session.wait_interrupted, timeout)

    def lock(self, name: str = "lock", **options: Any) -> BlockingLock:
        """A lock that lies with this session, see `Engine.lock`."""
        return BlockingLock(self._engine.portal, self._session.lock(name, **options))

    def _write_over(self, record: Record, data: object, *, touch: bool, event: bool) -> Record | None:
        return self._engine.ask(lambda engine: engine.write_over(self._session, record, data, touch=touch, event=event))

    def _running(self, grace: float) -> Running[BlockingSession]:
        return Running(self._engine.portal, lambda: self._session.running(grace=grace), self._inside, _ended)

    def _inside(self, _: Session) -> BlockingSession:
        return self


def _ended(session: BlockingSession) -> SessionEnded | None:
    return None if session.record.live else ended_error(session.record)

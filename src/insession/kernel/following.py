"""Interrupts: a process that holds a handle follows the log's endings and stops the work for it."""

from __future__ import annotations

import asyncio
import logging
import threading
import weakref
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

import anyio
from msgspec.structs import replace

from insession.errors import InsessionError, SessionNotFound, StoreError
from insession.kernel.clock import Alarm
from insession.kernel.events import ENDINGS, FOLLOWED, Event
from insession.kernel.operations import Ending, Ends
from insession.kernel.record import Outcome, Record, State
from insession.kernel.rules import worse
from insession.kernel.session import Session, ended_error
from insession.kernel.streams import PAGE

if TYPE_CHECKING:
    from insession.kernel.engine import Engine

_log: Final = logging.getLogger("insession.interrupts")
RETRY: Final = 1.0
"""Seconds until a log that could not be read is read again."""
_current: ContextVar[Work | None] = ContextVar("insession_work", default=None)
T = TypeVar("T")


class _Ref(weakref.ref[Session]):
    """A weak reference that remembers whose it is."""

    __slots__ = ("id",)
    id: str


class Work:
    """Something that runs for a session, and must stop when it ends."""

    __slots__ = ("alarm", "grace", "group", "name", "outcome", "scope", "session")

    def __init__(self, session: Session, grace: float) -> None:
        self.session = session
        self.grace = grace
        self.scope: anyio.CancelScope | None = None
        self.outcome: Outcome | None = None
        self.group: list[Work] = []
        """All work of this process that the same ending stopped; empty while the session lives."""
        self.alarm: Alarm | None = None
        self.name = getattr(asyncio.current_task(), "get_name", lambda: "?")()


class Following:
    """What this process holds and runs, by session; and the task that follows the log."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._handles: dict[str, list[_Ref]] = {}
        self._works: dict[str, list[Work]] = {}
        self._waits: dict[str, set[asyncio.Future[None]]] = {}
        self._sweeps = 0
        self._calm = asyncio.Event()
        self._calm.set()
        self.abandoned: dict[Work, str] = {}
        """Work that goes on after its grace, with the id of its session."""

    # ------------------------------------------------------------------ the log

    async def begin(self) -> str:
        """Where following begins: what ends after this call is heard."""
        self._waker = self._engine.store.waker(FOLLOWED, leases=True)
        return (await self._engine.store.events(None, 0, FOLLOWED)).cursor

    async def follow(self, cursor: str) -> None:
        """Follow the log's endings, for ever."""
        engine = self._engine
        while True:
            try:
                page = await engine.store.events(cursor, PAGE, FOLLOWED)
            except StoreError as error:
                _log.warning("the log cannot be read: %s", error)
                await engine.clock.sleep(RETRY)
                continue
            cursor = page.cursor
            for event in page.events:
                self.heard(event)
                engine.locks.displaced(event)
                engine._recovery.heard(event)
            if page.trimmed:
                await self.reload()
                await engine._recovery.find_owed()
            if not page.more:
                engine.locks.look()
                await self._waker.wait()
            await self._calm.wait()

    @contextmanager
    def sweep(self) -> Iterator[None]:
        """While this process ends many sessions it does not read its own endings: the commits come first."""
        self._sweeps += 1
        self._calm.clear()
        try:
            yield
        finally:
            self._sweeps -= 1
            if not self._sweeps:
                self._calm.set()

    # ------------------------------------------------------------------ handles

    def watch(self, session: Session) -> bool:
        """Make a handle follow its session, and say whether that has ended. Called in any thread."""
        if not session.record.live:
            session.interrupted = True
            return True
        session.interrupted = False
        ref = _Ref(session, self._gone)
        ref.id = session.id
        self._handles.setdefault(session.id, []).append(ref)
        # It may have ended between its reading and now, so it is read once more.
        if threading.get_ident() != self._thread:
            self._loop.call_soon_threadsafe(self._check_soon, session)
        elif (record := self._engine._read_now(session.id)) is not None:
            self._judge(session, record)
        else:
            self._check_soon(session)
        return session.interrupted

    def _check_soon(self, session: Session) -> None:
        self._engine._spawn(self.check(session))

    async def check(self, session: Session) -> None:
        """Read a followed session's record, and judge by it."""
        try:
            self._judge(session, await self._engine._read(session.id))
        except SessionNotFound:
            self.ended(session.id, replace(session.record, state=State.CLOSED, reason="purged"))

    def _judge(self, session: Session, record: Record) -> None:
        # A record of a later life says that this handle's life is over.
        if not record.live:
            self.ended(session.id, record)
        elif record.opened != session.record.opened:
            self.ended(session.id, replace(session.record, state=State.CLOSED, reason="opened again"))

    def _gone(self, ref: Any) -> None:
        handles = self._handles.get(ref.id)
        if handles is not None:
            handles[:] = [other for other in handles if other is not ref]
            if not handles:
                self._handles.pop(ref.id, None)

    def held(self) -> Iterator[Session]:
        """Every handle that follows its session."""
        for refs in list(self._handles.values()):
            for ref in refs:
                session = ref()
                if session is not None:
                    yield session

    def flag_all(self, kind: str | None, owner: str | None, before: float) -> None:
        """Set the flags, and nothing else, of all handles whose sessions are about to be interrupted."""
        for refs in self._handles.values():
            for ref in refs:
                session = ref()
                if session is not None:
                    record = session._record
                    wanted = record.kind == kind if kind else record.kind[0] != "~"
                    if wanted and record.opened < before and (owner is None or record.owner == owner):
                        session.interrupted = True

    # ------------------------------------------------------------------ endings

    def heard(self, event: Event) -> None:
        """Take over an ending from the log."""
        if event.type in ENDINGS and (event.id in self._handles or event.id in self._works or event.id in self._waits):
            self._end_handles(event.id, State(event.type.value), event.reason, event.version, event.time, event.change)

    def ended_by(self, session_id: str, how: Ending, version: int) -> None:
        """Take over an ending that this process made."""
        if session_id in self._handles or session_id in self._works or session_id in self._waits:
            self._end_handles(session_id, how.state, how.reason, version, how.at, how.change)

    def ended_by_pick(self, ends: Ends, how: Ending) -> None:
        """Stop the work for what this process has just ended; handles hear of it from the log."""
        if self._works or self._waits:
            for session_id, version in zip(ends.ids, ends.versions, strict=True):
                if session_id in self._works or session_id in self._waits:
                    self.ended_by(session_id, how, version)

    def ended(self, session_id: str, record: Record) -> None:
        """Take over an ending from the record."""
        self._end_handles(session_id, record.state, record.reason, record.version, record.ended, record.change)

    def _end_handles(
        self, session_id: str, state: State, reason: str | None, version: int, at: float, change: str
    ) -> None:
        for ref in list(self._handles.get(session_id, ())):
            session = ref()
            # An ending of an earlier life of the id says nothing about this one: versions never come twice.
            if session is not None and session.version <= version:
                session._learn(
                    replace(session.record, state=state, reason=reason, version=version, ended=at, change=change)
                )
                self._gone(ref)
        self._stop_works(session_id, version)
        for future in self._waits.pop(session_id, ()):
            if not future.done():
                future.set_result(None)

    def _stop_works(self, session_id: str, version: int) -> None:
        works = [work for work in self._works.pop(session_id, ()) if work.session.version <= version]
        own = _current.get()
        told = [work for work in works if work is not own]
        for work in told:
            work.group = told
            clock = self._engine.clock
            work.alarm = clock.alarm(clock.now() + work.grace, partial(self._abandon, work))
            if work.scope is not None:
                work.scope.cancel()

    def _abandon(self, work: Work) -> None:
        self.abandoned[work] = work.session.id
        _log.error("work %r for session %s goes on %gs after its end", work.name, work.session.id, work.grace)
        self._finish(work, Outcome.ABANDONED)

    def _finish(self, work: Work, outcome: Outcome) -> None:
        """Note how work stopped; the last of a session's work writes down the worst."""
        if work.outcome is not None:
            if self.abandoned.pop(work, None) is not None:
                _log.warning("work %r for session %s has returned at last", work.name, work.session.id)
            return
        work.outcome = outcome
        if work.alarm is not None and outcome is not Outcome.ABANDONED:
            work.alarm.cancel()
        if work.group and all(one.outcome is not None for one in work.group):
            worst = Outcome.RETURNED
            for one in work.group:
                if one.outcome is not None and worse(worst, one.outcome):
                    worst = one.outcome
            self._engine._spawn(self._engine._write_stopped(work.session.record, worst))

    # ------------------------------------------------------------------ work

    async def _enter(self, session: Session, work: Work) -> None:
        """Register work; raises if the session has ended."""
        if not session.interrupted:
            self._works.setdefault(session.id, []).append(work)
            if session.record.live:
                await self.check(session)
        if session.interrupted:
            self._leave(work, Outcome.RETURNED)
            raise ended_error(session.record)

    def _leave(self, work: Work, outcome: Outcome) -> None:
        works = self._works.get(work.session.id)
        if works is not None and work in works:
            works.remove(work)
            if not works:
                del self._works[work.session.id]
        self._finish(work, outcome)

    @asynccontextmanager
    async def running(self, session: Session, grace: float) -> AsyncGenerator[Session, None]:
        """See `Session.running`."""
        work = Work(session, grace)
        await self._enter(session, work)
        before = _current.set(work)
        outcome = Outcome.RETURNED
        try:
            with anyio.CancelScope() as scope:
                work.scope = scope
                if session.interrupted:
                    scope.cancel()
                yield session
            if scope.cancelled_caught:
                outcome = Outcome.CANCELLED
        finally:
            _current.reset(before)
            work.scope = None
            self._leave(work, outcome)
        if outcome is Outcome.CANCELLED:
            raise ended_error(session.record)

    def guard(self, session: Session, source: AsyncIterable[T]) -> AsyncIterator[T]:
        """See `Session.guard`."""
        return _Guard(self, session, source)

    async def wait(self, session: Session, timeout: float | None) -> bool:
        """See `Session.wait_interrupted`."""
        if session.interrupted:
            return True
        future: asyncio.Future[None] = self._loop.create_future()
        self._waits.setdefault(session.id, set()).add(future)
        try:
            await self.check(session)
            if timeout is None:
                await future
                return True
            clock = self._engine.clock
            return await clock.wait(future, clock.now() + timeout)
        finally:
            waits = self._waits.get(session.id)
            if waits is not None:
                waits.discard(future)
                if not waits:
                    del self._waits[session.id]

    async def reload(self) -> None:
        """Judge everything that is held by its record: the log has been trimmed, or this node was taken for dead."""
        for session in list(self.held()):
            try:
                await self.check(session)
            except InsessionError:
                _log.exception("session %s could not be read", session.id)


class _Guard(AsyncIterator[T]):
    """A stream that ends with its session."""

    __slots__ = ("__weakref__", "_entered", "_following", "_source", "_work")

    def __init__(self, following: Following, session: Session, source: AsyncIterable[T]) -> None:
        self._following = following
        self._source = aiter(source)
        self._work = Work(session, 5.0)
        self._entered = False

    async def __anext__(self) -> T:
        work = self._work
        session = work.session
        if not self._entered:
            self._entered = True
            await self._following._enter(session, work)
        if not session.interrupted:
            try:
                with anyio.CancelScope() as scope:
                    work.scope = scope
                    return await anext(self._source)
            except BaseException:
                self._following._leave(work, Outcome.RETURNED)
                raise
            finally:
                work.scope = None
        await self.aclose(Outcome.CANCELLED)
        raise ended_error(session.record)

    async def aclose(self, outcome: Outcome = Outcome.RETURNED) -> None:
        """Close the stream."""
        try:
            close = getattr(self._source, "aclose", None)
            if close is not None:
                await close()
        finally:
            self._following._leave(self._work, outcome)

    def __del__(self) -> None:
        # A consumer that leaves its loop drops the stream without closing it.
        if self._entered and self._work.outcome is None:
            self._following._leave(self._work, Outcome.RETURNED)

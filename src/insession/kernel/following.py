"""Interrupts: a process that holds a handle follows the log's endings and stops the work for it."""

from __future__ import annotations

import asyncio
import logging
import threading
import weakref
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Container, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

import anyio
from msgspec.structs import replace

from insession.errors import (
    InsessionError,
    OutcomeUnknown,
    Overloaded,
    SessionEnded,
    SessionNotFound,
    StoreError,
    StoreUnavailable,
)
from insession.kernel.events import ENDINGS, FOLLOWED, Event, EventType
from insession.kernel.followers import Followers, Listener, Listeners
from insession.kernel.ids import check_seconds
from insession.kernel.operations import End, Ending, Ends
from insession.kernel.record import Outcome, Record, State
from insession.kernel.rules import worse
from insession.kernel.session import Session, as_this_life, ended_error
from insession.kernel.streams import PAGE
from insession.kernel.working import Guard, Work, Worker, worker

if TYPE_CHECKING:
    from insession.kernel.engine import Engine

_log: Final = logging.getLogger("insession.interrupts")
RETRY: Final = 1.0
"""Seconds until a log that could not be read is read again."""
T = TypeVar("T")


class _Ref(weakref.ref[Session]):
    """A weak reference that remembers whose it is."""

    __slots__ = ("id",)
    id: str


class Following:
    """What this process holds and runs, by session; and the task that follows the log."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._handles: dict[str, list[_Ref]] = {}
        # A handle may die in any thread and at any moment, so that only the loop's thread buries it, when it has time.
        self._dead: deque[_Ref] = deque()
        self._works: dict[str, list[Work]] = {}
        self._waits: dict[str, dict[asyncio.Future[None], Session]] = {}
        self.followers: Followers = Followers()
        self.listeners: Listeners = Listeners()
        self._types = FOLLOWED
        self._writes: set[asyncio.Task[None]] = set()
        self.enders: dict[str, Worker | None] = {}
        """Who is ending a session that this process works for, by change: who ends it in the middle of that goes on."""
        self._sweeps = 0
        self._calm = asyncio.Event()
        self._calm.set()
        self.abandoned: dict[Work, str] = {}
        """Work that goes on after its grace, with the id of its session."""

    async def begin(self) -> None:
        """Find where following begins: what ends after this call is heard."""
        self._waker = self._engine.store.waker(FOLLOWED, leases=True, answered=True)
        self._cursor = (await self._engine.store.events(None, 0, FOLLOWED)).cursor

    def listen(self, kind: str, listener: Listener, types: frozenset[EventType]) -> Callable[[], None]:
        """See `Engine.listen`. What nobody wanted before is read from here on."""
        if not types <= self._types or (self._waker.answered and not types.isdisjoint(ENDINGS)):
            self._types |= types
            # From here on own endings are read like those of others: a listener hears of events by nothing else.
            before, self._waker = self._waker, self._engine.store.waker(self._types, leases=True)
            self._cursor = before.onward(self._cursor)
            before.set()
        return self.listeners.add(kind, listener, types)

    async def follow(self) -> None:
        """Follow the log's endings, for ever."""
        engine = self._engine
        while True:
            try:
                page = await engine.store.events(self._waker.onward(self._cursor), PAGE, types := self._types)
            except StoreError as error:
                _log.warning("the log cannot be read: %s", error)
                await engine.clock.sleep(RETRY)
                continue
            if types is not self._types:
                continue  # somebody began to listen meanwhile, and this page may have left out what they want
            self._cursor = page.cursor
            self._bury()
            for event in page.events:
                if event.type in FOLLOWED:
                    self.heard(event)
                    engine.locks.displaced(event)
                    engine._recovery.heard(event)
                self.listeners.tell(event)
            if page.trimmed:
                self.listeners.missed()
                await self.reload()
                for reload in self.followers.reloads():
                    engine._spawn(reload)
                engine._spawn(engine._recovery.find_owed())
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

    async def leave(self) -> None:
        """Wait until what is known of stopped work is written down."""
        await asyncio.gather(*self._writes, return_exceptions=True)

    def watch(self, session: Session) -> bool:
        """Make a handle follow its session, and say whether that has ended. Called in any thread."""
        if not session.record.live:
            session._flag(ended=True)
            return True
        session._flag(ended=False)
        self._on_loop(self._hold, session)
        return session.interrupted

    def _on_loop(self, call: Callable[..., None], *args: object) -> None:
        """Call it in the loop's thread, where alone the registers change: at once, if this is it."""
        if threading.get_ident() == self._thread:
            call(*args)
        else:
            with suppress(RuntimeError):  # the loop is closed, and nothing is followed any more
                self._loop.call_soon_threadsafe(call, *args)

    def _hold(self, session: Session) -> None:
        if not session.record.live:
            session._flag(ended=True)  # it heard of its end while another thread looked for the first time
            return
        self._bury()
        ref = _Ref(session, self._dead.append)
        ref.id = session.id
        self._handles.setdefault(session.id, []).append(ref)
        # It may have ended between its reading and now, so it is read once more.
        if (record := self._engine._read_now(session.id)) is not None:
            self._judge(session, record)
        else:
            self._engine._spawn(self._check_surely(session))

    async def _check_surely(self, session: Session) -> None:
        """Check it, however often the store fails: an ending before now is in no event that will be heard."""
        while session.record.live:
            try:
                await self.check(session)
            except (StoreUnavailable, OutcomeUnknown, Overloaded) as error:
                _log.warning("session %s cannot be read: %s", session.id, error)
                await self._engine.clock.sleep(RETRY)
            else:
                return

    async def check(self, session: Session) -> None:
        """Read a followed session's record, and judge by it."""
        try:
            self._judge(session, await self._engine._read(session.id))
        except SessionNotFound:
            self.ended(session.id, replace(session.record, state=State.CLOSED, reason="purged"))

    def _judge(self, session: Session, record: Record) -> None:
        record = as_this_life(session, record)
        if not record.live:
            self.ended(session.id, record)

    def _bury(self) -> None:
        """Forget the handles that have died."""
        while self._dead:
            ref = self._dead.popleft()
            handles = self._handles.get(ref.id)
            if handles is not None and ref in handles:
                handles.remove(ref)
                if not handles:
                    del self._handles[ref.id]

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
                if session is None:
                    continue
                record = session._record
                wanted = record.kind == kind if kind else record.kind[0] != "~"
                if wanted and record.opened < before and (owner is None or record.owner == owner):
                    session.interrupted = True

    def works_for(self, session_id: str) -> bool:
        """Whether this process works for a session."""
        return session_id in self._works

    def heard(self, event: Event) -> None:
        """Take over an ending from the log."""
        if event.type in ENDINGS:
            self.followers.tell(event.kind, (event.id,), State(event.type.value), event.reason, event.time)
        if event.type in ENDINGS and (event.id in self._handles or event.id in self._works or event.id in self._waits):
            state, own = State(event.type.value), self.enders.get(event.change)
            self._end_handles(event.id, state, event.reason, event.version, event.time, event.change, own)

    def answered(self, end: End, ends: Ends) -> None:
        """Take over the ending of one id that this process made: nobody needs to read it in the log.

        Called before the answer reaches its caller, who may have gone.
        """
        if end.pick.index == "id":
            self._take_over(ends, end.ending, self.enders.get(end.ending.change), self._handles)

    def ended_by_pick(self, ends: Ends, how: Ending) -> None:
        """Stop the work for what this process has just ended; handles hear of it from the log."""
        self._take_over(ends, how, worker(), ())

    def _take_over(self, ends: Ends, how: Ending, own: Worker | None, held: Container[str]) -> None:
        if self.followers:
            self.followers.tell(None, ends.ids, how.state, how.reason, how.at)
        for session_id, version in zip(ends.ids, ends.versions, strict=True):
            if session_id in held or session_id in self._works or session_id in self._waits:
                self._end_handles(session_id, how.state, how.reason, version, how.at, how.change, own)

    def ended(self, session_id: str, record: Record) -> None:
        """Take over an ending from the record."""
        self._end_handles(session_id, record.state, record.reason, record.version, record.ended, record.change)

    def _end_handles(
        self,
        session_id: str,
        state: State,
        reason: str | None,
        version: int,
        at: float,
        change: str,
        own: Worker | None = None,
    ) -> None:
        # An ending of an earlier life of the id says nothing about a later one: versions never come twice.
        later: list[_Ref] = []
        for ref in self._handles.pop(session_id, ()):
            session = ref()
            if session is not None and session.version > version:
                later.append(ref)
            elif session is not None:
                session._learn(
                    replace(session.record, state=state, reason=reason, version=version, ended=at, change=change)
                )
        if later:
            self._handles[session_id] = later
        self._stop_works(session_id, version, own)
        for future, session in self._waits.get(session_id, {}).items():
            if session.version <= version and not future.done():
                future.set_result(None)

    def _stop_works(self, session_id: str, version: int, own: Worker | None) -> None:
        works = self._works.pop(session_id, [])
        if later := [work for work in works if work.session.version > version]:
            self._works[session_id] = later
        told = [work for work in works if work.session.version <= version and (own is None or work.task is not own)]
        for work in told:
            work.group = told
            clock = self._engine.clock
            work.alarm = clock.alarm(clock.now() + work.grace, partial(self._abandon, work))
            if work.scope is not None:
                work.scope.cancel()

    def _abandon(self, work: Work) -> None:
        self.abandoned[work] = work.session.id
        named = work.name, work.session.id, work.grace
        _log.error("work %r for session %s goes on %gs after its end, and counts as abandoned", *named)
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
            task = self._engine._spawn(self._engine._write_stopped(work.session.record, worst))
            self._writes.add(task)
            task.add_done_callback(self._writes.discard)

    async def _enter(self, session: Session, work: Work) -> None:
        """Register work; raises if the session has ended."""
        if not session.interrupted:
            self._works.setdefault(session.id, []).append(work)
            try:
                await self.check(session)
            except BaseException:
                self._leave(work, Outcome.RETURNED)
                raise
        if session.interrupted:
            if len(work.group) == 1:
                work.group = []  # it has not begun, so that nothing is to be written down
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
        work = Work(session, check_seconds(grace, "grace"))
        await self._enter(session, work)
        outcome = Outcome.RETURNED
        try:
            with anyio.CancelScope() as scope:
                work.scope = scope
                yield session
            if scope.cancelled_caught:
                outcome = Outcome.CANCELLED
        except SessionEnded as error:
            # A verb of the session was refused before the cancellation came: the ending stopped the work all the same.
            if error.session_id == session.id:
                outcome = Outcome.CANCELLED
            raise
        finally:
            work.scope = None
            self._leave(work, outcome)
        if outcome is Outcome.CANCELLED:
            raise ended_error(session.record)

    def guard(self, session: Session, source: AsyncIterable[T]) -> AsyncIterator[T]:
        """See `Session.guard`."""
        return Guard(self, session, source)

    async def wait(self, session: Session, timeout: float | None) -> bool:
        """See `Session.wait_interrupted`."""
        if timeout is not None:
            check_seconds(timeout, "timeout")
        if session.interrupted:
            return True
        future: asyncio.Future[None] = self._loop.create_future()
        self._waits.setdefault(session.id, {})[future] = session
        try:
            await self.check(session)
            if timeout is None:
                await future
                return True
            clock = self._engine.clock
            return await clock.wait(future, clock.now() + timeout)
        finally:
            waits = self._waits[session.id]
            del waits[future]
            if not waits:
                del self._waits[session.id]

    async def reload(self) -> None:
        """Judge everything that is held by its record: the log has been trimmed, or this node was taken for dead."""
        for session in list(self.held()):
            try:
                await self._check_surely(session)
            except InsessionError:
                _log.exception("session %s could not be read", session.id)

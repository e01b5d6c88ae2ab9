"""The tracker: sessions of users and devices, on an engine of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import anyio

from insession.errors import (
    Conflict,
    DataUnreadable,
    InsessionError,
    InvalidInput,
    LimitReached,
    OutcomeUnknown,
    SessionEnded,
    SessionNotFound,
)
from insession.kernel.engine import MOST_PAGE, Engine
from insession.kernel.ids import check_reason
from insession.kernel.operations import Commit
from insession.kernel.record import Record, State
from insession.kernel.session import Session
from insession.kernel.urls import unknown
from insession.kernel.working import worker

from .errors import ForeignSession, TooManySessions, UnknownSession
from .holding import Holding
from .keeping import status_word
from .life import KIND, TrackerLife
from .live import ActiveSessions, LiveSession
from .logs import logger

REQUEST: Final = frozenset({"hardware_id", "user_agent", "ip_address", "context", "session_id"})


class SessionTracker(TrackerLife):
    """Tracks sessions: `SessionManager` uses one, and it can be used alone. See `TrackerLife` for its arguments."""

    async def process(self, request: Any) -> AsyncIterator[LiveSession]:
        """Yield one session: a new one, or with ``session_id`` that one, if it is the hardware id's own.

        ``request`` is a dict of ``hardware_id``, ``user_agent``, ``ip_address``, ``context``, ``session_id``.
        """
        yield await self._answer(request)

    async def _answer(self, request: object) -> LiveSession:
        self._opened()
        try:
            if not isinstance(request, Mapping):
                raise InvalidInput("request", f"is a dict, not {type(request).__name__}")
            for name in request:
                if name not in REQUEST:
                    raise InvalidInput(str(name), unknown("field", str(name), REQUEST))
            session_id = request.get("session_id")
            if session_id is not None:
                return await self._taken_over(session_id, request.get("hardware_id"))
        except InsessionError:
            self.counts.refused()
            raise
        return await self.create(**{name: value for name, value in request.items() if name != "session_id"})

    async def create(
        self,
        *,
        hardware_id: str | None = None,
        user_agent: str | None = None,
        ip_address: str | None = None,
        context: Mapping[str, Any] | None = None,
    ) -> LiveSession:
        """Begin a session of its own. Raises `TooManySessions`, `InvalidInput`."""
        engine, holding = self._opened()
        number = holding.opening()
        try:
            if hardware_id is None and self.config["require_hardware_id"]:
                raise InvalidInput("hardware_id", "is required (require_hardware_id)")
            data = self.keeping.data(hardware_id, user_agent, ip_address, context)
            session = await self._begun(engine, hardware_id, data)
            live = self._held(holding, session.record)
        except LimitReached:
            self.counts.refused()
            raise TooManySessions(self.config["max_concurrent_sessions"]) from None
        except InsessionError as error:
            self.counts.refused()
            raise _named(error) from None
        finally:
            holding.opened(number)
        self.tally.created += 1
        self.counts.succeeded()
        self.records.created(live.id, hardware_id)
        return live

    async def _begun(self, engine: Engine, owner: str | None, data: dict[str, Any]) -> Session:
        """Open a session; if the caller is cancelled meanwhile it is ended, because nobody has its id."""
        if Commit in engine.store.immediate:
            return await engine.open(kind=KIND, owner=owner, data=data)
        opening = asyncio.ensure_future(engine.open(kind=KIND, owner=owner, data=data))
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            self._tasks.spawn(_dropped(engine, opening))
            raise

    def _held(self, holding: Holding, record: Record) -> LiveSession:
        live = LiveSession(self, record)
        holding.add(live)
        return live

    async def _taken_over(self, session_id: object, hardware_id: object) -> LiveSession:
        """A session that goes on, in this process from now on."""
        _, holding = self._opened()
        number = holding.opening()
        try:
            session = await self.found(session_id)
            if not self._owns(session.record, hardware_id):
                raise ForeignSession(session.id)
            await session.touch()
            live = holding.sessions.get(session.id) or self._held(holding, session.record)
        finally:
            holding.opened(number)
        self.counts.succeeded()
        return live

    async def found(self, session_id: object) -> Session:
        """A tracked session of any process, live or ended; raises `UnknownSession`."""
        engine, _ = self._opened()
        if isinstance(session_id, str):
            try:
                session = await engine.get(session_id)
            except (InvalidInput, SessionNotFound):
                pass
            else:
                if session.kind == KIND:
                    return session
        raise UnknownSession(session_id)

    async def _known(self, session_id: object) -> Session:
        """The same, without a trip to the store for one that this process holds."""
        engine, holding = self._opened()
        live = holding.sessions.get(session_id) if isinstance(session_id, str) else None
        return await self.found(session_id) if live is None else Session(engine, live.record)

    def _owns(self, record: Record, hardware_id: object) -> bool:
        engine, _ = self._opened()
        try:
            return isinstance(hardware_id, str) and record.owner == engine.owner_of(KIND, hardware_id)
        except InvalidInput as error:
            raise _named(error) from None

    def _checked(self, record: Record, caller: object) -> bool:
        """Whether a caller is given and is the owner; another one is refused where ownership is validated."""
        if caller is None:
            return False
        owns = self._owns(record, caller)
        if not owns and self.config["validate_session_ownership"]:
            raise ForeignSession(record.id)
        return owns

    async def status(self, session_id: str, hardware_id: str | None = None) -> dict[str, Any]:
        """What a session says now, see `LiveSession`; asked by its own hardware id it is activity."""
        session = await self.found(session_id)
        if self._checked(session.record, hardware_id) and session.state is State.ACTIVE:
            await self._touch(session)
        live = self.active_sessions.get(session.id)
        seen = session.touched if live is None else max(live.seen, session.touched)
        return self.described(session.record, session.state, session.reason, seen)

    async def touch(self, session_id: str, hardware_id: str | None = None) -> bool:
        """The session's other party was active; False if the session has ended."""
        session = await self.found(session_id)
        self._checked(session.record, hardware_id)
        return session.state is State.ACTIVE and await self._touch(session)

    async def _touch(self, session: Session) -> bool:
        try:
            await session.touch()
        except (SessionEnded, SessionNotFound):
            return False
        self._learned(session.record)
        return True

    async def interrupt(self, session_id: str, reason: str, hardware_id: str | None = None) -> bool:
        """End a session and stop the work for it; whether this call did.

        Waits for work that this process runs under `running`, at most ``interrupt_timeout`` seconds altogether.
        Raises `UnknownSession`, `ForeignSession`, `OutcomeUnknown`.
        """
        engine, _ = self._opened()
        session = await self._known(session_id)
        self._checked(session.record, hardware_id)
        works = [future for task, future in self._works.get(session.id, ()) if task is not worker()]
        bound = self.config["interrupt_timeout"]
        until = engine.clock.now() + bound
        try:
            with anyio.fail_after(bound):
                won = await engine.interrupt(session.id, reason)
        except SessionNotFound:
            raise UnknownSession(session.id) from None
        except TimeoutError:
            raise OutcomeUnknown(f"the store did not answer the interrupt within {bound:g} s") from None
        for future in works:
            await engine.clock.wait(future, until)
        return won

    async def interrupt_all(self, reason: str) -> int:
        """End every session on the store that began before now; how many this call ended."""
        engine, holding = self._opened()
        if not self.config["global_interrupt_enabled"]:
            logger().warning("nothing is interrupted: global_interrupt_enabled is off")
            return 0
        check_reason(reason)  # before any flag stands
        now = engine.clock.now()
        self._global_until = now + self.config["interrupt_cleanup_delay"]
        for live in list(holding.sessions.values()):
            if live.record.opened < now:
                live.flag()
        number = await engine.interrupt_all(reason, kind=KIND)
        self.records.all_interrupted(number, reason)
        return number

    @asynccontextmanager
    async def running(self, session: LiveSession | str) -> AsyncIterator[LiveSession]:
        """A block of work for a session: cancelled when it ends, anywhere.

        The block then raises `Interrupted`, `Expired` or `Closed`. Work that goes on ``interrupt_timeout`` seconds
        later is ``abandoned``: that is the outcome in status, log and event.
        """
        handle, live = await self._handle(session)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        work = (worker(), done)
        self._works.setdefault(handle.id, []).append(work)
        try:
            async with handle.running(grace=self.config["interrupt_timeout"]):
                yield live
        finally:
            done.set_result(None)
            works = self._works[handle.id]
            works.remove(work)
            if not works:
                del self._works[handle.id]

    async def wait_ended(self, session: LiveSession | str, timeout: float | None = None) -> bool:
        """Wait until a session has ended; False if ``timeout`` seconds passed before."""
        handle, _ = await self._handle(session)
        return await handle.wait_interrupted(timeout)

    async def _handle(self, session: LiveSession | str) -> tuple[Session, LiveSession]:
        engine, _ = self._opened()
        if isinstance(session, LiveSession):
            return Session(engine, session.record), session
        found = await self.found(session)
        return found, self.active_sessions.get(found.id) or LiveSession(self, found.record, found)

    async def replace_session(self, session_id: str, session: Mapping[str, Any]) -> LiveSession:
        """Put a migrated session back: its ``context``, ``user_agent`` and ``ip_address``.

        By compare-and-set over the ``version`` that it was read with, else over what `active_sessions` shows:
        `Conflict` if somebody else changed it since; what is shown is then read anew. Raises `UnknownSession`,
        `InvalidInput`, `SessionEnded`.
        """
        if not isinstance(session, Mapping):
            raise InvalidInput("session", f"is a dict, not {type(session).__name__}")
        handle = await self._known(session_id)
        data = self.keeping.data(None, session.get("user_agent"), session.get("ip_address"), session.get("context"))
        kept = {"hardware_id": handle.data["hardware_id"]} if "hardware_id" in handle.data else {}
        version = session.get("version")
        if version is not None and version != handle.version and handle.record.live:
            raise Conflict(handle.id, handle.version)
        try:
            await handle.update({**data, **kept})
        except InvalidInput as error:
            raise _named(error) from None
        except Conflict:
            self._learned((await self.found(handle.id)).record)
            raise
        return self._learned(handle.record) or LiveSession(self, handle.record)

    def _learned(self, record: Record) -> LiveSession | None:
        """The live session of a record that was read or written, if this process tracks it."""
        live = self.active_sessions.get(record.id)
        if live is not None:
            live.learn(record)
        return live

    @property
    def active_sessions(self) -> ActiveSessions:
        """The live sessions of this process, by id."""
        return ActiveSessions({} if self._holding is None else self._holding.sessions)

    @property
    def global_interrupt_flag(self) -> bool:
        """Whether this process interrupted everything less than ``interrupt_cleanup_delay`` seconds ago."""
        return self._engine is not None and self.now() < self._global_until

    def described(self, record: Record, state: State, reason: str | None, seen: float) -> dict[str, Any]:
        """What a session says, as a plain dict."""
        return self.keeping.described(record, state, reason, seen)

    def know_own(self, hardware_id: str) -> None:
        """Name this machine's own hardware id: sessions under it need not say it."""
        engine, _ = self._opened()
        self.keeping.own, self.keeping.own_digest = hardware_id, engine.owner_of(KIND, hardware_id)

    def seen(self, live: LiveSession) -> None:
        """A session was active; written down soon."""
        if self._engine is not None and self._holding is not None:
            self._holding.seen(live)

    async def store_statistics(self) -> dict[str, int]:
        """How many tracked sessions the store holds, of all processes, by status."""
        engine, _ = self._opened()
        return {status_word(state): await engine.count(kind=KIND, state=state) for state in State}

    async def store_sessions(self) -> AsyncIterator[dict[str, Any]]:
        """Every live session on the store, of all processes; not those whose data cannot be read here."""
        engine, _ = self._opened()
        cursor: str | None = None
        while True:
            page = await engine.find(kind=KIND, cursor=cursor, limit=MOST_PAGE)
            found: list[dict[str, Any]] = []
            for session in page.sessions:
                with suppress(DataUnreadable):
                    told = self.described(session.record, session.state, session.reason, session.touched)
                    found.append(told)
            for told in found:
                yield told
            cursor = page.cursor
            if cursor is None:
                return

    def get_statistics(self) -> dict[str, Any]:
        """Numbers of this process, from memory."""
        tally, now = self.tally, self.now()
        return {
            "active_sessions": len(self.active_sessions),
            "total_sessions": tally.created,
            "interrupted_sessions": tally.interrupted,
            "completed_sessions": tally.completed,
            "expired_sessions": tally.expired,
            "session_history_count": tally.history(now),
            "global_interrupt_flag": self.global_interrupt_flag,
            "max_concurrent_sessions": self.config["max_concurrent_sessions"],
            "session_timeout": self.config["session_timeout"],
        }

    def get_status(self) -> dict[str, Any]:
        """Whether it runs, and its numbers."""
        return super().get_status() | self.get_statistics()

    def get_metrics(self) -> dict[str, Any]:
        """What was asked of it, and its numbers."""
        statistics = self.get_statistics()
        return super().get_metrics() | {
            "active_sessions": statistics["active_sessions"],
            "interrupted_sessions": statistics["interrupted_sessions"],
            "session_statistics": statistics,
        }

    def reset_metrics(self) -> None:
        """Zero the counters; touches no session."""
        super().reset_metrics()
        self.tally.reset()


async def _dropped(engine: Engine, opening: asyncio.Future[Session]) -> None:
    """End a session whose caller is gone."""
    with suppress(InsessionError):
        await engine.interrupt((await opening).id, "cancelled")


def _named(error: InsessionError) -> InsessionError:
    """What the kernel says of data is about the context here: all else is a short text."""
    if isinstance(error, InvalidInput):
        field = {"data": "context", "owner": "hardware_id"}.get(error.field, error.field)
        return InvalidInput(field, error.problem)
    return error

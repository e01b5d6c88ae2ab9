"""What a pool holds: how sessions come to it, and how they end."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar
from uuid import UUID, uuid4

from msgspec.structs import replace

from insession.kernel.clock import Clock
from insession.kernel.commands import NODE_LOST
from insession.kernel.engine import Engine
from insession.kernel.tasks import Tasks

from .cap import Cap
from .contracts import Authenticator
from .deadlines import Until
from .errors import HandoverRefused, PoolClosed, UnknownToken
from .held import Held, SessionState, Watch
from .latch import Latch
from .logins import Logins
from .logs import logger
from .options import Options
from .register import Register, Row
from .renewing import Hook, Renewing
from .sharing import Sharing

if TYPE_CHECKING:
    from .handing import Handovers

T = TypeVar("T")

_REMEMBERED: Final = 10_000
_LONG: Final = 60.0
_CLOSING: Final = 1.0
"""Seconds that ending may take beyond logging out."""


class Holding:
    """The sessions of one pool, on its engine."""

    def __init__(
        self,
        authenticator: Authenticator,
        engine: Engine,
        *,
        register: Register,
        place: str,
        options: Options,
        clock: Clock,
        on_renewal: Hook | None,
        on_state: Watch | None,
    ) -> None:
        self._service = service = authenticator.service
        self._engine = engine
        self._register = register
        self._options = options
        self._clock = clock
        self._on_state = on_state
        self.cap: Cap = Cap(engine, f"remote/{place}/places", options.max_sessions, service)
        self.latch: Latch = Latch(engine, place, authenticator, clock, options.acquire_timeout)
        self._logins = Logins(authenticator, self.latch, register, options, clock)
        self.renewing: Renewing = Renewing(
            authenticator, self._logins, register, self.cap, options=options, clock=clock, hook=on_renewal
        )
        self.sharing: Sharing = Sharing(self._open_shared, options, clock, service)
        self.held: dict[UUID, Held] = {}
        self.finalized: dict[UUID, None] = {}
        """The last tokens that were finalized, so that a second time is none."""
        self._counts = dict.fromkeys(("created", "finalized", "lost", "detached", "attached"), 0)
        self._coming: set[asyncio.Task[Any]] = set()
        """What brings sessions here, or takes them away: logins, attaching, detaching."""
        self._closed = False

    def start(self) -> None:
        """Begin, on an engine that is open."""
        self._tasks = Tasks()
        self._register.start(self._engine, self._tasks, self._ended)
        self._tasks.spawn(self._end_spares())

    async def close(self) -> None:
        """Log everything out, within the time for that; what is not done stays owed."""
        self._closed = True
        self.sharing.close()
        begun, time = self._clock.now(), self._options.logout_timeout
        await self._end_logins(begun + time / 2)
        with Until(self._clock, begun + time + _CLOSING):
            await asyncio.gather(*[self.end(held, "closed") for held in list(self.held.values())])
            await self._register.settled()
        self._register.stop()
        await self._tasks.close()

    async def _end_logins(self, until: float) -> None:
        """Cancel what is under way, but wait for logins: the service may have given a session that nobody knows yet."""
        self._logins.close()
        if tasks := self._coming | self.renewing.tasks:
            for task in tasks - self._logins.under_way:
                task.cancel()
            with Until(self._clock, until):
                await asyncio.wait(tasks)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def acquire(self, *, shared: bool) -> Held:
        """See `SessionPool.acquire`."""
        held = await self._open(self._options.acquire_timeout, shared=shared)
        held.kept = True
        if shared:
            self.sharing.add(held)
        return held

    async def attach(self, handovers: Handovers, token: UUID, blob: object, key: str | bytes | None) -> None:
        """See `SessionPool.attach`."""
        if token in self.held:
            raise HandoverRefused("used", "a session of this token is held here")
        held = Held(token, self._watched, shared=False)
        held.kept = True
        held.resumed(self._clock.now())

        async def attached() -> None:
            await handovers.attach(held, blob, key, self.cap, self._options.acquire_timeout)
            self.add(held, "attached")

        await self._finished(attached(), held)

    async def detach(self, handovers: Handovers, token: UUID, lifetime: float, key: str | bytes | None) -> str:
        """See `SessionPool.detach`."""
        held = self.find(token)
        handovers.check(key)

        async def detached() -> str:
            blob = await handovers.seal(held, lifetime, key)
            self.drop(held, "detached")
            await handovers.leave(held)
            return blob

        async with held.turn:
            await self.renewing.ready(held)
            return await self._finished(detached())

    def find(self, token: UUID) -> Held:
        """The session of a token. Raises `UnknownToken`."""
        held = self.held.get(token)
        if held is None:
            raise UnknownToken(token)
        return held

    def stats(self) -> dict[str, int]:
        """See `SessionPool.stats`."""
        counts = self._counts
        return {
            "active_sessions": len(self.held),
            "total_created": counts["created"],
            "total_finalized": counts["finalized"],
            "token_renewals": self.renewing.done,
            "lost": counts["lost"],
            "detached": counts["detached"],
            "attached": counts["attached"],
            "suspect": self._register.suspects,
            "logins": self._logins.done,
            "logouts": self._register.logouts,
            "waiting": self.cap.waiting + self.sharing.waiting,
        }

    async def _open_shared(self, wait: float) -> Held:
        return await self._open(wait, shared=True)

    async def _open(self, wait: float, *, shared: bool) -> Held:
        held = Held(uuid4(), self._watched, shared=shared)
        held.permit = await self.cap.take(wait)
        if self._closed:
            if held.permit is not None:
                held.permit.release()
            raise PoolClosed
        await self._finished(self._begin(held), held)
        return held

    async def _finished(self, work: Coroutine[Any, Any, T], brought: Held | None = None) -> T:
        """Do it to its end, although whoever asked may be cancelled; what it ``brought`` is then logged out."""
        task = asyncio.get_running_loop().create_task(work)
        self._coming.add(task)
        task.add_done_callback(self._over)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise PoolClosed from None
            if brought is not None:
                task.add_done_callback(partial(self._unwanted, brought))
            raise

    def _over(self, task: asyncio.Task[Any]) -> None:
        self._coming.discard(task)
        if not task.cancelled():
            task.exception()  # whoever asked has it, or has gone

    async def _begin(self, held: Held) -> None:
        """Log in. The service may give a session even where whoever wanted it has gone."""
        row = held.row = self._register.row(held.token)
        held.move(SessionState.AUTHENTICATING)
        try:
            ticket = await self._logins.log_in(row)
        except BaseException as error:
            held.leave()
            if isinstance(error, Exception):
                await self._register.forget(row)
            else:
                await self._register.end(row, "cancelled", 0.0)
            if held.permit is not None:
                held.permit.release()
            raise
        held.begin(ticket, self._clock.now())
        held.move(SessionState.CONNECTED)
        self.add(held, "created")
        await self._register.put(row, replace(row.entry, ticket=ticket, tag=None, status="live", generation=1))

    def _unwanted(self, held: Held, _: asyncio.Task[Any]) -> None:
        """Whoever wanted it has gone."""
        if self.held.get(held.token) is held:
            self._tasks.spawn(self.end(held, "cancelled"))

    def add(self, held: Held, count: str) -> None:
        """It is a session of this pool from now on."""
        self.finalized.pop(held.token, None)
        self.held[held.token] = held
        self._counts[count] += 1
        logger().info("session %s %s with %s", held.token, count, self._service)

    def drop(self, held: Held, count: str) -> None:
        """It is no session of this pool any more."""
        if self.held.pop(held.token, None) is None:
            return  # two at once: the first one says what became of it
        self._counts[count] += 1
        held.leave()
        self.sharing.remove(held)
        logger().info("session %s %s with %s", held.token, count, self._service)

    async def end(self, held: Held, reason: str) -> None:
        """Log it out; whoever asked may be cancelled, that goes on."""
        self.finalized[held.token] = None
        while len(self.finalized) > _REMEMBERED:
            self.finalized.pop(next(iter(self.finalized)))
        self.drop(held, "finalized")
        task = self._tasks.spawn(self._log_out(held, reason))
        await asyncio.shield(task)

    async def _log_out(self, held: Held, reason: str) -> None:
        owed = await self._end_record(held, reason)
        if owed is not None or held.renewing is not None:
            self._tasks.spawn(self._release(held, owed, reason=reason))
        elif held.permit is not None:
            held.permit.release()

    async def _end_record(self, held: Held, reason: str) -> str | None:
        owed = None if held.row is None else await self._register.end(held.row, reason, self._options.logout_timeout)
        if owed is not None:
            logger().warning("session %s is not logged out yet; that is owed", held.token)
        return owed

    async def _release(self, held: Held, *owed: str | None, reason: str) -> None:
        """Free a place when the service has one session less, also where a renewal has just begun another."""
        if held.renewing is not None:
            await asyncio.wait([held.renewing])
            if held.row is not None and held.row.written:
                owed = (*owed, await self._end_record(held, reason))
        if held.permit is None:
            return
        for one in owed:
            while one is not None and not await self._engine.finish(one, wait=_LONG):
                pass
        held.permit.release()

    def _ended(self, row: Row, session_id: str, reason: str | None) -> None:
        """Somebody else has ended the record of a session, and logs it out."""
        held = next((one for one in self.held.values() if one.row is row), None)
        if held is None:
            return
        if reason == NODE_LOST:
            logger().warning("session %s was taken for that of a dead process; it is renewed", held.token)
            held.stale = True
            return
        logger().warning("session %s was ended by somebody else: %s", held.token, reason)
        self.drop(held, "lost")
        self._tasks.spawn(self._release(held, session_id, reason="ended"))

    async def _end_spares(self) -> None:
        while True:
            await self._clock.sleep(max(1.0, self._options.spare_idle / 2))
            for held in self.sharing.spare(self._clock.now()):
                await self.end(held, "spare")

    def _watched(self, token: UUID, before: SessionState, after: SessionState) -> None:
        if self._on_state is not None:
            try:
                self._on_state(token, before, after)
            except Exception:  # noqa: BLE001 - whatever a user's hook raises
                logger().exception("the state hook failed")

"""What a pool holds: how sessions come to it, and how they end."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Final
from uuid import UUID, uuid4

from msgspec.structs import replace

from insession.kernel.clock import Clock
from insession.kernel.commands import NODE_LOST
from insession.kernel.engine import Engine
from insession.kernel.permits import Permit
from insession.kernel.tasks import Tasks

from .cap import Cap
from .contracts import Authenticator
from .deadlines import Until
from .errors import PoolClosed, UnknownToken
from .held import Held, SessionState, Watch
from .latch import Latch
from .logins import Logins
from .logs import logger
from .options import Options
from .register import Register, Row
from .renewing import Hook, Renewing
from .sharing import Sharing

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
        self._opening: set[asyncio.Task[None]] = set()
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
        for task in list(self._opening):
            task.cancel()
        await asyncio.gather(*self._opening, return_exceptions=True)
        await self.renewing.close()
        with Until(self._clock, self._clock.now() + self._options.logout_timeout + _CLOSING):
            await asyncio.gather(*[self.end(held, "closed") for held in list(self.held.values())])
            await self._register.settled()
        self._register.stop()
        await self._tasks.close()

    async def acquire(self, *, shared: bool) -> Held:
        """See `SessionPool.acquire`."""
        held = await self._open(self._options.acquire_timeout, shared=shared)
        held.kept = True
        if shared:
            self.sharing.add(held)
        return held

    def fresh(self, token: UUID) -> Held:
        """A session that is about to come from elsewhere."""
        held = Held(token, self._watched, shared=False)
        held.kept = True
        held.resumed(self._clock.now())
        return held

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
        task = asyncio.get_running_loop().create_task(self._begin(held))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise PoolClosed from None
            task.add_done_callback(partial(self._unwanted, held))
            raise
        return held

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

    def _unwanted(self, held: Held, begun: asyncio.Task[None]) -> None:
        """Whoever wanted it has gone."""
        if not begun.cancelled() and begun.exception() is None and held.token in self.held:
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
        row, wait = held.row, self._options.logout_timeout
        owed = None if row is None else await self._register.end(row, reason, wait)
        if owed is not None:
            logger().warning("session %s is not logged out yet; that is owed", held.token)
        if held.permit is not None and owed is not None:
            self._tasks.spawn(self._release(held.permit, owed))
        elif held.permit is not None:
            held.permit.release()

    async def _release(self, permit: Permit, owed: str) -> None:
        """Free a place when the service has one session less."""
        while not await self._engine.finish(owed, wait=_LONG):
            pass
        permit.release()

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
        if held.permit is not None:
            self._tasks.spawn(self._release(held.permit, session_id))

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

"""Handing a session over: from the register of one process to that of another, once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from uuid import UUID

from msgspec.structs import replace

from insession.errors import Conflict, LeaseError, SessionEnded, SessionNotFound, StoreError
from insession.kernel.operations import Fence
from insession.kernel.record import State
from insession.kernel.session import Session

from .blob import Handover, check, opened, sealed
from .contracts import Authenticator
from .errors import HandoverRefused, UnknownToken
from .held import Held, SessionState
from .logs import logger
from .register import Entry, Register

if TYPE_CHECKING:
    from insession.kernel.engine import Engine

    from .cap import Cap

MARGIN: Final = 30.0
"""The place of a session that nobody attaches is kept so much longer than the session: it is logged out by then."""


class Handovers:
    """What leaves one pool, and comes to another.

    On its way a session is in the register without a process. Nobody attaches it in time: it expires, and is logged
    out. Whoever attaches it first changes that record at the version that the blob names; nobody can a second time.
    """

    def __init__(self, authenticator: Authenticator, engine: Engine, register: Register) -> None:
        self._authenticator = authenticator
        self._engine = engine
        self._register = register

    def check(self, key: str | bytes | None) -> None:
        """Raise what sealing would raise."""
        check(self._authenticator, key)

    async def seal(self, held: Held, lifetime: float, key: str | bytes | None) -> str:
        """Write it down as a session of no process; the blob. `leave` then takes it from this one."""
        ticket, authenticator = held.ticket, self._authenticator
        assert ticket is not None  # noqa: S101 - a session that is held has one
        service, account, token = authenticator.service, authenticator.account, str(held.token)
        entry = Entry(service, token, "detached", None, ticket, held.generation)
        there = await self._engine.open(kind=self._register.detached.name, owner=account, data=entry, absolute=lifetime)
        expires = self._engine.clock.now() + lifetime
        fence = await self._let_go(held, lifetime + MARGIN)
        handover = Handover(
            service, account, token, ticket, held.generation, there.id, there.version, fence, expires, held.dies
        )
        try:
            blob = await sealed(handover, authenticator, key)
        except BaseException:
            await self._moved(there, "not detached")
            raise
        if held.over:  # it was finalized meanwhile
            await self._moved(there, "not detached")
            raise UnknownToken(held.token)
        return blob

    async def leave(self, held: Held) -> None:
        """This process has it no more."""
        mine = None if held.row is None else await self._register.take(held.row)
        if mine is not None:
            await self._moved(mine, "detached")

    async def attach(self, held: Held, blob: object, key: str | bytes | None, cap: Cap, wait: float) -> None:
        """Take over what a blob holds. Raises `HandoverRefused`."""
        handover = await opened(blob, self._authenticator, key)
        there = await self._claimed(handover, held.token)
        row = held.row = self._register.row(held.token, handover.generation)
        try:
            held.permit = await cap.adopt(handover.fence, wait)
            await self._register.put(row, replace(row.entry, status="live", ticket=handover.ticket))
        except BaseException:
            await there.close("not attached")  # and so it is logged out
            raise
        await self._moved(there, "attached")
        held.ticket, held.generation, held.dies = handover.ticket, handover.generation, handover.dies
        held.move(SessionState.AUTHENTICATING)
        held.move(SessionState.CONNECTED)

    async def _claimed(self, handover: Handover, token: UUID) -> Session:
        """The session on its way, which nobody else can attach from now on."""
        if handover.token != str(token):
            raise HandoverRefused("token", "it holds another session than that of this token")
        if handover.expires <= self._engine.clock.now():
            raise HandoverRefused("expired", "it was not attached within its lifetime, and is logged out")
        try:
            there = await self._engine.get(handover.session_id)
            if there.state is State.EXPIRED:
                raise HandoverRefused("expired", "it was not attached within its lifetime, and is logged out")
            if there.state is State.ACTIVE and there.version == handover.version:
                await there.update(replace(there.data, status="claimed"))
                return there
        except SessionNotFound:
            raise HandoverRefused(
                "store", "this store does not know it: it was detached from another one, or long ago"
            ) from None
        except (Conflict, SessionEnded):
            pass  # somebody was faster
        raise HandoverRefused("used", "it was attached before, or ended")

    async def _let_go(self, held: Held, seconds: float) -> Fence | None:
        permit = held.permit
        if permit is None or not permit.held:
            return None
        try:
            return await permit.hand_over(seconds)
        except LeaseError:
            return None

    async def _moved(self, session: Session, reason: str) -> None:
        """This record is not what logs it out any more."""
        token = session.data.token
        try:
            await session.update(lambda entry: replace(entry, ticket=None, tag=None, status="moved"))
            await session.close(reason)
        except (SessionNotFound, SessionEnded):
            pass  # it was ended meanwhile; a second log-out harms nobody
        except StoreError as error:
            logger().warning("session %s may be logged out under its next user, who renews it then: %s", token, error)

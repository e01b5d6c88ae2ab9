"""The register of held sessions: what it takes to end them at the service, whatever becomes of this process."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, Literal
from uuid import UUID

import msgspec
from msgspec.structs import replace

from insession.errors import InsessionError, SessionEnded, SessionNotFound, StoreError
from insession.kernel.commands import NODE_LOST
from insession.kernel.data import Data
from insession.kernel.kinds import DAY, Kind
from insession.kernel.record import State
from insession.kernel.session import Session
from insession.kernel.tasks import Tasks

from .contracts import Authenticator, FindsLost, Ticket
from .deadlines import Until
from .errors import OutcomeLost
from .logs import logger, said

if TYPE_CHECKING:
    from insession.kernel.engine import Engine

MEND_EVERY: Final = 1.0
"""Seconds between tries to write down what could not be written, while the store is away."""
Status = Literal["intent", "live", "suspect", "ending", "detached", "claimed", "moved"]


class Entry(msgspec.Struct, frozen=True):
    """What the register knows of a session: enough to end it."""

    service: str
    token: str
    status: Status
    tag: str | None = None
    """A login under way, or one whose answer was lost."""
    ticket: Ticket | None = None
    """What is to be logged out."""
    generation: int = 0


class Row:
    """A held session's place in the register; ``session`` is None while the store does not have it."""

    __slots__ = ("dirty", "entry", "session", "writing")

    def __init__(self, entry: Entry) -> None:
        self.entry: Entry = entry
        self.session: Session | None = None
        self.dirty: bool = True
        """Whether the store has something else than ``entry``."""
        self.writing: asyncio.Lock = asyncio.Lock()

    @property
    def written(self) -> bool:
        """Whether there is a record, or will be."""
        return self.session is not None or self.dirty


class Register:
    """The sessions of one account at one service, in the engine's store.

    A session belongs to this process's node: should that die, it is ended by whoever notices, and logging it out is
    its work after the ending, done by any pool of the same service and account.
    """

    def __init__(self, authenticator: Authenticator, place: str, logout_timeout: float) -> None:
        self._authenticator = authenticator
        self._timeout = logout_timeout
        shape = Data(Entry)
        self.kind: Kind = Kind(
            f"remote.{place}", keep=0.0, recovery="end", finish=self._log_out, secret_owner=True, data=shape
        )
        self.detached: Kind = Kind(
            f"remote-detached.{place}", keep=DAY, finish=self._log_out, secret_owner=True, data=shape
        )
        """Sessions that belong to no process, until somebody attaches them."""
        self.suspects: int = 0
        self.logouts: int = 0
        self._rows: dict[str, Row] = {}
        self._owed: deque[str] = deque(maxlen=100)

    def start(self, engine: Engine, tasks: Tasks, ended: Callable[[Row, str, str | None], None]) -> None:
        """Work on an open engine; ``ended`` hears of held sessions that somebody else has ended."""
        self._engine = engine
        self._tasks = tasks
        self._told = ended
        self._unfollow = engine.follow(self.kind.name, self)

    def stop(self) -> None:
        """Hear no more."""
        self._unfollow()

    def row(self, token: UUID, generation: int = 0) -> Row:
        """A place for a session that is about to begin; nothing is written."""
        return Row(Entry(self._authenticator.service, str(token), "intent", generation=generation))

    async def put(self, row: Row, entry: Entry) -> None:
        """Write it down. With the store away it is written as soon as that is back: no call fails for it."""
        row.entry, row.dirty = entry, True
        try:
            await self._write(row)
        except StoreError as error:
            logger().warning("the register could not be written, and will be: %s", error)
            self._mend_soon(row)

    async def take(self, row: Row) -> Session | None:
        """Nobody has to write it any more; the handle that the store knows it by."""
        async with row.writing:
            session, row.session, row.dirty = row.session, None, False
        if session is not None:
            self._rows.pop(session.id, None)
        return session

    async def end(self, row: Row, reason: str, wait: float) -> str | None:
        """End it and log it out; None: that is done. What is not done ``wait`` seconds later is owed under this id."""
        stored, session = not row.dirty, await self.take(row)
        if session is not None:
            try:
                if not stored:
                    await session.update(lambda _: row.entry)
                await session.close(reason)
                return None if await self._engine.finish(session.id, wait=wait) else session.id
            except (SessionNotFound, SessionEnded):
                return None  # somebody else ended it, and logs it out
            except StoreError as error:
                logger().warning("the register could not be written: %s", error)
        await self._log_out_directly(row.entry)
        return None

    async def forget(self, row: Row) -> None:
        """Nothing was begun at the service: leave nothing behind."""
        session = await self.take(row)
        if session is None:
            return
        try:
            await session.update(replace(row.entry, tag=None, ticket=None, status="moved"))
            await session.close("not begun")
            await self._engine.finish(session.id, wait=self._timeout)
            await self._engine.purge(kind=self.kind.name)
        except InsessionError as error:
            logger().warning("a session that did not begin is still in the register: %s", error)

    async def owe(self, entry: Entry, reason: str) -> None:
        """Write down that something is to be logged out, and let it be done by whoever can."""
        try:
            session = await self._engine.open(kind=self.kind.name, owner=self._authenticator.account, data=entry)
            await session.close(reason)
            self._owed.append(session.id)
            await self._engine.finish(session.id, wait=0.0)
        except InsessionError as error:
            logger().warning("a session that may live at the service could not be written down: %s", error)

    async def suspect(self, row: Row) -> None:
        """The answer of its login was lost: that session may live at the service, under a tag that it may know."""
        self.suspects += 1
        logger().warning("the answer to a login at %s was lost; the session is suspect", self._authenticator.service)
        await self.owe(replace(row.entry, status="suspect", ticket=None), "suspect")

    async def settled(self) -> None:
        """Wait until what is owed is done, as far as this process has seen it begin."""
        for session_id in self._owed:
            await self._engine.finish(session_id, wait=self._timeout)

    def ended(self, session_id: str, state: State, reason: str | None, at: float) -> None:  # noqa: ARG002
        """See `insession.kernel.followers.Follower`."""
        row = self._rows.pop(session_id, None)
        if row is not None:
            row.session, row.dirty = None, True
            self._told(row, session_id, reason)

    async def reload(self) -> None:
        """See `insession.kernel.followers.Follower`."""
        for session_id, row in list(self._rows.items()):
            session = row.session
            try:
                if session is not None and (await self._engine.get(session_id)).state is not State.ACTIVE:
                    self.ended(session_id, State.INTERRUPTED, NODE_LOST, 0.0)
            except SessionNotFound:
                self.ended(session_id, State.INTERRUPTED, NODE_LOST, 0.0)
            except StoreError as error:
                logger().warning("the register could not be read: %s", error)

    async def _write(self, row: Row) -> None:
        async with row.writing:
            if row.dirty:
                await self._write_alone(row)

    async def _write_alone(self, row: Row) -> None:
        entry = row.entry
        if row.session is not None:
            try:
                # By a function: a write whose answer was lost has changed the version.
                await row.session.update(lambda _: entry)
            except (SessionEnded, SessionNotFound):
                self.ended(row.session.id, State.INTERRUPTED, NODE_LOST, 0.0)
        if row.session is None:
            session = await self._engine.open(kind=self.kind.name, owner=self._authenticator.account, data=entry)
            row.session, self._rows[session.id] = session, row
        row.dirty = row.entry is not entry

    def _mend_soon(self, row: Row) -> None:
        self._tasks.spawn(self._mend(row))

    async def _mend(self, row: Row) -> None:
        while row.dirty:
            await self._engine.clock.sleep(MEND_EVERY)
            try:
                await self._write(row)
            except StoreError:
                continue

    async def _log_out(self, session: Session) -> None:
        """The work after an ending, in whatever process: `Kind.finish`."""
        entry: Entry = session.data
        if entry.ticket is not None:
            await self._bounded(entry.ticket)
        if entry.tag is not None:
            for ticket in await self._lost(entry.tag):
                await self._bounded(ticket)
        if entry.ticket is not None:
            logger().info("logged out session %s at %s", entry.token, entry.service)

    async def _lost(self, tag: str) -> Sequence[Ticket]:
        """The sessions that a login with this tag began."""
        authenticator, clock = self._authenticator, self._engine.clock
        if not isinstance(authenticator, FindsLost):
            logger().info(
                "a login at %s may have begun a session that only the service can find", authenticator.service
            )
            return ()
        with Until(clock, clock.now() + self._timeout):
            return await authenticator.find_lost(tag)
        raise OutcomeLost(f"looking for lost sessions at {authenticator.service} took more than {self._timeout:g}s")

    async def _bounded(self, ticket: Ticket) -> None:
        clock = self._engine.clock
        try:
            with Until(clock, clock.now() + self._timeout) as limit:
                await self._authenticator.logout(ticket)
        except Exception as error:  # noqa: BLE001 - whatever an authenticator raises
            # The engine logs it with all that it says.
            raise OutcomeLost(f"a log-out at {self._authenticator.service} failed: {said(error)}") from None
        if limit.over:
            raise OutcomeLost(f"the log-out at {self._authenticator.service} took more than {self._timeout:g}s")
        self.logouts += 1

    async def _log_out_directly(self, entry: Entry) -> None:
        """Without the store, which is away: it is done now, or by whoever finds the record."""
        if entry.ticket is not None:
            try:
                await self._bounded(entry.ticket)
            except Exception as error:  # noqa: BLE001 - whatever an authenticator raises
                logger().warning("session %s could not be logged out: %s", entry.token, said(error))

"""What outlives a process: sessions of nodes that died, and work that is owed after an ending."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from insession.errors import DataUnreadable, InsessionError, LeaseError, SessionNotFound, StoreError, StoreMoved
from insession.kernel import commands, processes
from insession.kernel.codec import decode, encode
from insession.kernel.events import ENDINGS, Event
from insession.kernel.kinds import NODE, NODE_TOUCH, Kind, Work
from insession.kernel.operations import Commit, Find, Found, Index, Pick, Refused, Touch, Touched, Why
from insession.kernel.record import ENDS, NODE_KIND, Record, State
from insession.kernel.session import Session

if TYPE_CHECKING:
    from insession.kernel.engine import Engine

_log: Final = logging.getLogger("insession.recovery")
FINISH_TTL: Final = 30.0
RECOVERY_TTL: Final = 3.0
"""Who dies while he recovers a session keeps it from others for so long."""
ABREAST: Final = 16
"""So many sessions one process recovers by a function at once."""
FINISH_RETRY: Final = (1.0, 5.0, 30.0, 60.0)
"""Pauses between tries of work after an ending; the last one repeats."""


class Recovery:
    """This process as a node, the recovery of dead ones, and work after endings."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.node: str | None = None
        self._opening: asyncio.Lock = asyncio.Lock()
        self._finishing: dict[str, asyncio.Task[None]] = {}

    async def own_node(self) -> str:
        """The id of this process's node, opened when it first owns work."""
        if self.node is None:
            async with self._opening:
                if self.node is None:
                    await self._open_node()
        assert self.node is not None
        return self.node

    async def _open_node(self) -> None:
        facts = encode(processes.facts(self._engine.name))
        session = await self._engine._open(NODE, None, None, facts, NODE.idle, None, None)
        self.node = session.id
        self._engine._spawn(self._live(session.id))

    async def _live(self, node: str) -> None:
        engine = self._engine
        while self.node == node:
            await engine.clock.sleep(NODE_TOUCH)
            if self.node != node:
                return
            try:
                answer = await engine._ask(Touch(node, engine.clock.now(), 0.0))
            except InsessionError as error:
                _log.warning("node %s could not be touched: %s", node, error)
                continue
            if not isinstance(answer, Touched):
                _log.error("node %s was taken for dead; reloading what it holds", node)
                self.node = None
                await self.recover(node)  # nobody else may be there to do it
                await engine._following.reload()

    async def leave(self) -> None:
        """End this node in good order; its sessions are recovered like those of a dead one, by ourselves."""
        if self.node is not None:
            node, self.node = self.node, None
            await self._engine._end(node, State.CLOSED, "completed")
            for kind in self._engine.kinds():
                await self._recover_kind(node, kind)

    def heard(self, event: Event) -> None:
        """An ending that may need work: a node's, or one of a kind with work after its ending."""
        if event.type not in ENDINGS:
            return
        if event.kind == NODE_KIND:
            if event.id != self.node:
                self._engine._spawn(self.recover(event.id))
        elif (kind := self._engine.declared(event.kind)) is not None and kind.finish is not None:
            self.finish_soon(event.id)

    async def find_owed(self) -> None:
        """At start: what nobody did while no engine that declares these kinds was there."""
        while True:
            try:
                await self._find_owed()
                return
            except StoreError as error:
                _log.warning("what is owed cannot be found: %s", error)
                await self._engine.clock.sleep(FINISH_RETRY[0])

    async def _find_owed(self) -> None:
        async for record in self._records("kind", NODE_KIND, NODE_KIND, State.ACTIVE):
            if record.id != self.node and self._is_gone(record):
                # Its event tells everybody, as that of its expiry would later.
                with suppress(SessionNotFound):
                    await self._engine._end(record.id, State.INTERRUPTED, commands.NODE_LOST)
        for state in ENDS:
            async for record in self._records("kind", NODE_KIND, NODE_KIND, state):
                await self.recover(record.id)
        for kind in self._engine.kinds():
            if kind.finish is not None:
                for state in ENDS:
                    async for record in self._records("finish", None, kind.name, state):
                        self.finish_soon(record.id)

    def _is_gone(self, record: Record) -> bool:
        """Whether this node is known to be dead before it is due."""
        try:
            return processes.is_gone(decode(record.data, None, record.id))
        except DataUnreadable:
            return False

    async def _records(self, index: Index, value: str | None, kind: str, state: State) -> Any:
        after: str | None = None
        while True:
            found: Found = await self._engine._ask(Find(index, value, kind, state, after))
            for record in found.entries:
                yield record
            after = found.after
            if after is None:
                return

    async def recover(self, node: str) -> None:
        """Do with the sessions of a dead node what their kinds say; of kinds declared here only."""
        for kind in self._engine.kinds():
            while True:
                try:
                    await self._recover_kind(node, kind)
                    break
                except StoreMoved:
                    return  # with all that is to be recovered
                except StoreError as error:
                    _log.warning("sessions of node %s and kind %s have to wait: %s", node, kind.name, error)
                    await self._engine.clock.sleep(FINISH_RETRY[0])

    async def _recover_kind(self, node: str, kind: Kind) -> None:
        if kind.recovery == "end":
            await self._engine._end_all(
                Pick("node", node, kind.name, self._engine._slice), State.INTERRUPTED, commands.NODE_LOST
            )
        elif kind.recovery == "keep":
            async for record in self._records("node", node, kind.name, State.ACTIVE):
                await self._orphan(record)
        elif kind.recovery is not None:
            await self._call_for_each(node, kind.name, kind.recovery)

    async def _call_for_each(self, node: str, kind: str, call: Work) -> None:
        """Call a function for each session of a dead node, beside others who do the same."""
        ids = [record.id async for record in self._records("node", node, kind, State.ACTIVE)]
        done = await _abreast(ids, lambda session_id: self._call(session_id, node, call, wait=0.0))
        # Whoever was at one of these may have died.
        left = [session_id for session_id, mine in zip(ids, done, strict=True) if not mine]
        while left:
            done = await _abreast(left, lambda session_id: self._call(session_id, node, call, wait=None))
            left = [session_id for session_id, mine in zip(left, done, strict=True) if not mine]

    async def _call(self, session_id: str, node: str, call: Work, *, wait: float | None) -> bool:
        """Call the function, then take the session from its node; False: somebody else is at it, or was.

        In this order, and under a lease, the function is called at least once wherever a process dies.
        """
        engine = self._engine
        try:
            async with engine.lock(f"{session_id}/recovery", ttl=RECOVERY_TTL, wait=wait):
                session = await engine.get(session_id)
                if session.record.live and session.record.node == node:
                    await self._called(call, session)
                    await self._orphan((await engine.get(session_id)).record, node)
        except LeaseError:
            return False
        except SessionNotFound:
            pass  # erased meanwhile
        return True

    async def _called(self, call: Work, session: Session) -> None:
        try:
            await call(session)
        except Exception:
            _log.exception("recovery of session %s failed", session.id)

    async def _orphan(self, record: Record, node: str | None = None) -> None:
        """Take a session from its dead node; one process wins."""
        node = node or record.node
        while record.live and record.node == node:
            answer = await self._engine._ask(self._orphaning(record))
            # Somebody else may write to it at the same time: it is an orphan all the same.
            if not isinstance(answer, Refused) or answer.why is not Why.STALE or not isinstance(answer.current, Record):
                return
            record = answer.current

    def _orphaning(self, record: Record) -> Commit:
        return commands.orphan(record, self._engine.clock.now(), self._engine._change(), self._engine.name)

    def finish_soon(self, session_id: str) -> asyncio.Task[None]:
        """Do the work after an ending, unless this process is at it; the task that does."""
        task = self._finishing.get(session_id)
        if task is None:
            task = self._finishing[session_id] = self._engine._spawn(self._finish(session_id))
            task.add_done_callback(lambda _: self._finishing.pop(session_id, None))
        return task

    async def _finish(self, session_id: str) -> None:
        tries = 0
        while True:
            try:
                async with self._engine.lock(f"{session_id}/finish", ttl=FINISH_TTL, wait=None):
                    await self._finish_once(session_id)
            except SessionNotFound:
                return  # erased, and the work with it
            except LeaseError:
                continue
            except Exception:
                pause = FINISH_RETRY[min(tries, len(FINISH_RETRY) - 1)]
                _log.exception("work after the ending of session %s failed; again in %gs", session_id, pause)
                tries += 1
                await self._engine.clock.sleep(pause)
            else:
                return

    async def _finish_once(self, session_id: str) -> None:
        engine = self._engine
        session: Session = await engine.get(session_id)
        kind = engine.kind(session.kind)
        if not session.record.finish or session.record.live or kind.finish is None:
            return
        try:
            await kind.finish(session)
        except DataUnreadable as error:
            # What it needs is gone for good; owed for ever, it would keep the session's name from being used again.
            if not error.broken or error.key != session_id:
                raise
            _log.error("work after the ending of session %s is given up: %s", session_id, error.problem)
        await self._mark_finished(session_id, session.opened)

    async def _mark_finished(self, session_id: str, opened: float) -> None:
        # How its work stopped may be written down at the same time; what is done is not done again for that.
        engine = self._engine
        while (record := await engine._read(session_id)).finish and record.opened == opened:
            commit = commands.finished(record, engine.clock.now(), engine._change(), engine.name)
            if not isinstance(await engine._ask(commit), Refused):
                return


async def _abreast(ids: Sequence[str], call: Callable[[str], Awaitable[bool]]) -> list[bool]:
    """What a call answers for each of these, some at once."""
    answers: list[bool] = []
    for place in range(0, len(ids), ABREAST):
        some = await asyncio.gather(*map(call, ids[place : place + ABREAST]), return_exceptions=True)
        for answer in some:
            if isinstance(answer, BaseException):
                raise answer
            answers.append(answer)
    return answers

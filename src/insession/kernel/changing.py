"""How an engine changes sessions: compare-and-set with its retries, endings with their slices."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from msgspec.structs import replace

from insession.errors import Conflict, DataUnreadable, InvalidInput, OutcomeUnknown, SessionNotFound
from insession.kernel import commands, ids, rules
from insession.kernel.codec import decode, encode
from insession.kernel.events import ENDINGS, START
from insession.kernel.kinds import Kind
from insession.kernel.life import Life
from insession.kernel.operations import (
    Commit,
    Done,
    End,
    Ending,
    Ends,
    Operation,
    Patch,
    Pick,
    Refused,
    Touched,
    Why,
)
from insession.kernel.record import NEVER, Outcome, Record, State
from insession.kernel.rules import worse
from insession.kernel.session import Session, as_this_life, ended_error
from insession.kernel.streams import PAGE

_TRIES: Final = 100_000
"""So often an update by function is tried against others before it gives up with `Conflict`."""


class Changing(Life):
    """The changes behind the verbs of `Engine` and `Session`."""

    async def _ask_together(self, *operations: Operation) -> Any:
        """Answers to operations that stay together, in their order."""
        if self._immediate.issuperset(map(type, operations)):
            return [self._apply_now(operation) for operation in operations]
        return await self.batcher.send(*operations)

    def _indexed(self, policy: Kind, owner: str) -> str:
        """An owner as the store sees it: checked, and digested where it is a secret."""
        ids.check_text(owner, "owner")
        return self._digest(owner) if policy.secret_owner or self._secret_owners else owner

    def _encoded(self, policy: Kind, data: object) -> bytes:
        """Data as bytes, held to the type that its kind declares."""
        encoded = encode(data, self.most_data)
        if policy.data is not None and not isinstance(data, policy.data):
            raise InvalidInput("data", f"is a {policy.data.__name__} for kind {policy.name!r}")
        if policy.data is not None:
            # A field of a wrong type would only be noticed by whoever reads it, for ever after.
            try:
                decode(encoded, policy.data, policy.name)
            except DataUnreadable as error:
                raise InvalidInput("data", str(error)) from None
        return encoded

    async def _update(
        self, session: Session, change: Callable[[Any], Any] | object, *, touch: bool, event: bool
    ) -> Any:
        policy = self.kind(session.kind)
        record = session.record
        for _ in range(_TRIES):
            if not record.live:
                raise ended_error(record)
            # Decoded anew for every try, so that a function that changes it in place harms nothing.
            data = change(decode(record.data, policy.data, record.id)) if callable(change) else change
            encoded = self._encoded(policy, data)
            now = self.clock.now()
            commit = commands.update(record, encoded, now, self._change(), self.name, touch=touch, event=event)
            answer = await self._ask(commit)
            if isinstance(answer, Done):
                session._learn(self._updated(session, record, commit, answer.versions[0]))
                return data
            record = await self._raced(session, answer)
            if not callable(change):
                raise Conflict(session.id, record.version)
        raise Conflict(session.id, record.version)

    def _updated(self, session: Session, record: Record, commit: Commit, version: int) -> Record:
        """The record after an update that is done: as the store has it, or as it follows from the commit."""
        there = self._read_now(record.id) if Commit in self._immediate else None
        if there is not None and there.change == commit.change:
            return there
        patch = commit.patches[0]
        assert isinstance(patch, Patch)
        after = rules.patched(record, patch, commit.change, version)
        # A touch of the same handle may have been faster.
        touched = max(after.touched, session.record.touched)
        return replace(after, touched=touched, due=max(rules.due_at(touched, after.reach, after.absolute), after.due))

    async def _raced(self, session: Session, refused: Refused) -> Record:
        """What is there instead, where it is still the same life of a live session; else the error that says so."""
        current = refused.current
        if not isinstance(current, Record):
            raise SessionNotFound(session.id)
        if refused.why is Why.PAST_DUE:
            current = await self._expired(session.id)
        current = as_this_life(session, current)
        if not current.live:
            self._following.ended(session.id, current)
            session._learn(current)
            raise ended_error(current)
        return current

    async def _touch(self, session: Session) -> None:
        record = session.record
        if not record.live:
            raise ended_error(record)
        now = self.clock.now()
        touch = commands.touch(record, now)
        if touch is None:
            return
        answer = await self._ask(touch)
        if isinstance(answer, Touched):
            # What the handle has learned meanwhile stays.
            record = session.record
            session._learn(replace(record, touched=max(now, record.touched), due=answer.due))
        else:
            await self._raced(session, answer)

    def _ending(self, state: State, reason: str) -> Ending:
        return rules.ending(self.clock.now(), state, ids.check_reason(reason), self._change(), self.name)

    async def _end(self, session_id: str, state: State, reason: str, handle: Session | None = None) -> bool:
        """End one session; whether this call did. With a ``handle`` no later life of its id, and it learns of it."""
        how = self._ending(state, reason)
        if handle is not None and not handle.record.live:
            return False
        before = NEVER if handle is None else rules.life_before(handle.record)
        if self._following.works_for(session_id):
            self._following.enders[how.change] = asyncio.current_task()
        end = commands.end_one(session_id, how, before)
        try:
            answer = await self._ask(end)
            if isinstance(answer, Ends) and End in self._immediate:
                self._following.answered(end, answer)  # of a batch it has been told already
        finally:
            self._following.enders.pop(how.change, None)
        if isinstance(answer, Ends):
            if handle is not None:
                handle._learn(rules.ended(handle.record, how, answer.versions[0]))
            return True
        current = await self._expired(session_id) if answer.why is Why.PAST_DUE else answer.current
        if not isinstance(current, Record):
            raise SessionNotFound(session_id)
        if not current.live:
            self._following.ended(session_id, current)
        if handle is not None:
            handle._learn(as_this_life(handle, current))
        return False

    async def _expire_all(self, pick: Pick) -> None:
        """Expire everything due that was picked."""
        more = True
        while more:
            expiry = rules.expiry(self.clock.now(), self._change(), self.name)
            ends: Ends = await self._ask(End(pick, expiry))
            more = ends.more

    async def _end_all(self, pick: Pick, state: State, reason: str) -> int:
        """End everything that was picked, slice by slice; how many this call ended."""
        with self._following.sweep():
            return await self._end_slices(pick, state, reason)

    async def _end_slices(self, pick: Pick, state: State, reason: str) -> int:
        number, more = 0, True
        while more:
            how = self._ending(state, reason)
            begin = await self._end_of_log()
            try:
                ends: Ends = await self._ask(End(pick, how))
            except OutcomeUnknown:
                # Every event carries the id of its change, so the log knows what the lost answer said.
                number += await self._ended_by_change(begin, how.change)
                continue
            self._following.ended_by_pick(ends, how)
            number, more = number + len(ends.ids), ends.more
            await asyncio.sleep(0)
        return number

    async def _end_of_log(self) -> str:
        """Where the log ends now; a store that never waits loses no answer, so nobody needs to know."""
        return START if End in self._immediate else (await self.store.events(None, 0, None)).cursor

    async def _ended_by_change(self, cursor: str, change: str) -> int:
        number, more = 0, True
        while more:
            page = await self.store.events(cursor, PAGE, ENDINGS)
            number += sum(event.change == change for event in page.events)
            cursor, more = page.cursor, page.more
        return number

    async def _write_stopped(self, record: Record, outcome: Outcome) -> None:
        """Write down how the work of an ended session stopped; a worse outcome stands."""
        while not record.live and worse(record.stopped, outcome):
            now = self.clock.now()
            answer = await self._ask(
                commands.stopped(record.id, record.version, outcome, now, self._change(), self.name)
            )
            if isinstance(answer, Done):
                return
            try:
                record = await self._read(record.id)
            except SessionNotFound:
                return

"""What keeps a store in order, and tells of it: numbers, history, removal."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec

from insession.kernel import ids, pages
from insession.kernel.changing import Changing
from insession.kernel.events import START, Event
from insession.kernel.limits import MOST_OF_KIND
from insession.kernel.operations import Count, Counted, Find, Pick, Purge
from insession.kernel.record import ENDS, State
from insession.kernel.streams import PAGE


class Stats(msgspec.Struct, frozen=True):
    """Numbers of the store by kind and state, and of this process."""

    sessions: dict[str, dict[str, int]]
    engine: str
    batches: int
    operations: int
    locks: int
    abandoned: int
    """Pieces of work of this process that go on after their session's end."""


class Upkeep(Changing):
    """The verbs of `Engine` about everything that a store holds."""

    async def history(self, session_id: str) -> list[Event]:
        """What the log still knows of a session, oldest first. Scans the log's retention."""
        ids.check_id(session_id)
        found: list[Event] = []
        cursor, more = START, True
        while more:
            page = await self.store.events(cursor, PAGE, None)
            found += [event for event in page.events if event.id == session_id]
            cursor, more = page.cursor, page.more
            await asyncio.sleep(0)
        return found

    async def stats(self) -> Stats:
        """Numbers by kind and state, and of this process."""
        sessions: dict[str, dict[str, int]] = {}
        for state in State:
            async for kind in self._kinds_there(state):
                sessions.setdefault(kind, {})[str(state)] = await self._number(kind, state)
        batcher = self.batcher
        abandoned = len(self._following.abandoned)
        return Stats(sessions, self.name, batcher.batches, batcher.sent, len(self.locks.held), abandoned)

    async def purge(self, *, kind: str | None = None, keep_count: int | None = None) -> int:
        """Remove what is over by now: ended sessions past their keep, expired items, old events; how much it was.

        With ``kind`` only its ended sessions, and of these also what is beyond the newest ``keep_count``. What is due
        expires right away then, whichever process opened it.
        """
        if kind is None:
            return await self._reaper.purge()
        if keep_count is not None:
            ids.check_count(keep_count, "keep_count", MOST_OF_KIND)
        self._reaper.note(self.clock.now())
        return await self._reaper.purge_kind(ids.check_kind(kind), keep_count)

    async def _kinds_there(self, state: State) -> AsyncIterator[str]:
        """Kinds that have sessions in a state: the index is ordered by kind, so each costs one look."""
        after: str | None = None
        while entries := (await self._ask(Find("all", state=state, after=after, most=1))).entries:
            yield entries[0].kind
            after = pages.after_kind(entries[0].kind)

    async def _ended_kinds(self) -> AsyncIterator[str]:
        for state in ENDS:
            async for kind in self._kinds_there(state):
                yield kind

    async def finish(self, session_id: str, *, wait: float = 30.0) -> bool:
        """Do the work after the ending of a session of a declared kind now; whether none is owed any more.

        It is done by itself: this is for who wants to see it done. Whatever is not done ``wait`` seconds later goes
        on, and is tried again.
        """
        ids.check_id(session_id)
        ids.check_seconds(wait, "wait")
        work = self._recovery.finish_soon(session_id)
        return await self.clock.wait(work, self.clock.now() + wait) and not work.cancelled()

    async def erase(self, owner: str) -> int:
        """End and remove everything of an owner: sessions, items, events; how much was removed."""
        number = 0
        for form in await self._owner_forms(None, owner):
            await self._expire_all(Pick("owner", form, None, self._slice))
            await self._end_all(Pick("owner", form, None, self._slice), State.INTERRUPTED, "erased")
            more = True
            while more:
                counted: Counted = await self._ask(Purge(self.clock.now(), owner=form))
                number, more = number + counted.number, counted.more
                await asyncio.sleep(0)
        return number

    async def _owner_forms(self, kind: str | None, owner: str) -> list[str | None]:
        """An owner as stores see it; where this engine does not declare the kind also as they see a secret one."""
        if kind is not None and kind in self._kinds:
            return [self._indexed(self.kind(kind), owner)]
        forms: list[str | None] = [ids.check_text(owner, "owner")]
        await self._find_index_key(make=False)
        if self._index_key is not None:
            forms.append(self._digest(owner))
        return forms

    async def _number(self, kind: str, state: State) -> int:
        counted: Counted = await self._ask(Count("kind", kind, kind, state))
        return counted.number

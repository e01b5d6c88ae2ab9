"""The sessions that this process tracks, told of every ending wherever it is decided."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from contextlib import suppress
from itertools import count
from typing import Final

from insession.errors import SessionEnded, SessionNotFound, StoreError
from insession.kernel.engine import Engine
from insession.kernel.record import State
from insession.kernel.session import Session

from .live import LiveSession
from .logs import Records, logger
from .tally import Tally

AT_ONCE: Final = 200
"""So many touches travel together."""
LEAST_PILE: Final = 1_000


class Holding:
    """A `Follower` of the engine, and what writes down the activity that `LiveSession` notes."""

    def __init__(self, engine: Engine, tally: Tally, records: Records) -> None:
        self._engine = engine
        self._tally = tally
        self._records = records
        self.sessions: dict[str, LiveSession] = {}
        self._pile = max(LEAST_PILE, tally.most)
        self.full: asyncio.Event = asyncio.Event()
        """So many have ended that the history is to be shortened before its time."""
        self._numbers = count()
        self._openings: dict[int, None] = {}  # being opened now: one of these may end before it is held
        self._stopping = False
        self._early: dict[str, tuple[int, State, str | None, float]] = {}
        self._seen: deque[LiveSession] = deque()
        self._anything = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()

    def add(self, live: LiveSession) -> None:
        """Hold one that was opened or taken over."""
        self.sessions[live.id] = live
        if self._stopping:
            live.flag()
        early = self._early.pop(live.id, None)
        if early is not None:
            self.ended(live.id, *early[1:])

    def stop(self) -> None:
        """Flag what is held, and from now on what is added."""
        self._stopping = True
        for live in self.sessions.values():
            live.flag()

    def opening(self) -> int:
        """An opening begins; `opened` takes the number."""
        number = next(self._numbers)
        self._openings[number] = None
        return number

    def opened(self, number: int) -> None:
        """One opening is over, whatever became of it. Ends from before all that go on concern none of them."""
        del self._openings[number]
        oldest = next(iter(self._openings), None)
        while self._early:
            first = next(iter(self._early))
            if oldest is not None and self._early[first][0] > oldest:
                break
            del self._early[first]

    def ended(self, session_id: str, state: State, reason: str | None, at: float) -> None:
        """See `Follower.ended`."""
        self._tally.heard(state, at)
        if self._tally.piled >= self._pile:
            self.full.set()
        live = self.sessions.pop(session_id, None)
        if live is not None:
            live.end(state, reason)
            self._tally.ended(state, at)
            self._records.ended(session_id, state, reason)
        elif self._openings and session_id not in self._early:
            self._early[session_id] = (next(self._numbers), state, reason, at)

    async def reload(self) -> None:
        """See `Follower.reload`."""
        for number, live in enumerate(list(self.sessions.values())):
            try:
                record = (await self._engine.get(live.id)).record
            except SessionNotFound:
                self.ended(live.id, State.CLOSED, "purged", self._engine.clock.now())
            else:
                if not record.live:
                    self.ended(live.id, record.state, record.reason, record.ended)
            if number % AT_ONCE == AT_ONCE - 1:
                await asyncio.sleep(0)

    def seen(self, live: LiveSession) -> None:
        """A session was active. Called in any thread; written down soon."""
        self._seen.append(live)
        if threading.get_ident() == self._thread:
            self._anything.set()
        else:
            with suppress(RuntimeError):  # the loop is closed, and nothing is written down any more
                self._loop.call_soon_threadsafe(self._anything.set)

    async def write_activity(self) -> None:
        """Write down what was seen, for ever."""
        while True:
            await self._anything.wait()
            self._anything.clear()
            while self._seen:
                some = [self._seen.popleft() for _ in range(min(AT_ONCE, len(self._seen)))]
                await asyncio.gather(*map(self._touch, some))

    async def _touch(self, live: LiveSession) -> None:
        handle = Session(self._engine, live.record)
        try:
            await handle.touch()
            live.learn(handle.record)
        except (SessionEnded, SessionNotFound):
            pass  # whoever follows the log hears of it
        except StoreError as error:
            logger().warning("the activity of session %s is not written down: %s", live.id, error)

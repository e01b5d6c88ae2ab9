"""Expiry, by whoever looks first; and the removal of what is over."""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING, Final

from insession.errors import StoreError, StoreMoved
from insession.kernel.kinds import NODE
from insession.kernel.operations import End, Ends, Pick, Purge
from insession.kernel.record import NEVER
from insession.kernel.rules import expiry

if TYPE_CHECKING:
    from insession.kernel.engine import Engine

_log: Final = logging.getLogger("insession.reaper")
LONGEST_SLEEP: Final = 60.0
"""Sessions that other processes opened are looked for this often; ours are known."""
LONGEST_SLEEP_BESIDE_NODES: Final = NODE.idle or LONGEST_SLEEP
"""Who recovers sessions of dead nodes looks so often: each of these has been there for so long when it is due."""
PURGE_EVERY: Final = 60.0
_JITTER: Final = 0.25


class Reaper:
    """Sleeps until something is due, then ends it; its cost follows what is due, not what lives."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._earlier = asyncio.Event()
        self._jitter = 0.0 if End in engine.store.immediate else _JITTER
        self.look: float = 0.0
        """When it looks next."""

    def note(self, due: float) -> None:
        """This process knows of something that is due then."""
        if due < self.look:
            self.look = due
            self._earlier.set()

    async def run(self) -> None:
        """Expire what is due, for ever."""
        clock = self._engine.clock
        while True:
            while (now := clock.now()) < self.look:
                self._earlier.clear()
                woken = asyncio.ensure_future(self._earlier.wait())
                try:
                    await clock.wait(woken, self.look)
                finally:
                    woken.cancel()
            await self._sweep(now)

    async def _sweep(self, now: float) -> None:
        engine = self._engine
        self.look = now + (LONGEST_SLEEP_BESIDE_NODES if engine.recovers else LONGEST_SLEEP)
        try:
            ends: Ends = await engine._ask(
                End(Pick("due", most=engine._step), expiry(now, engine._change(), engine.name))
            )
        except StoreError as error:
            _log.warning("expiry has to wait: %s", error)
            # A store that has moved does not come back.
            self.look = now + (LONGEST_SLEEP if isinstance(error, StoreMoved) else 1.0)
            return
        if ends.more:
            self.look = now
            await asyncio.sleep(0)
        elif ends.look != NEVER:
            # So that many processes do not wake for the same session at once.
            self.note(ends.look + random.uniform(0.0, self._jitter))  # noqa: S311

    async def purge_for_ever(self) -> None:
        """Remove what is over, now and then."""
        while True:
            await self._engine.clock.sleep(PURGE_EVERY)
            try:
                await self.purge()
            except StoreError as error:
                _log.warning("purging has to wait: %s", error)

    async def purge(self) -> int:
        """Remove what is over by now: ended sessions, expired items, old events.

        Every record says itself how long it is kept; how many of a kind are kept only its declaration
        says, so that the number bounds declared kinds alone.
        """
        engine = self._engine
        now, there = engine.clock.now(), {kind.name: kind.keep_count for kind in engine.kinds()}
        counts: dict[str, int | None] = {**{name: None async for name in engine._ended_kinds()}, **there}
        kinds = sum([await self.purge_kind(name, count) for name, count in counts.items()])
        return kinds + await self._all_of(Purge(now, most=engine._step))

    async def purge_kind(self, kind: str, count: int | None) -> int:
        """Remove a kind's ended sessions past their keep, or beyond so many newest."""
        engine = self._engine
        return await self._all_of(Purge(engine.clock.now(), kind, count, most=engine._step))

    async def _all_of(self, purge: Purge) -> int:
        number, more = 0, True
        while more:
            counted = await self._engine._ask(purge)
            number, more = number + counted.number, counted.more
            await asyncio.sleep(0)
        return int(number)

"""Sessions whose data is proven to be broken: ended, once, and their bytes kept for who may repair them."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from insession.errors import DataUnreadable, InsessionError, SessionNotFound
from insession.kernel.codec import encode
from insession.kernel.kinds import DAY
from insession.kernel.operations import Commit, Guard, Put
from insession.kernel.record import Record, State

if TYPE_CHECKING:
    from insession.kernel.engine import Engine

_log: Final = logging.getLogger("insession.engine")
REASON: Final = "data_unreadable"
PREFIX: Final = "~unreadable/"
"""Below it lie the bytes, by the session's id and version."""
KEPT: Final = 30 * DAY
AT_CLOSE: Final = 5.0
"""So many seconds an engine that is closed waits for what it sets aside."""
_UNBOUNDED: Final = 1 << 40


class Aside:
    """Sets sessions aside, in the background of whoever met them.

    First the bytes are kept, as an item ``~unreadable/<id>/<version>`` of the session's owner, for 30 days; then the
    session is interrupted for the reason ``data_unreadable``. Cut off in between it is done by the next reader.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._loop = asyncio.get_running_loop()
        self._under_way: dict[str, asyncio.Task[None]] = {}

    def soon(self, record: Record) -> None:
        """Set this session aside, unless it has ended; called in any thread."""
        if record.live and self._engine.is_open:
            self._loop.call_soon_threadsafe(self._begin, record)

    def _begin(self, record: Record) -> None:
        if record.id not in self._under_way:
            self._under_way[record.id] = self._engine._spawn(self._set_aside(record))

    async def leave(self) -> None:
        """Finish what is under way: a program that reads one session and exits would else leave it to nobody."""
        await asyncio.sleep(0)  # what was met just now begins
        if self._under_way:
            await asyncio.wait(self._under_way.values(), timeout=AT_CLOSE)

    async def _set_aside(self, record: Record) -> None:
        try:
            await self._judged(record)
        except SessionNotFound:
            pass
        except InsessionError as error:
            _log.warning("session %s has unreadable data and could not be set aside: %s", record.id, error)
        finally:
            del self._under_way[record.id]

    async def _judged(self, record: Record) -> None:
        """Decide on what is there now: somebody may have written over it, or ended it."""
        engine = self._engine
        record = await engine._read(record.id)
        if not record.live:
            return
        try:
            engine._decoded(record)
        except DataUnreadable as error:
            if not error.broken:
                return
            await self._keep(record, error.problem)
            if await engine._end(record.id, State.INTERRUPTED, REASON):
                _log.error("session %s was ended: its data cannot be read: %s", record.id, error.problem)

    async def _keep(self, record: Record, problem: str) -> None:
        engine = self._engine
        now = engine.clock.now()
        # As it lies in the store: a store that could not open it shows something else in its place.
        data = getattr(record.data, "sealed", record.data)
        kept = {"session": record.id, "kind": record.kind, "at": now, "problem": problem, "data": data}
        key = f"{PREFIX}{record.id}/{record.version}"
        put = Put(key, encode(kept, _UNBOUNDED), Guard.ABSENT, owner=record.owner, expires=now + KEPT)
        await engine._ask(Commit(now, engine._change(), engine.name, (put,)))

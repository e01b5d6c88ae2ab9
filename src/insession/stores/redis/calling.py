"""Calls of the program for one partition: sent once more only where it is known that nothing of them ran."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import partial
from struct import Struct
from typing import Any, Final, NamedTuple, cast

from redis.exceptions import OutOfMemoryError, ReadOnlyError, ResponseError

from insession.errors import OutcomeUnknown, StoreError, StoreFull, StoreUnavailable
from insession.kernel.events import EventType
from insession.kernel.operations import Answer, Count, Find, Load, Mark, Operation
from insession.kernel.passing import Passed

from .link import Line
from .records import EVENT_CODES, Argument, event_of
from .script import Program
from .signals import Tell, tell
from .stretches import Stretch
from .wire import Failed, answers, arguments, grows

SCAN: Final = 2000
"""So many positions one page looks at."""
_PASSED: Final = Struct(">BQQ")
"""Whether answers left anything untold that is followed; up to where a reader saw all of that before, and now."""
_READING: Final = frozenset({Load, Find, Count})
_ASKS: Final = Mark()
_NOTHING_RAN: Final = (
    "LOADING", "BUSY", "MASTERDOWN", "NOAUTH", "NOPERM", "MISCONF", "CLUSTERDOWN", "TRYAGAIN", "MOVED", "ASK",
)  # fmt: skip


def changes(operations: Sequence[Operation]) -> bool:
    """Whether any of them changes anything."""
    return any(type(operation) not in _READING and operation != _ASKS for operation in operations)


class Manner(NamedTuple):
    """What all calls of one store have in common."""

    where: str
    """The store's URL, for messages."""
    program: Program
    own: str
    """The store's name in what it publishes."""
    by_clock: bool
    """Whether leases go by the operations' times."""
    patience: float
    retention: float
    hear: Tell


class _Batch(NamedTuple):
    """Operations, and what is said of them."""

    operations: Sequence[Operation]
    said: Sequence[Argument]
    growing: bool


class Caller:
    """The calls for one partition.

    ``line`` gives the connection to the server that has it now. ``turned_away`` is asked about a refusal of which
    nothing ran; true: it may be sent again, elsewhere or later. ``others`` are further keys that the call names.
    """

    def __init__(
        self,
        manner: Manner,
        prefix: str,
        line: Callable[[], Awaitable[Line]],
        *,
        others: Sequence[str] = (),
        turned_away: Callable[[ResponseError], bool] | None = None,
        number: int = 0,
        passed: Passed | None = None,
        ready: Callable[[], Line | None] | None = None,
    ) -> None:
        self._manner = manner
        self._keys: Final = (f"{prefix}m", *others)
        self._line = line
        self._turned_away = turned_away
        self._number = number
        self._passed = passed
        self._ready = ready
        self._tasks: set[asyncio.Task[Any]] = set()

    def apply(self, operations: Sequence[Operation]) -> Awaitable[Sequence[Answer]]:
        """Apply operations of this partition in one call, sent at once where there is a connection."""
        program, line = self._manner.program, None if self._ready is None else self._ready()
        said = arguments(operations, self._manner.retention)
        batch = _Batch(operations, said, any(map(grows, operations)))
        if line is None or program.proves_room(line):
            return self._applied(batch)
        future: asyncio.Future[Sequence[Answer]] = asyncio.get_running_loop().create_future()
        command = program.command(line, self._keys, grows=batch.growing)
        line.send((*command, *self._head(line, proves=False), *said), partial(self._done, future, batch, line))
        return future

    def _done(self, future: asyncio.Future[Sequence[Answer]], batch: _Batch, line: Line, reply: Any) -> None:
        if isinstance(reply, Exception):
            task = asyncio.get_running_loop().create_task(self._applied(batch, (line, reply)))
            self._tasks.add(task)
            task.add_done_callback(partial(self._mended, future))
            return
        try:
            given = self._given(batch.operations, reply)
        except Exception as error:  # noqa: BLE001 - it is for whoever waits, and nothing that the connection did
            if not future.done():
                future.set_exception(error)
        else:
            if not future.done():
                future.set_result(given)

    def _mended(self, future: asyncio.Future[Sequence[Answer]], task: asyncio.Task[Sequence[Answer]]) -> None:
        self._tasks.discard(task)
        if future.done():
            return
        if task.cancelled():
            future.cancel()
        elif (error := task.exception()) is not None:
            future.set_exception(error)
        else:
            future.set_result(task.result())

    async def _applied(self, batch: _Batch, first: tuple[Line, Exception] | None = None) -> Sequence[Answer]:
        changing = changes(batch.operations)
        reply = await self._call(batch.said, growing=batch.growing, changing=changing, first=first)
        return self._given(batch.operations, reply)

    def _given(self, operations: Sequence[Operation], reply: Sequence[Any]) -> Sequence[Answer]:
        """The answers in a reply; and whoever has to hear of them does."""
        manner = self._manner
        replies, *told = reply
        try:
            given = answers(operations, replies)
        except Failed as error:
            manner.hear(None, True, False)
            raise OutcomeUnknown(f"{manner.where}: an operation failed on the server: {error}") from error
        if told:
            types, raw = told
            tell(types.decode(), manner.hear, answered=len(raw) > 0 and self._noted(raw))
        return given

    def _noted(self, raw: bytes) -> bool:
        """Take over what a call said of the log; whether its answers told all that is followed."""
        untold, before, position = _PASSED.unpack_from(raw)
        if untold or self._passed is None:
            return False
        self._passed.note(raw[_PASSED.size :].decode(), before, position)
        return True

    async def page(self, position: str, epoch: str, limit: int, types: Collection[EventType] | None) -> Stretch:
        """Some of the log after a position: ``""`` is its end, ``first`` what is before its first event."""
        wanted = "*" if types is None else "".join(sorted(EVENT_CODES[one] for one in types))
        said: list[Argument] = ["V", 5, position, epoch, wanted, limit, SCAN]
        (reply,), *_ = await self._call(said, growing=False, changing=False)
        if reply[0] != 1:
            problem = reply[1].decode(errors="replace")
            raise StoreUnavailable(f"{self._manner.where}: the log cannot be read: {problem}")
        _, raw_epoch, begin, reached, more, trimmed, found = reply
        entries = zip(found[::3], found[1::3], found[2::3], strict=True)
        events = [event_of(place, code, raw, self._number) for place, code, raw in entries]
        return Stretch(events, cast("bytes", raw_epoch).decode(), begin, reached, more == 1, trimmed == 1)

    async def _call(
        self,
        said: Sequence[Argument],
        *,
        growing: bool,
        changing: bool,
        first: tuple[Line, Exception] | None = None,
    ) -> Any:
        """``first``: it was sent over this line already, and that is how it failed."""
        loop, manner = asyncio.get_running_loop(), self._manner
        start = loop.time()
        while True:
            line, failed = (await self._line(), None) if first is None else first
            first = None
            head = self._head(line, proves=changing and manner.program.proves_room(line))
            try:
                if failed is not None and not isinstance(failed, ResponseError):
                    raise failed
                return await manner.program.call(line, self._keys, (*head, *said), grows=growing, refused=failed)
            except OutcomeUnknown as error:
                if changing:
                    # What it wrote, if it ran, nobody else here is told of.
                    manner.hear(None, True, False)
                    raise
                if loop.time() - start > manner.patience / 2:
                    raise StoreUnavailable(str(error)) from error
            except ResponseError as error:
                if loop.time() - start > manner.patience or not await self._again(error):
                    raise self._failure(error) from error

    async def _again(self, error: ResponseError) -> bool:
        if self._turned_away is None or not self._turned_away(error):
            return False
        await asyncio.sleep(0.01)
        return True

    def _head(self, line: Line, *, proves: bool) -> tuple[Argument, ...]:
        return (line.run, line.epoch, self._manner.own, int(self._manner.by_clock), int(proves))

    def _failure(self, error: ResponseError) -> StoreError:
        message, where = str(error), self._manner.where
        if isinstance(error, OutOfMemoryError) or "OOM command not allowed" in message:
            return StoreFull(f"{where}: the server has reached its maxmemory; nothing of it ran")
        if isinstance(error, ReadOnlyError) or message.startswith(_NOTHING_RAN) or self._turned_away_by(error):
            return StoreUnavailable(f"{where}: the server refuses it: {message}")
        return OutcomeUnknown(f"{where}: {message}")

    def _turned_away_by(self, error: ResponseError) -> bool:
        # redis-py leaves the first word out of some messages.
        return self._turned_away is not None and self._turned_away(error)

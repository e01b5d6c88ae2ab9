"""Calls of the program for one partition: sent once more only where it is known that nothing of them ran."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any, Final, NamedTuple, cast

from redis.exceptions import OutOfMemoryError, ReadOnlyError, ResponseError

from insession.errors import OutcomeUnknown, StoreError, StoreFull, StoreUnavailable
from insession.kernel.events import Event, EventType
from insession.kernel.operations import Answer, Count, Find, Load, Operation

from .link import Line
from .records import EVENT_CODES, Argument, event_of
from .script import Program
from .signals import Tell, tell
from .wire import Failed, answers, arguments, grows

SCAN: Final = 2000
"""So many positions one page looks at."""
_READING: Final = frozenset({Load, Find, Count})
_NOTHING_RAN: Final = (
    "LOADING", "BUSY", "MASTERDOWN", "NOAUTH", "NOPERM", "MISCONF", "CLUSTERDOWN", "TRYAGAIN", "MOVED", "ASK",
)  # fmt: skip


def changes(operations: Sequence[Operation]) -> bool:
    """Whether any of them changes anything."""
    return any(type(operation) not in _READING for operation in operations)


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


class Stretch(NamedTuple):
    """Some of the log of one partition."""

    events: list[Event]
    epoch: str
    begin: int
    position: int
    more: bool
    trimmed: bool


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
    ) -> None:
        self._manner = manner
        self._keys: Final = (f"{prefix}m", *others)
        self._line = line
        self._turned_away = turned_away
        self._number = number

    async def apply(self, operations: Sequence[Operation]) -> Sequence[Answer]:
        """Apply operations of this partition in one call."""
        manner = self._manner
        said = arguments(operations, manner.retention)
        replies = await self._call(said, growing=any(map(grows, operations)), changing=changes(operations))
        try:
            return answers(operations, replies)
        except Failed as error:
            raise OutcomeUnknown(f"{manner.where}: an operation failed on the server: {error}") from error

    async def page(self, position: str, epoch: str, limit: int, types: Collection[EventType] | None) -> Stretch:
        """Some of the log after a position: ``""`` is its end, ``first`` what is before its first event."""
        wanted = "*" if types is None else "".join(sorted(EVENT_CODES[one] for one in types))
        said: list[Argument] = ["V", 5, position, epoch, wanted, limit, SCAN]
        (reply,) = await self._call(said, growing=False, changing=False)
        if reply[0] != 1:
            problem = reply[1].decode(errors="replace")
            raise StoreUnavailable(f"{self._manner.where}: the log cannot be read: {problem}")
        _, raw_epoch, begin, reached, more, trimmed, found = reply
        entries = zip(found[::3], found[1::3], found[2::3], strict=True)
        events = [event_of(place, code, raw, self._number) for place, code, raw in entries]
        return Stretch(events, cast("bytes", raw_epoch).decode(), begin, reached, more == 1, trimmed == 1)

    async def _call(self, said: Sequence[Argument], *, growing: bool, changing: bool) -> Any:
        loop, manner = asyncio.get_running_loop(), self._manner
        start = loop.time()
        while True:
            line = await self._line()
            head = self._head(line, proves=changing and manner.program.proves_room(line))
            try:
                told, replies = await manner.program.call(line, self._keys, (*head, *said), grows=growing)
            except OutcomeUnknown as error:
                if changing:
                    # What it wrote, if it ran, nobody else here is told of.
                    manner.hear(None, True)
                    raise
                if loop.time() - start > manner.patience / 2:
                    raise StoreUnavailable(str(error)) from error
            except ResponseError as error:
                if loop.time() - start > manner.patience or not await self._again(error):
                    raise self._failure(error) from error
            else:
                tell(told.decode(), manner.hear)
                return replies

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

"""The store itself: its life, and who does what."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Collection, Sequence
from typing import Any, Final, cast

from redis.exceptions import OutOfMemoryError, ReadOnlyError, RedisError, ResponseError

from insession.errors import ConfigurationError, OutcomeUnknown, StoreError, StoreFull, StoreUnavailable
from insession.kernel.clock import Clock
from insession.kernel.contract import Waker, Wakers
from insession.kernel.events import START, Cursor, EventType, Page
from insession.kernel.operations import Answer, Count, Find, Load, Operation
from insession.kernel.record import Record
from insession.kernel.urls import StoreURL, check_namespace

from .dialling import Dialler
from .link import Line, Link
from .records import EVENT_CODES, event_of
from .script import Calls, Program
from .signals import Signals, tell
from .wire import Argument, Failed, answers, arguments, grows

RETENTION: Final = 86400.0
"""So many seconds the log keeps an event."""
PATIENCE: Final = 5.0
"""So many seconds a call waits for its answer, and for a connection."""
SCAN: Final = 2000
"""So many positions one page looks at."""
_READING: Final = frozenset({Load, Find, Count})
_NOTHING_RAN: Final = ("LOADING", "BUSY", "MASTERDOWN", "NOAUTH", "NOPERM", "MISCONF", "CLUSTERDOWN", "TRYAGAIN")


class RedisStore:
    """Everything on one server of Redis (6.2 or newer) or Valkey.

    ``patience`` is how long a call waits for its answer, ``calls`` how the program beside the data is called
    (only tests need to say so). With a ``clock`` deadlines and leases go by that, else by the server's.
    """

    immediate: frozenset[type[Operation]] = frozenset()
    most = 128
    abreast = 2

    def __init__(
        self,
        url: StoreURL,
        *,
        namespace: str = "default",
        clock: Clock | None = None,
        retention: float = RETENTION,
        patience: float = PATIENCE,
        calls: Calls = "auto",
    ) -> None:
        self._where: Final = url.shown
        self._clock = clock
        self._retention = retention
        self._dialler = Dialler(url, patience)
        self._program = Program(calls)
        self._prefix: Final = f"insession:{{{check_namespace(namespace)}.0}}:"
        self._own: Final = secrets.token_hex(4)
        self._wakers = Wakers()
        self._process: int | None = None
        self._closed = False
        self._patience = patience

    @classmethod
    def from_url(cls, url: StoreURL, *, namespace: str, clock: Clock | None) -> RedisStore:
        """``redis://user:password@host:port/database``; ``?timeout=`` is how many seconds a call waits."""
        url.only({"timeout", *Dialler.OPTIONS})
        return cls(url, namespace=namespace, clock=clock, patience=url.seconds("timeout", PATIENCE))

    async def open(self) -> None:
        if self._process is not None:
            raise ConfigurationError(f"{self._where}: this store was opened before; make another")
        self._process = os.getpid()
        self._link = Link(self._dialler.dial, self._where, self._patience)
        self._signals = Signals(self._dialler.dial, self._patience, [f"{self._prefix}w"], self._own, self._hear)
        try:
            await self._link.open()
            await self._signals.open()
        except (RedisError, OSError, TimeoutError) as error:
            await self._give_up()
            raise StoreUnavailable(f"{self._where}: cannot be reached: {error}") from error
        except BaseException:
            await self._give_up()
            raise

    async def _give_up(self) -> None:
        await self._signals.close()
        await self._link.close()
        await self._dialler.close()
        self._process = None

    async def close(self) -> None:
        if self._closed or self._process != os.getpid():
            return
        self._closed = True
        await self._signals.close()
        await self._link.close()
        await self._dialler.close()

    def _check(self) -> None:
        if self._process == os.getpid() and not self._closed:
            return
        if self._process is None or self._closed:
            raise StoreUnavailable(f"{self._where}: the store is not open")
        raise ConfigurationError(
            f"{self._where}: this process was forked from the one that opened the store; open one here"
        )

    def _hear(self, types: Collection[EventType] | None, handed_on: bool) -> None:  # noqa: FBT001
        self._wakers.set(types, leases=handed_on)

    async def now(self) -> float:
        self._check()
        if self._clock is not None:
            return self._clock.now()
        try:
            seconds, micros = await (await self._link.line()).ask("TIME")
        except OutcomeUnknown as error:
            raise StoreUnavailable(str(error)) from error
        return int(seconds) + int(micros) / 1e6

    async def apply(self, operations: Sequence[Operation]) -> Sequence[Answer]:
        self._check()
        if not operations:
            return []
        said = arguments(operations, self._retention)
        growing = any(map(grows, operations))
        changing = any(type(operation) not in _READING for operation in operations)
        replies = await self._call(said, growing=growing, changing=changing)
        try:
            return answers(operations, replies)
        except Failed as error:
            raise OutcomeUnknown(f"{self._where}: an operation failed on the server: {error}") from error

    async def _call(self, said: Sequence[Argument], *, growing: bool, changing: bool) -> Any:
        loop = asyncio.get_running_loop()
        start = loop.time()
        while True:
            line = await self._link.line()
            head = self._head(line, proves=changing and self._program.proves_room(line))
            try:
                told, replies = await self._program.call(line, f"{self._prefix}m", (*head, *said), grows=growing)
            except OutcomeUnknown as error:
                if changing:
                    # What it wrote, if it ran, nobody else here is told of.
                    self._hear(None, True)
                    raise
                if loop.time() - start > self._patience / 2:
                    raise StoreUnavailable(str(error)) from error
            except ResponseError as error:
                raise self._failure(error) from error
            else:
                tell(told.decode(), self._hear)
                return replies

    def _head(self, line: Line, *, proves: bool) -> tuple[Argument, ...]:
        return (line.run, line.epoch, self._own, int(self._clock is not None), int(proves))

    def _failure(self, error: ResponseError) -> StoreError:
        message = str(error)
        if isinstance(error, OutOfMemoryError) or "OOM command not allowed" in message:
            return StoreFull(f"{self._where}: the server has reached its maxmemory; nothing of it ran")
        if isinstance(error, ReadOnlyError) or message.startswith(_NOTHING_RAN):
            return StoreUnavailable(f"{self._where}: the server refuses it: {message}")
        return OutcomeUnknown(f"{self._where}: {message}")

    def apply_now(self, operation: Operation) -> Answer:
        raise StoreUnavailable(f"{self._where}: this store answers nothing at once")

    def record_now(self, session_id: str) -> Record | None:
        raise StoreUnavailable(f"{self._where}: this store answers nothing at once")

    async def events(self, after: str | None, limit: int, types: Collection[EventType] | None) -> Page:
        self._check()
        epoch, position = "", ""
        if after == START:
            position = "first"
        elif after is not None:
            cursor = Cursor.parse(after)
            epoch, position = cursor.epoch, str(cursor.positions[0])
        wanted = "*" if types is None else "".join(sorted(EVENT_CODES[one] for one in types))
        said: list[Argument] = ["V", 5, position, epoch, wanted, limit, SCAN]
        (reply,) = await self._call(said, growing=False, changing=False)
        if reply[0] != 1:
            raise StoreUnavailable(f"{self._where}: the log cannot be read: {reply[1].decode(errors='replace')}")
        return _page(reply)

    def waker(self, types: Collection[EventType], *, leases: bool = False) -> Waker:
        self._check()
        return self._wakers.waker(types, leases=leases)


def _page(reply: Sequence[Any]) -> Page:
    _, raw_epoch, begin, position, more, trimmed, found = reply
    epoch = cast("bytes", raw_epoch).decode()
    events = [
        event_of(place, code, raw, 0) for place, code, raw in zip(found[::3], found[1::3], found[2::3], strict=True)
    ]
    return Page(tuple(events), f"{epoch}:{begin}", f"{epoch}:{position}", more=more == 1, trimmed=trimmed == 1)

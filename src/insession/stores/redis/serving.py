"""What the stores on servers have in common: their life, and being told."""

from __future__ import annotations

import os
import secrets
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Collection
from typing import Final

from redis.exceptions import RedisError

from insession.errors import ConfigurationError, OutcomeUnknown, StoreUnavailable
from insession.kernel.clock import Clock
from insession.kernel.contract import Wakers
from insession.kernel.events import EventType
from insession.kernel.operations import Answer, Operation
from insession.kernel.record import Record
from insession.kernel.urls import StoreURL, check_namespace

from .calling import Manner
from .dialling import Dialler
from .link import Line
from .script import Calls, Program

RETENTION: Final = 86400.0
"""So many seconds the log keeps an event."""
PATIENCE: Final = 5.0
"""So many seconds a call waits for its answer, and for a connection."""


class ServerStore(ABC):
    """A store on servers of Redis or Valkey.

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
        self._dialler = Dialler(url, patience)
        self._namespace: Final = check_namespace(namespace)
        self._own: Final = secrets.token_hex(4)
        self._wakers = Wakers()
        self._process: int | None = None
        self._closed = False
        self._patience = patience
        self._manner = Manner(
            self._where, Program(calls), self._own, clock is not None, patience, retention, self._hear
        )

    @abstractmethod
    async def _connect(self) -> None:
        """Make every connection."""

    @abstractmethod
    async def _disconnect(self) -> None:
        """Give up what `_connect` made, or as much of it as there is."""

    async def open(self) -> None:
        if self._process is not None:
            raise ConfigurationError(f"{self._where}: this store was opened before; make another")
        self._process = os.getpid()
        try:
            await self._connect()
        except (RedisError, OSError, TimeoutError, OutcomeUnknown) as error:
            await self._give_up()
            raise StoreUnavailable(f"{self._where}: cannot be reached: {error}") from error
        except BaseException:
            await self._give_up()
            raise

    async def _give_up(self) -> None:
        await self._disconnect()
        self._process = None

    async def close(self) -> None:
        if self._closed or self._process != os.getpid():
            return
        self._closed = True
        await self._disconnect()

    def _check(self) -> None:
        if self._process == os.getpid() and not self._closed:
            return
        if self._process is None or self._closed:
            raise StoreUnavailable(f"{self._where}: the store is not open")
        raise ConfigurationError(
            f"{self._where}: this process was forked from the one that opened the store; open one here"
        )

    def _hear(self, types: Collection[EventType] | None, handed_on: bool, answered: bool) -> None:  # noqa: FBT001
        self._wakers.set(types, leases=handed_on, answered=answered)

    async def _time(self, line: Callable[[], Awaitable[Line]]) -> float:
        if self._clock is not None:
            return self._clock.now()
        try:
            seconds, micros = await (await line()).ask("TIME")
        except OutcomeUnknown as error:
            raise StoreUnavailable(str(error)) from error
        return int(seconds) + int(micros) / 1e6

    def apply_now(self, operation: Operation) -> Answer:
        raise StoreUnavailable(f"{self._where}: this store answers nothing at once")

    def record_now(self, session_id: str) -> Record | None:
        raise StoreUnavailable(f"{self._where}: this store answers nothing at once")

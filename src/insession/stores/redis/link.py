"""One connection to a server, over which calls follow one another and answers come back in their order.

redis-py makes it (TLS, authentication), hiredis reads and writes its protocol. Nothing is sent again: a call whose
answer was lost may have run, and only who sent it knows what sending it again means.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

from hiredis import pack_command
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    NoPermissionError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)

from insession.errors import ConfigurationError, OutcomeUnknown, StoreUnavailable

from .dialling import Carrier

Dial = Callable[[], Awaitable[Carrier]]
"""Makes a connection, and connects it."""
_PAUSES: Final = (0.0, 0.02, 0.05, 0.1, 0.2)
"""Seconds between attempts to connect, the last one again and again."""


class Line(asyncio.Protocol):
    """One connection while it lasts. A call that is cancelled runs to its end; its answer reaches nobody."""

    def __init__(self, connection: Carrier, where: str, patience: float) -> None:
        self._connection = connection
        self._where = where
        self._patience = patience
        self._loop = asyncio.get_running_loop()
        self._pending: deque[tuple[Callable[[Any], None], float]] = deque()
        """Who gets the answers that are still out, and since when."""
        self._settled: asyncio.Future[None] | None = None
        self._watch: asyncio.TimerHandle | None = None
        self._transport, self._replies = connection.hand_over(self)
        self.lost: bool = False
        self.epoch: str = secrets.token_hex(4)
        """What the log's epoch becomes if another run of the server wrote it."""
        self.run: str = ""
        """Which run of the server it is,"""
        self.version: int = 0
        """and of which major version; Valkey says 7."""
        self.without_functions: bool = False

    async def greet(self) -> None:
        """Ask the server who it is."""
        info = dict(
            line.split(":", 1) for line in (await self.ask("INFO", "server")).decode().splitlines() if ":" in line
        )
        self.run = info["run_id"]
        self.version = int(info["redis_version"].split(".", 1)[0])

    def ask(self, *command: Any) -> asyncio.Future[Any]:
        """The server's answer to a command; the future raises what it refuses it with."""
        future: asyncio.Future[Any] = self._loop.create_future()
        self.send(command, partial(_answer, future))
        return future

    def send(self, command: tuple[Any, ...], done: Callable[[Any], None]) -> None:
        """Send a command; ``done`` gets its answer, or the error, as soon as it is there. It must not raise."""
        if self.lost:
            raise StoreUnavailable(f"{self._where}: the connection was lost; nothing of it ran")
        # redis-py's own asynchronous packing is written in Python, and costs more than all else of a batch.
        self._transport.write(pack_command(command))
        self._pending.append((done, self._loop.time()))
        if self._watch is None:
            self._watch = self._loop.call_later(self._patience, self._look)

    def _look(self) -> None:
        """One alarm for all: it looks how long the oldest answer has been out."""
        self._watch = None
        if self._pending:
            due = self._pending[0][1] + self._patience
            if due <= self._loop.time():
                self._lose(f"no answer within {self._patience:g} s")
            else:
                self._watch = self._loop.call_at(due, self._look)

    def data_received(self, data: bytes) -> None:
        replies = self._replies
        try:
            replies.feed(data)
            while (reply := replies.gets(False)) is not False:
                self._take(reply)
        except (RedisError, IndexError) as error:
            self._lose(f"the connection broke: {error}")

    def _take(self, reply: Any) -> None:
        if isinstance(reply, RedisError) and not isinstance(reply, ResponseError):
            # It says that it cannot be worked with, like a server that is loading.
            self._lose(f"the connection broke: {reply}")
            return
        done, _ = self._pending.popleft()
        if isinstance(reply, ReadOnlyError):
            # It was the master once: whoever asks next looks for the one that is.
            self._lose(f"the connection was lost: {reply}")
        done(reply)
        if not self._pending and self._settled is not None and not self._settled.done():
            self._settled.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lose(f"the connection was lost: {exc or 'the server closed it'}")

    def _lose(self, why: str) -> None:
        """Nothing more comes over it: every answer that is still out is lost."""
        if self.lost:
            return
        self.lost = True
        if self._watch is not None:
            self._watch.cancel()
        while self._pending:
            done, _ = self._pending.popleft()
            done(OutcomeUnknown(f"{self._where}: {why}"))
        if self._settled is not None and not self._settled.done():
            self._settled.set_result(None)

    async def settle(self) -> None:
        """Wait for the answers that are still out."""
        if self._pending:
            self._settled = self._loop.create_future()
            await asyncio.wait((self._settled,), timeout=self._patience)

    async def close(self) -> None:
        """Give it up."""
        self._lose("the connection was lost: closed")
        self._transport.abort()
        await self._connection.disconnect(nowait=True)


def _answer(future: asyncio.Future[Any], reply: Any) -> None:
    if future.done():
        return
    if isinstance(reply, Exception):
        future.set_exception(reply)
        future.exception()  # a caller that broke off does not fetch it
    else:
        future.set_result(reply)


class Link:
    """A line that is made anew when it was lost."""

    def __init__(self, dial: Dial, where: str, patience: float) -> None:
        self._dial = dial
        self._where = where
        self._patience = patience
        self._line: Line | None = None
        self._making = asyncio.Lock()
        self._closed = False

    def ready(self) -> Line | None:
        """The line, if there is one."""
        line = self._line
        return None if line is None or line.lost else line

    async def line(self) -> Line:
        """A line to the server; `StoreUnavailable` if there is none in time."""
        line = self._line
        if line is not None and not line.lost:
            return line
        async with self._making:
            if self._line is None or self._line.lost:
                await self._drop()
                self._line = await self._made()
            return self._line

    async def open(self) -> Line:
        """A line, made with one attempt if there is none: a server that is not there now is not waited for."""
        line = self._line
        if line is not None and not line.lost:
            return line
        async with self._making:
            if self._line is None or self._line.lost:
                await self._drop()
                self._line = await self._attempt(self._patience)
            return self._line

    async def close(self) -> None:
        """Give the line up after the calls under way, and make no other."""
        self._closed = True
        if self._line is not None:
            await self._line.settle()
        await self._drop()

    async def _drop(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            await line.close()

    async def _made(self) -> Line:
        loop = asyncio.get_running_loop()
        end, attempt = loop.time() + self._patience, 0
        while True:
            if self._closed:
                raise StoreUnavailable(f"{self._where}: the store is not open")
            try:
                return await self._attempt(max(end - loop.time(), 0.001))
            except StoreUnavailable:
                pause = _PAUSES[min(attempt, len(_PAUSES) - 1)]
                attempt += 1
                if loop.time() + pause >= end:
                    raise
                await asyncio.sleep(pause)

    async def _attempt(self, seconds: float) -> Line:
        line: Line | None = None
        try:
            async with asyncio.timeout(seconds):
                line = Line(await self._dial(), self._where, self._patience)
                await line.greet()
        except (AuthenticationError, AuthorizationError, NoPermissionError) as error:
            await _given_up(line)
            raise ConfigurationError(f"{self._where}: the server refuses this user: {error}") from error
        except (RedisError, OSError, TimeoutError, OutcomeUnknown) as error:
            await _given_up(line)
            saying = f"no answer within {self._patience:g} s" if isinstance(error, TimeoutError) else str(error)
            raise StoreUnavailable(f"{self._where}: cannot be reached: {saying}") from error
        except BaseException:
            await _given_up(line)
            raise
        return line


async def _given_up(line: Line | None) -> None:
    if line is not None:
        await line.close()

"""A proxy on the wire between a store and its server: it counts what is asked, and can fall silent or hang up.

A trip is one question whose answer somebody waits for: over the protocol of Redis (RESP2) one command; over that of
PostgreSQL (version 3) one `Sync`, or one simple query. `Trips.asked` sorts them by what they are for.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final, Protocol

BATCH: Final = "batch"
"""Operations."""
LOG: Final = "log"
"""A page of the log: what an engine reads after an ending, beside its callers."""
TELL: Final = "tell"
"""A signal to other processes, which no caller waits for."""
PREPARE: Final = "prepare"
"""What the first use of a statement on a connection asks beside, and the lock that says that somebody waits."""
_BESIDE: Final = (
    b"typeinfo_tree",
    b"current_setting('jit')",
    b"set_config('jit'",
    b"SELECT pg_advisory_lock_shared",
    b"SELECT pg_advisory_unlock",
)
_FCALL: Final = frozenset({b"FCALL", b"EVALSHA"})
_FIRST_OPERATION: Final = 9
"""Of a call's words: command, function, number of keys, the key, and a head of five come before it."""
_TAGGED: Final = 5


class Trips(Protocol):
    """Reads one connection's questions."""

    asked: Counter[str]

    def feed(self, data: bytes) -> None:
        """Take what the client sent."""


class RedisTrips:
    """Commands, each an array of bulk strings (the protocol's own document)."""

    def __init__(self, asked: Counter[str]) -> None:
        self.asked: Counter[str] = asked
        self._buffer = b""

    def feed(self, data: bytes) -> None:
        self._buffer += data
        while (found := _command(self._buffer)) is not None:
            words, self._buffer = found
            name = words[0].upper()
            if name not in _FCALL:
                self.asked[name.decode().lower()] += 1
            else:
                self.asked[LOG if words[_FIRST_OPERATION] == b"V" else BATCH] += 1


def _command(buffer: bytes) -> tuple[list[bytes], bytes] | None:
    """The words of the first whole command, and what follows it."""
    head, end, _ = buffer.partition(b"\r\n")
    if not end:
        return None
    assert head[:1] == b"*", head
    place, words = len(head) + 2, []
    for _ in range(int(head[1:])):
        stop = buffer.find(b"\r\n", place)
        if stop < 0:
            return None
        size = int(buffer[place + 1 : stop])
        words.append(buffer[stop + 2 : stop + 2 + size])
        place = stop + 2 + size + 2
    return None if place > len(buffer) else (words, buffer[place:])


class PostgresTrips:
    """Messages of the frontend: a `Sync` ends what one `Bind` (or `Parse`) began."""

    def __init__(self, asked: Counter[str]) -> None:
        self.asked: Counter[str] = asked
        self._buffer = b""
        self._started = False
        self._statements: dict[bytes, bytes] = {}
        self._last = b""

    def feed(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= _TAGGED:
            at = 1 if self._started else 0
            size = at + int.from_bytes(self._buffer[at : at + 4], "big")
            if len(self._buffer) < size:
                return
            message, self._buffer = self._buffer[:size], self._buffer[size:]
            if self._started:
                self._take(message[:1], message[_TAGGED:])
            else:
                self._started = True

    def _take(self, tag: bytes, body: bytes) -> None:
        if tag == b"P":
            name, sql, _ = body.split(b"\0", 2)
            self._statements[name] = sql
            self._last = b"prepare " + sql
        elif tag == b"B":
            self._last = self._statements.get(body.split(b"\0", 2)[1], b"?")
        elif tag == b"Q":
            self.asked[_purpose(body)] += 1
        elif tag == b"S":
            self.asked[_purpose(self._last)] += 1


def _purpose(sql: bytes) -> str:
    if sql.startswith(b"prepare ") or any(words in sql for words in _BESIDE):
        return PREPARE
    if b"pg_notify" in sql:
        return TELL
    if b'.events" AS e' in sql or b"SELECT position, handed FROM" in sql:
        return LOG
    # A batch is one call of `apply`; one of a lone operation is a statement of its own.
    return BATCH if sql.lstrip().startswith((b"SELECT", b"WITH")) else sql[:40].decode(errors="replace").strip()


class Proxy:
    """Stands before a server, on a port or a socket of its own. ``asked`` counts over all its connections."""

    def __init__(self, to: tuple[str, int] | str, trips: Callable[[Counter[str]], Trips]) -> None:
        self._to = to
        self._trips = trips
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.asked: Counter[str] = Counter()
        self.silent: bool = False
        """While it is, no answer reaches a client; what a client asks still arrives."""
        self.answers_left: int | None = None
        """So many more pieces of answers come through, then it falls silent,"""
        self.hangs_up: bool = False
        """or dies."""

    async def listen(self, at: str | None = None) -> int:
        """Take connections on a free port of the loopback, or on a socket; the port."""
        if at is not None:
            self._server = await asyncio.start_unix_server(self._connected, at)
            return 0
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Hang up on everybody, and take no more."""
        self.die()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def die(self) -> None:
        """Hang up on everybody, and take no more: nobody listens there now."""
        if self._server is not None:
            self._server.close()
        self.hang_up()

    def hang_up(self) -> None:
        """End every connection now."""
        for writer in self._writers:
            writer.transport.abort()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        there: asyncio.StreamWriter | None = None
        try:
            if isinstance(self._to, str):
                source, there = await asyncio.open_unix_connection(self._to)
            else:
                source, there = await asyncio.open_connection(*self._to)
            self._writers.add(there)
            asking = asyncio.create_task(self._ask(reader, there))
            try:
                await self._answer(source, writer)
            finally:
                asking.cancel()
                await asyncio.gather(asking, return_exceptions=True)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            for one in (writer, there):
                if one is not None:
                    self._writers.discard(one)
                    one.transport.abort()

    async def _ask(self, reader: asyncio.StreamReader, there: asyncio.StreamWriter) -> None:
        trips = self._trips(self.asked)
        with suppress(OSError):
            while data := await reader.read(65536):
                trips.feed(data)
                there.write(data)
                await there.drain()
        there.close()

    async def _answer(self, source: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            if self.answers_left is not None:
                self.silent = self.silent or self.answers_left <= 0
                self.answers_left -= 1
                if self.silent and self.hangs_up:
                    self.die()
            if not self.silent:
                writer.write(data)
                await writer.drain()


@asynccontextmanager
async def proxied(
    to: tuple[str, int] | str, trips: Callable[[Counter[str]], Trips], at: str | None = None
) -> AsyncGenerator[tuple[Proxy, int]]:
    """A proxy that runs for as long as the block, and its port."""
    proxy = Proxy(to, trips)
    port = await proxy.listen(at)
    try:
        yield proxy, port
    finally:
        await proxy.close()

"""The event log as server-sent events (WHATWG HTML, section 9.2)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

import msgspec

from insession.kernel.streams import EventStream

from .log import Logged, next_of

KEEP_ALIVE: Final = 15.0
"""A stream that has nothing to say says so this often, in seconds, so that nobody between takes it for dead."""
MEDIA_TYPE: Final = "text/event-stream"
HEADERS: Final = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
_encode: Final = msgspec.json.Encoder().encode


class Feeds:
    """All open event streams of an application: they end together, at once, when it stops."""

    def __init__(self, keep_alive: float = KEEP_ALIVE) -> None:
        self._keep_alive = keep_alive
        self._waits: set[asyncio.Timeout] = set()
        self._stopped = False

    def stop(self) -> None:
        """End every stream, also those that are opened after this."""
        self._stopped = True
        now = asyncio.get_running_loop().time()
        for wait in self._waits:
            wait.reschedule(now)

    async def follow(self, stream: EventStream) -> AsyncIterator[bytes]:
        """The log as it grows, until the reader leaves or the application stops.

        A client's cursor is told at once and with every keep-alive, in blocks without data: they set
        the last event id and dispatch nothing, so that a reconnect misses nothing.
        """
        yield _comment("listening", stream.cursor)
        while not self._stopped:
            logged = await self._next(stream)
            yield _comment("keep-alive", stream.cursor) if logged is None else frame(logged)

    async def _next(self, stream: EventStream) -> Logged | None:
        """The next of a stream; None after a while without one, or when the streams are stopped."""
        wait = asyncio.timeout(self._keep_alive)
        self._waits.add(wait)
        try:
            async with wait:
                return await next_of(stream)
        except TimeoutError:
            if not wait.expired():
                raise
            return None
        finally:
            self._waits.discard(wait)


async def frames(log: AsyncIterator[Logged]) -> AsyncIterator[bytes]:
    """A part of the log that ends."""
    async for logged in log:
        yield frame(logged)


def frame(logged: Logged) -> bytes:
    """An event, or a gap, as a block of the stream; its id is the cursor after it."""
    if logged.event is None:
        return _block("trimmed", logged.cursor, _encode({"cursor": logged.cursor}))
    return _block(logged.event.type.value, logged.cursor, _encode(logged.event))


def _block(name: str, cursor: str, data: bytes) -> bytes:
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (cursor.encode(), name.encode(), data)


def _comment(said: str, cursor: str | None) -> bytes:
    place = f"id: {cursor}\n" if cursor else ""
    return f": {said}\n{place}\n".encode()

"""The event log as server-sent events (WHATWG HTML, section 9.2)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Final

import msgspec

from insession.errors import StoreError

from .log import Logged, Reading

KEEP_ALIVE: Final = 15.0
"""A stream that has nothing to say says so this often, in seconds, so that nobody between takes it for dead."""
MEDIA_TYPE: Final = "text/event-stream"
HEADERS: Final = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
_log: Final = logging.getLogger("insession.service")
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
            if not wait.expired():
                wait.reschedule(now)

    async def follow(self, reading: Reading) -> AsyncIterator[bytes]:
        """The log as it grows, until the reader leaves or the application stops.

        The last block is ``goodbye``: the application stops, and whoever reads on elsewhere has the cursor for it.
        A client's cursor is told at once and with every keep-alive, in blocks without data: they set
        the last event id and dispatch nothing, so that a reconnect misses nothing.
        """
        yield _comment("listening", reading.cursor)
        while not self._stopped:
            try:
                logged = await self._next(reading)
            except StoreError as error:
                # Its reader comes back with the cursor that it has.
                _log.warning("an event stream ends, the log cannot be read: %s", error)
                return
            if logged is not None:
                yield frame(logged)
                # What waits already is sent without waiting; a reader that has left is noticed all the same.
                await asyncio.sleep(0)
            elif not self._stopped:
                yield _comment("keep-alive", await reading.passed())
        yield _block("goodbye", reading.cursor, _encode({"cursor": reading.cursor}))

    async def _next(self, reading: Reading) -> Logged | None:
        """The next of the log; None after a while without one, or when the streams are stopped."""
        wait = asyncio.timeout(self._keep_alive)
        self._waits.add(wait)
        try:
            async with wait:
                return await reading.next()
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
        await asyncio.sleep(0)


def frame(logged: Logged) -> bytes:
    """An event, or a gap, as a block of the stream; its id is the cursor after it."""
    if logged.event is None:
        return _block("trimmed", logged.cursor, _encode({"cursor": logged.cursor}))
    return _block(logged.event.type.value, logged.cursor, _encode(logged.event))


def _block(name: str, cursor: str, data: bytes) -> bytes:
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (cursor.encode(), name.encode(), data)


def _comment(said: str, cursor: str) -> bytes:
    return f": {said}\nid: {cursor}\n\n".encode()

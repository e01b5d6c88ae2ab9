"""Being told that something became visible: a channel that every call publishes to, and nothing is read from.

What it says is only that it is time to look. A channel forgets: after every (re)connection all are woken, because
something may have been missed, and a connection that does not answer is given up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import Any, Final

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError

from insession.errors import StoreError
from insession.kernel.events import EventType

from .link import Dial
from .records import EVENTS

CHECK: Final = 2.0
"""Seconds of silence after which the server is asked whether it is there."""
_PAUSE: Final = 0.1
LEASES: Final = "l"

Tell = Callable[[Collection[EventType] | None, bool], None]
"""Told what types of events became visible (None: any), and whether a lease was handed on."""


def tell(told: str, hear: Tell) -> None:
    """Pass on what a call or a channel said."""
    if told:
        hear([EVENTS[int(code)] for code in told if code != LEASES], LEASES in told)


class Signals:
    """A connection that listens."""

    def __init__(self, dial: Dial, patience: float, channels: Collection[str], own: str, hear: Tell) -> None:
        self._dial = dial
        self._patience = patience
        self._channels = channels
        self._own = own
        self._hear = hear
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Listen from now on."""
        connection = await self._subscribed()
        self._task = asyncio.get_running_loop().create_task(self._listen(connection))

    async def close(self) -> None:
        """Stop."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _subscribed(self) -> AbstractConnection:
        async with asyncio.timeout(self._patience):
            connection = await self._dial()
            try:
                await connection.send_command("SUBSCRIBE", *self._channels, check_health=False)
                for _ in self._channels:
                    await connection.read_response()
            except BaseException:
                await connection.disconnect(nowait=True)
                raise
        return connection

    async def _listen(self, connection: AbstractConnection | None) -> None:
        while True:
            try:
                if connection is None:
                    connection = await self._subscribed()
                    self._hear(None, True)
                await self._heard(connection)
            except (RedisError, OSError, StoreError, TimeoutError):
                await asyncio.sleep(_PAUSE)
            finally:
                if connection is not None:
                    await connection.disconnect(nowait=True)
                connection = None

    async def _heard(self, connection: AbstractConnection) -> None:
        """Listen until the connection breaks, or does not answer."""
        asked = False
        while True:
            reply = await connection.read_response(disable_decoding=True, timeout=CHECK)
            if reply is not None:
                asked = False
                self._take(reply)
            elif asked:
                return
            else:
                asked = True
                await connection.send_command("PING", check_health=False)

    def _take(self, reply: Any) -> None:
        if reply[0] == b"message":
            own, _, told = reply[2].decode().partition(":")
            if own != self._own:
                tell(told, self._hear)

"""Being told that something became visible: channels that every call publishes to, and nothing is read from.

What they say is only that it is time to look. One carries what every engine follows; the other, with all else, is
listened to once somebody waits for that, because each message costs each process that listens. A channel forgets:
after every subscription all are woken, because something may have been missed, and a connection that does not
answer is given up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from typing import Any, Final

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError

from insession.errors import StoreError
from insession.kernel.events import FOLLOWED, EventType

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
    """A connection that listens, for the partitions with these prefixes."""

    def __init__(self, dial: Dial, patience: float, prefixes: Sequence[str], own: str, hear: Tell) -> None:
        self._dial = dial
        self._patience = patience
        self._others = [f"{prefix}v" for prefix in prefixes]
        self._channels = [f"{prefix}w" for prefix in prefixes]
        self._wide = False
        self._own = own
        self._hear = hear
        self._connection: AbstractConnection | None = None
        self._task: asyncio.Task[None] | None = None
        self._widening: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Listen from now on."""
        self._connection = await self._subscribed()
        self._task = asyncio.get_running_loop().create_task(self._listen(self._connection))

    async def close(self) -> None:
        """Stop."""
        tasks = [task for task in (self._task, self._widening) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        # A task that is cancelled before its first step closes nothing.
        if self._connection is not None:
            await self._connection.disconnect(nowait=True)

    def widen(self, types: Collection[EventType]) -> None:
        """Somebody waits for these: listen to all, if they are not what is always listened to."""
        if not self._wide and not FOLLOWED.issuperset(types):
            self._wide = True
            self._channels += self._others
            self._widening = asyncio.get_running_loop().create_task(self._widen())

    async def _widen(self) -> None:
        # Without a connection the next one will have it.
        if self._connection is not None:
            with suppress(RedisError, OSError):
                await self._connection.send_command("SUBSCRIBE", *self._others, check_health=False)

    async def _subscribed(self) -> AbstractConnection:
        async with asyncio.timeout(self._patience):
            connection = await self._dial()
            try:
                channels = tuple(self._channels)
                await connection.send_command("SUBSCRIBE", *channels, check_health=False)
                for _ in channels:
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
                self._connection = None
                if connection is not None:
                    await connection.disconnect(nowait=True)
                connection = None

    async def _heard(self, connection: AbstractConnection) -> None:
        """Listen until the connection breaks, or does not answer."""
        asked, self._connection = False, connection
        if self._wide:
            # It may have been asked for while this connection was made.
            await self._widen()
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
        if reply[0] == b"subscribe":
            self._hear(None, True)
        elif reply[0] == b"message":
            own, _, told = reply[2].decode().partition(":")
            if own != self._own:
                tell(told, self._hear)

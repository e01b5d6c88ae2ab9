"""Being told that something became visible: channels that every call publishes to, and nothing is read from.

What they say is only that it is time to look. One carries what every engine follows; the other, with all else, is
listened to once somebody waits for that, because each message costs each process that listens. A channel forgets:
after every subscription all are woken, because something may have been missed, and a connection that does not
answer is given up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from typing import Any, Final

from hiredis import pack_command
from redis.exceptions import RedisError

from insession.errors import StoreError
from insession.kernel.events import FOLLOWED, EventType

from .dialling import Carrier
from .link import Dial
from .records import EVENTS

CHECK: Final = 2.0
"""Seconds of silence after which the server is asked whether it is there."""
_PAUSE: Final = 0.1
LEASES: Final = "l"

Tell = Callable[[Collection[EventType] | None, bool, bool], None]
"""Told what types of events became visible (None: any), whether a lease was handed on, and whether answers tell all."""


def tell(told: str, hear: Tell, *, answered: bool = False) -> None:
    """Pass on what a call or a channel said."""
    if told:
        hear([EVENTS[int(code)] for code in told if code != LEASES], LEASES in told, answered)


class Ear(asyncio.Protocol):
    """One connection that listens. What each process hears of its own costs it as little as can be."""

    def __init__(self, connection: Carrier, take: Callable[[Any], None]) -> None:
        self._connection = connection
        self._take = take
        self._heard = True
        self._gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transport, self._replies = connection.hand_over(self)

    def send(self, *command: Any) -> None:
        """Tell the server something; it answers in the order of what it says anyway."""
        self._transport.write(pack_command(command))

    def data_received(self, data: bytes) -> None:
        self._heard = True
        try:
            self._replies.feed(data)
            while (reply := self._replies.gets(False)) is not False:
                self._take(reply)
        except RedisError:
            self._transport.abort()

    def connection_lost(self, _: Exception | None) -> None:
        if not self._gone.done():
            self._gone.set_result(None)

    async def until_silent(self) -> None:
        """Listen until the connection breaks, or does not answer."""
        while self._heard:
            self._heard = False
            await asyncio.wait((self._gone,), timeout=CHECK)
            if self._gone.done():
                return
            if not self._heard:
                self.send("PING")
                await asyncio.wait((self._gone,), timeout=CHECK)

    async def close(self) -> None:
        """Give it up."""
        self._transport.abort()
        await self._connection.disconnect(nowait=True)


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
        self._ear: Ear | None = None
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Listen from now on."""
        ear = await self._subscribed()
        self._task = asyncio.get_running_loop().create_task(self._listen(ear))

    async def close(self) -> None:
        """Stop."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def widen(self, types: Collection[EventType]) -> None:
        """Somebody waits for these: listen to all, if they are not what is always listened to."""
        if not self._wide and not FOLLOWED.issuperset(types):
            self._wide = True
            self._channels += self._others
            self._widen()

    def _widen(self) -> None:
        # Without a connection the next one will have it.
        if self._ear is not None:
            self._ear.send("SUBSCRIBE", *self._others)

    async def _subscribed(self) -> Ear:
        async with asyncio.timeout(self._patience):
            connection = await self._dial()
            try:
                channels = tuple(self._channels)
                await connection.send_command("SUBSCRIBE", *channels, check_health=False)
                for _ in channels:
                    await connection.read_response()
                return Ear(connection, self._take)
            except BaseException:
                await connection.disconnect(nowait=True)
                raise

    async def _listen(self, ear: Ear | None) -> None:
        while True:
            try:
                if ear is None:
                    ear = await self._subscribed()
                    self._hear(None, True, False)
                self._ear = ear
                if self._wide:
                    # It may have been asked for while this connection was made.
                    self._widen()
                await ear.until_silent()
            except (RedisError, OSError, StoreError, TimeoutError):
                await asyncio.sleep(_PAUSE)
            finally:
                self._ear = None
                if ear is not None:
                    await ear.close()
                ear = None

    def _take(self, reply: Any) -> None:
        if reply[0] == b"subscribe":
            self._hear(None, True, False)
        elif reply[0] == b"message":
            own, _, told = reply[2].decode().partition(":")
            if own != self._own:
                tell(told, self._hear)

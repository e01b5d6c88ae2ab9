"""Telling other processes what became visible, and hearing it from them.

`NOTIFY` goes out after the commit: inside of it, it would queue the commits of the whole database. A process that
dies in between tells nobody, so a slow look is the net.

Everybody hears of what stops work, and of leases. Who waits for more holds a shared lock for as long as it listens;
a batch tries to take that lock alone, and if it can, nobody has to be told. So it is with listening itself: one process
holds a lock of the first, all others one that they share; while nobody holds that, the first is alone and says nothing.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any, Final

import asyncpg

from insession.errors import InsessionError
from insession.kernel.events import FOLLOWED, EventType

from .answers import Told
from .connections import ERRORS, Connections
from .schema import Schema

SLOW: Final = 1.0
"""Without any sign we look so often, in seconds."""
_FIRST_PAUSE: Final = 0.05
_NOTIFY: Final = "SELECT pg_notify($1, $2)"
_TYPES: Final = {one.value: one for one in EventType}
Tell = Callable[[Collection[EventType] | None, bool, bool], None]


class Listening:
    """One connection that listens, and the signals that go out.

    ``tell`` sets wakers of these types (None: all), of leases, and perhaps not those that answers tell.
    """

    def __init__(
        self,
        connections: Connections,
        direct: Connections | None,
        schema: Schema,
        tell: Tell,
        wanted: Callable[[], bool],
    ) -> None:
        self._connections = connections
        self._direct = direct
        self._schema = schema
        self._tell = tell
        self._wanted = wanted
        self._self = uuid.uuid4().hex[:12]
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None
        self._lost = asyncio.Event()
        self._using = asyncio.Lock()
        self._interested = False
        self._first = False
        self._types: set[EventType] = set()
        self._handed = False
        self._sending: asyncio.Task[None] | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._sight: tuple[int, int] | None = None
        """Position of the log and number of leases handed on, as far as they are known here."""

    async def open(self) -> None:
        """Listen from now on."""
        if self._direct is not None:
            await self._listen(self._direct)
            self._tasks.append(asyncio.create_task(self._keep_listening(self._direct), name="insession-listen"))
        self._tasks.append(asyncio.create_task(self._look_now_and_then(), name="insession-look"))

    async def close(self) -> None:
        """Send what waits, and stop."""
        if self._sending is not None:
            with suppress(Exception):
                await self._sending
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._connection is not None:
            with suppress(Exception):
                await self._connection.close(timeout=1.0)

    def want(self, types: Collection[EventType]) -> None:
        """Hear of these types from now on."""
        if not self._interested and not FOLLOWED.issuperset(types):
            self._interested = True
            if self._direct is not None:
                self._tasks.append(asyncio.create_task(self._take_interest(), name="insession-want"))

    async def _take_interest(self) -> None:
        # If it fails the connection is lost, and the next one takes it.
        with suppress(*ERRORS):
            async with self._using:
                if self._connection is not None:
                    await self._connection.execute("SELECT pg_advisory_lock_shared($1)", self._schema.interest)
        # Those who held the lock before have told nobody.
        self._tell(None, True, False)

    def tell(self, told: Told, *, answered: bool) -> None:
        """Something of ours became visible: whoever waits here is told at once, others by the next signal.

        ``answered``: all that it ended is in answers.
        """
        self._tell(told.types, told.handed, answered)
        if self._sight is not None and self._sight[0] == told.before:
            self._sight = told.position, self._sight[1] + told.handed
        if self._first and not told.crowded:
            return
        self._types.update(told.types if told.wanted else told.types & FOLLOWED)
        self._handed = self._handed or told.handed
        if self._sending is None and (self._types or self._handed):
            self._sending = asyncio.create_task(self._send(), name="insession-notify")

    async def _send(self) -> None:
        try:
            while self._types or self._handed:
                payload = f"{self._self} {'1' if self._handed else '0'} {','.join(sorted(self._types))}"
                self._types.clear()
                self._handed = False
                # Whom this does not reach looks now and then.
                with suppress(InsessionError, *ERRORS):
                    await self._notify(payload)
        finally:
            self._sending = None

    async def _notify(self, payload: str) -> None:
        connection = self._connection
        if connection is not None and not connection.is_closed():
            try:
                async with self._using:
                    await connection.execute(_NOTIFY, self._schema.channel, payload, timeout=SLOW)
            except ERRORS:
                # Who cannot speak may not hear either: another connection is made.
                connection.terminate()
                raise
        else:
            await self._connections.fetch(_NOTIFY, self._schema.channel, payload, safe=True)

    async def _listen(self, direct: Connections) -> None:
        self._lost.clear()
        connection = await direct.connect("insession listening")
        try:
            connection.add_termination_listener(lambda _: self._lost.set())
            async with asyncio.timeout(direct.timeout):
                # A signal is no change: nobody waits for the disk because of it.
                await connection.execute("SET synchronous_commit = off")
                if self._interested:
                    await connection.execute("SELECT pg_advisory_lock_shared($1)", self._schema.interest)
                await connection.add_listener(self._schema.channel, self._heard)
                self._first = await connection.fetchval("SELECT pg_try_advisory_lock($1)", self._schema.first)
                if not self._first:
                    await connection.execute("SELECT pg_advisory_lock_shared($1)", self._schema.others)
        except BaseException as error:
            connection.terminate()
            if isinstance(error, ERRORS):
                raise direct.unconnected(error) from error
            raise
        self._connection = connection
        # Who was alone until now has told nobody.
        self._tell(None, True, False)

    async def _keep_listening(self, direct: Connections) -> None:
        pause = _FIRST_PAUSE
        while not direct.closed:
            await self._lost.wait()
            self._connection = None
            self._first = False
            try:
                await self._listen(direct)
                pause = _FIRST_PAUSE
            except (InsessionError, *ERRORS):
                self._lost.set()
                await asyncio.sleep(pause)
                pause = min(2 * pause, SLOW)

    def _heard(self, _connection: Any, _pid: int, _channel: str, payload: object) -> None:
        sender, _, rest = str(payload).partition(" ")
        if sender == self._self:
            return
        handed, _, types = rest.partition(" ")
        known = [_TYPES[one] for one in types.split(",") if one in _TYPES]
        self._tell(known, handed == "1", False)

    async def _look_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(SLOW)
            if not self._wanted():
                self._sight = None
                continue
            # What cannot be looked at now can be later; whoever waits has his own deadline.
            with suppress(InsessionError):
                await self._look()

    async def _look(self) -> None:
        (row,) = await self._connections.fetch(self._schema.sight, safe=True)
        before, self._sight = self._sight, (row[0], row[1])
        if before != self._sight:
            self._tell(None, True, False)

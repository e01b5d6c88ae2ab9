"""Answers on their way: sent, matched with the platform's verdict, and sent again while there is none."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from insession.exchange.connection.connection import ConnectionAbstract
from insession.exchange.contracts import Id, Outgoing, Resend, WorkDesk
from insession.exchange.dialects import Dialect, Said, Verdict
from insession.exchange.errors import NotConnectedError, ResultTimedOut

MOST_SILENCES: Final = 5
"""So often on lines that hold, one after another, without a verdict. A new line begins anew."""
Report = Callable[[str, Id | None], None]


class Flight:
    """An answer that was sent and has no verdict yet."""

    __slots__ = ("outgoing", "timer")

    def __init__(self, outgoing: Outgoing) -> None:
        self.outgoing: Outgoing = outgoing
        self.timer: asyncio.TimerHandle | None = None


class Results:
    """Sends answers while the gate is open, and brings each verdict to the desk.

    The gate is open while a line stands and the platform has had the time to join us to the session: an answer that
    is sent before may be heard by nobody.
    """

    def __init__(
        self,
        connection: ConnectionAbstract,
        dialect: Dialect,
        desk: WorkDesk,
        *,
        resend: Resend,
        seconds: float,
        say: Callable[[Said], Awaitable[None]],
        sent: Callable[[Outgoing, bool], None],
        report: Report,
    ) -> None:
        self._connection = connection
        self._dialect = dialect
        self._desk = desk
        self._resend = resend
        self._seconds = seconds
        self._say = say
        self._sent = sent
        self._report = report
        self._open = False
        self._flights: dict[str, Flight] = {}
        self._ids: dict[str, Id] = {}
        self._silences: dict[str, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._landed = asyncio.Event()

    def know(self, file_id: Id, raw: Mapping[str, Any]) -> None:
        """A file came: verdicts on it have its id."""
        self._ids[self._dialect.key(file_id, raw)] = file_id

    async def send(self, outgoing: Outgoing) -> None:
        """See `Serving.send`. One that is on its way already is not sent over the same line again."""
        if not self._open or not self._connection.is_connected():
            raise NotConnectedError
        said = self._dialect.result(outgoing)
        key = self._dialect.key(outgoing.file_id, outgoing.raw)
        if key in self._flights:
            return
        again = key in self._silences
        self._ids[key] = outgoing.file_id
        # Before it is handed over: the verdict may be here before `emit` returns.
        self._flights[key] = flight = Flight(outgoing)
        try:
            await self._say(said)
        except BaseException:
            if self._flights.get(key) is flight:
                del self._flights[key]
            raise
        self._silences.setdefault(key, 0)
        if self._flights.get(key) is flight:
            flight.timer = asyncio.get_running_loop().call_later(self._seconds, self._silent, key, flight)
        self._sent(outgoing, again)

    async def open_gate(self) -> None:
        """There is a line, and we are in the session: send what waits."""
        self._open = True
        await self._desk.resend()

    async def judge(self, verdict: Verdict) -> None:
        """The platform said what it makes of an answer."""
        flight = self._flights.pop(verdict.key, None)
        if flight is not None and flight.timer is not None:
            flight.timer.cancel()
        if not self._flights:
            self._landed.set()
        file_id = self._ids.get(verdict.key)
        if file_id is None:
            self._report("a verdict on a file that is none of this session", None)
        elif verdict.accepted:
            await self._desk.acknowledged(file_id)
        else:
            await self._desk.refused(file_id, verdict.message)

    def _silent(self, key: str, flight: Flight) -> None:
        """There was no verdict in time."""
        self._report(str(ResultTimedOut(self._seconds)), flight.outgoing.file_id)
        silences = self._silences[key] = self._silences.get(key, 0) + 1
        if self._resend == "never" or silences >= MOST_SILENCES:
            # It stays in flight: a late verdict is still its own, and the next line tries again if it may.
            return
        if self._flights.get(key) is flight:
            del self._flights[key]
            task = asyncio.create_task(self._send_again(flight.outgoing))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _send_again(self, outgoing: Outgoing) -> None:
        # Without a line it stays pending at the desk, and goes with the next one.
        with contextlib.suppress(NotConnectedError):
            await self.send(outgoing)

    def line_lost(self) -> None:
        """The line is gone, and with it every verdict that was to come over it."""
        self._open = False
        flights, self._flights = self._flights, {}
        for key, flight in flights.items():
            if flight.timer is not None:
                flight.timer.cancel()
            self._silences[key] = 0

    async def landed(self, seconds: float) -> None:
        """Wait until there is a verdict on every answer that is on its way, or for so many seconds."""
        try:
            async with asyncio.timeout(seconds):
                while self._flights and self._connection.is_connected():
                    self._landed.clear()
                    await self._landed.wait()
        except TimeoutError:
            return

    async def close(self) -> None:
        """Send nothing any more."""
        self._open = False
        for flight in self._flights.values():
            if flight.timer is not None:
                flight.timer.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

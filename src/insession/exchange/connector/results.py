"""Answers on their way: sent, matched with the platform's verdict, and sent again while there is none."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, Final

from insession.exchange.connection.connection import ConnectionAbstract
from insession.exchange.contracts import Id, Outgoing, Resend, WorkDesk
from insession.exchange.dialects import Dialect, Said, Verdict
from insession.exchange.errors import NotConnectedError, ResultTimedOut, SessionNotStarted, SessionServed

MOST_REFUSALS: Final = 3
"""So often an answer is tried that the platform answers with an error: it may only have failed to save it."""
MOST_CUTS: Final = 3
"""So often an answer may have been on its way when its line was cut, if it is large: it may be what cuts it."""
LARGE: Final = 500_000
MOST_SILENCES: Final = 5
"""So often on lines that hold, one after another, without a verdict. A new line begins anew."""
Report = Callable[[str, Id | None], None]


class Flight:
    """An answer that was sent and has no verdict yet."""

    __slots__ = ("outgoing", "size", "timer")

    def __init__(self, outgoing: Outgoing) -> None:
        self.outgoing: Outgoing = outgoing
        self.size: int = len(outgoing.answer.text)
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
        retry: float,
        say: Callable[[Said], Awaitable[None]],
        sent: Callable[[Outgoing, bool], None],
        report: Report,
    ) -> None:
        self._connection = connection
        self._dialect = dialect
        self._desk = desk
        self._resend = resend
        self._seconds = seconds
        self._retry = retry
        self._say = say
        self._sent = sent
        self._report = report
        self._open = False
        self._closed = False
        self._flights: dict[str, Flight] = {}
        self._ids: dict[str, Id] = {}
        self._silences: dict[str, int] = {}
        """Of each answer that was ever sent."""
        self._refusals: dict[str, int] = {}
        self._cuts: dict[str, int] = {}
        self._retries: dict[str, asyncio.Task[None]] = {}
        """Answers without a verdict, or with an error for one, that go again in a moment."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._landed = asyncio.Event()

    def know(self, file_id: Id, raw: Mapping[str, Any]) -> None:
        """A file came: verdicts on it have its id."""
        self._ids[self._dialect.key(file_id, raw)] = file_id

    async def send(self, outgoing: Outgoing) -> None:
        """See `Serving.send`. One that is on its way already is not sent over the same line again."""
        said = self._dialect.result(outgoing)
        key = self._dialect.key(outgoing.file_id, outgoing.raw)
        while self._resend == "never" and self._open and self._flights:
            # One at a time: what is on its way when a line is lost stays unknown for good.
            self._landed.clear()
            await self._landed.wait()
        if not self._open or not self._connection.is_connected():
            raise NotConnectedError
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
                self._landed.set()
            raise
        self._silences.setdefault(key, 0)
        if self._flights.get(key) is flight:
            flight.timer = asyncio.get_running_loop().call_later(self._seconds, self._silent, key, flight)
        self._sent(outgoing, again)

    async def open_gate(self) -> None:
        """There is a line, and we are in the session: send what waits."""
        if not self._closed:
            self._open = True
            # The desk may be closed while it sends, or be another process's: the session is over, here, then.
            with contextlib.suppress(SessionNotStarted, SessionServed):
                await self._desk.resend()

    async def judge(self, verdict: Verdict) -> None:
        """The platform said what it makes of an answer."""
        flight = self._flights.pop(verdict.key, None)
        if flight is not None and flight.timer is not None:
            flight.timer.cancel()
        if not self._flights:
            self._landed.set()
        file_id = self._ids.get(verdict.key)
        if file_id is None and verdict.accepted:
            file_id = verdict.file_id  # of an answer that an earlier process sent, perhaps: the journal knows
        if file_id is None:
            self._report("a verdict on a file that is none of this session", None)
        elif verdict.accepted:
            if (retry := self._retries.pop(verdict.key, None)) is not None:
                retry.cancel()  # it was sent twice, and the other one was taken
            await self._desk.acknowledged(file_id)
        elif flight is None and verdict.key in self._retries:
            self._report("one more error for an answer that goes again in a moment", file_id)
        elif flight is None or not self._tries_again(verdict.key):
            await self._desk.refused(file_id, verdict.message)
        else:
            delay = self._retry * 2 ** self._refusals[verdict.key]
            self._retries[verdict.key] = self._spawn(self._send_again(flight.outgoing, delay, verdict.key))

    def _tries_again(self, key: str) -> bool:
        refusals = self._refusals[key] = self._refusals.get(key, 0) + 1
        return self._resend == "always" and refusals < MOST_REFUSALS

    def _silent(self, key: str, flight: Flight) -> None:
        """There was no verdict in time."""
        self._report(str(ResultTimedOut(self._seconds)), flight.outgoing.file_id)
        silences = self._silences[key] = self._silences.get(key, 0) + 1
        if silences < MOST_SILENCES and self._flights.get(key) is flight:
            del self._flights[key]
            self._landed.set()
            if self._resend == "never":
                return
            self._retries[key] = self._spawn(self._send_again(flight.outgoing, 0.0, key))

    async def _send_again(self, outgoing: Outgoing, most_delay: float, key: str) -> None:
        await asyncio.sleep(random.uniform(0.0, most_delay))  # noqa: S311 - jitter
        self._retries.pop(key, None)
        # Without a line it waits at the desk, and goes with the next one.
        with contextlib.suppress(NotConnectedError):
            await self.send(outgoing)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def line_lost(self) -> None:
        """The line is gone, and with it every verdict that was to come over it."""
        self._open = False
        flights, self._flights = self._flights, {}
        self._landed.set()
        for key, flight in flights.items():
            if flight.timer is not None:
                flight.timer.cancel()
            self._silences[key] = 0
            if flight.size > LARGE:
                self._cut(key, flight)

    def _cut(self, key: str, flight: Flight) -> None:
        """Servers that do not say how much they take cut the line at more; such an answer would do so for ever."""
        cuts = self._cuts[key] = self._cuts.get(key, 0) + 1
        if cuts >= MOST_CUTS:
            message = f"the line was cut {cuts} times while this answer of {flight.size} bytes was on its way"
            self._spawn(self._desk.refused(flight.outgoing.file_id, message))

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
        self._open, self._closed = False, True
        self._landed.set()
        for flight in self._flights.values():
            if flight.timer is not None:
                flight.timer.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

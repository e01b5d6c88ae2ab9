"""One call: sent in a session's turn, renewed once where that is dead, tried again only where that is safe."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Final, Generic, Protocol, TypeVar
from uuid import UUID

from insession.kernel.clock import Clock

from .contracts import Call, Transport, Verdict, Verify
from .deadlines import Until
from .errors import (
    Busy,
    Denied,
    NotDone,
    NotSent,
    OutcomeLost,
    OutcomeUnknown,
    Report,
    SessionExpired,
    SessionGone,
    StateLost,
)
from .held import Held, SessionState
from .logs import logger
from .options import Options

Q = TypeVar("Q")
A = TypeVar("A")
Place = Callable[[], AbstractAsyncContextManager[Held]]
"""Gives a session for one try, and takes it back before the next."""
BELIEVED: Final = 60.0
"""A denial right after a renewal is believed for so long, without another renewal."""


class Renews(Protocol):
    """Who renews sessions."""

    async def ready(self, held: Held) -> None:
        """See to it that it can be used: not dead, not idle for too long."""

    async def renew(self, held: Held, generation: int, report: Report) -> None:
        """Renew it, if it still is of this generation; together with all who ask for the same."""


class Flight(Generic[Q]):
    """A try of a call, and whether it may have reached the service."""

    __slots__ = ("at", "call", "due", "sent", "token")

    def __init__(self, call: Call[Q], now: float) -> None:
        self.call: Call[Q] = call
        self.due: float | None = None if call.timeout is None else now + call.timeout
        self.at: float = now
        self.sent: bool = False
        self.token: UUID = UUID(int=0)


class Sending(Generic[Q, A]):
    """How calls of one pool are sent."""

    def __init__(
        self, transport: Transport[Q, A], renews: Renews, options: Options, clock: Clock, service: str
    ) -> None:
        self._transport = transport
        self._renews = renews
        self._options = options
        self._clock = clock
        self._service = service
        self.retries: int = 0

    async def run(self, call: Call[Q], verify: Verify[A] | None, place: Place) -> A:
        """Send a call; its answer. See `SessionPool.invoke`."""
        flight = Flight(call, self._clock.now())
        try:
            return await self._tried(flight, place)
        except OutcomeLost as report:
            if call.idempotent:
                raise
            answer = await self._verified(flight, verify, report)
        if not isinstance(answer, Verdict):
            return answer
        if answer is Verdict.NOT_DONE:
            raise NotDone(self._service, call.service)
        flight = Flight(call, self._clock.now())
        try:
            return await self._tried(flight, place)
        except OutcomeLost as report:
            raise self._unknown(flight) from report

    async def _tried(self, flight: Flight[Q], place: Place) -> A:
        """Send it until there is an answer, or nothing is safe to try any more."""
        tries, begun = 0, flight.at
        while True:
            try:
                return await self._once(flight, place)
            except (NotSent, Busy, OutcomeLost) as report:
                tries += 1
                if not _may_repeat(flight.call, report) or not await self._paused(tries, begun, flight.due):
                    raise
                logger().debug("%s at %s is sent again: %s", flight.call.service, self._service, report)
                self.retries += 1

    async def _paused(self, tries: int, begun: float, due: float | None) -> bool:
        """Wait before another try, holding nothing; False: there is none."""
        options = self._options
        then = self._clock.now() + options.jittered(tries)
        late = then >= begun + options.retry_within or (due is not None and then >= due)
        if tries > options.max_retries or late:
            return False
        await self._clock.sleep(then - self._clock.now())
        return True

    async def _once(self, flight: Flight[Q], place: Place) -> A:
        """One try in a session's turn, and a second one where that was dead."""
        flight.sent = False
        with Until(self._clock, flight.due):
            async with place() as held, held.turn:
                await self._renews.ready(held)
                self._check_generation(flight, held)
                generation = held.generation
                try:
                    return await self._send(flight, held)
                except SessionGone as report:
                    await self._renews.renew(held, generation, report)
                except Denied as report:
                    if self._believed(held, flight.call):
                        held.rest()
                        raise
                    await self._renews.renew(held, generation, report)
                self._check_generation(flight, held)
                return await self._resend(flight, held)
        what = f"{flight.call.service} at {self._service}"
        if flight.sent:
            raise OutcomeLost(f"the answer to {what} did not come in time")
        raise NotSent(f"{what} had to wait for longer than its timeout, and was not sent")

    async def _resend(self, flight: Flight[Q], held: Held) -> A:
        try:
            return await self._send(flight, held)
        except Denied:
            held.denied = (flight.call.service, self._clock.now())
            held.rest()
            raise
        except SessionGone as report:
            held.fail()
            raise SessionExpired(self._service, "it died again right after its renewal", error=report.error) from report

    async def _send(self, flight: Flight[Q], held: Held) -> A:
        """Send it once. After `SessionGone` and `Denied` the session is left to whoever renews it."""
        ticket, left = held.ticket, False
        assert ticket is not None  # noqa: S101 - a session that is ready has one
        held.move(SessionState.EXECUTING)
        flight.sent, flight.at, flight.token = True, self._clock.now(), held.token
        try:
            answer = await self._transport.send(flight.call, ticket)
            held.answers += 1
            return answer
        except (SessionGone, Denied):
            flight.sent, left = False, True
            raise
        finally:
            held.used = self._clock.now()
            if not left:
                held.rest()

    def _believed(self, held: Held, call: Call[Q]) -> bool:
        """Whether a denial is no sign of a dead session: the same was denied right after a renewal."""
        return (
            held.denied is not None and held.denied[0] == call.service and self._clock.now() - held.denied[1] < BELIEVED
        )

    def _check_generation(self, flight: Flight[Q], held: Held) -> None:
        wanted = flight.call.generation
        if wanted is not None and wanted != held.generation:
            raise StateLost(self._service, flight.call.service)

    async def _verified(self, flight: Flight[Q], verify: Verify[A] | None, report: OutcomeLost) -> A | Verdict:
        unknown = self._unknown(flight)
        if verify is None:
            raise unknown from report
        try:
            return await verify(unknown)
        except Exception as error:
            raise unknown from error

    def _unknown(self, flight: Flight[Q]) -> OutcomeUnknown:
        call = flight.call
        logger().warning("%s at %s may have run, or not: its answer was lost", call.service, self._service)
        return OutcomeUnknown(self._service, call.service, call.request, flight.token, flight.at)


def _may_repeat(call: Call[Q], report: Report) -> bool:
    return isinstance(report, NotSent) or call.idempotent or (call.retry_busy and isinstance(report, Busy))

"""Locks: leases as a program holds them, renewed while they are held, with a fence for its commits."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

import anyio

from insession.errors import (
    ConfigurationError,
    Displaced,
    InsessionError,
    LeaseError,
    LockLost,
    LockTimeout,
)
from insession.kernel.clock import Alarm
from insession.kernel.events import Event
from insession.kernel.ids import check_text
from insession.kernel.operations import (
    Acquire,
    Fence,
    Granted,
    Load,
    Loaded,
    Operation,
    Refused,
    Release,
    Released,
    Renew,
    Waiting,
    Why,
)
from insession.kernel.record import NEVER
from insession.kernel.terms import Terms

if TYPE_CHECKING:
    from insession.kernel.engine import Engine

_log: Final = logging.getLogger("insession.locks")


class Locks:
    """The locks that this process holds and waits for."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.held: dict[str, Lock] = {}
        self.looks: int = 0
        """So often something was handed on: who asked before that, and has no future yet, asks again."""
        self._waiting: dict[str, dict[str, asyncio.Future[None] | None]] = {}
        """By lease, the tickets of this process in the order of their first question; None: it is asking."""
        self._eager: set[str] = set()
        """Those among them that may be next out of their order."""
        self._alarm: Alarm | None = None
        self._rings = NEVER
        """One alarm for the renewals of all: most locks are given back before it is their turn."""

    def look(self) -> None:
        """Something was handed on somewhere: whoever may be next asks again.

        Of those that wait in order that is the first of this process: the store has them in the same order. If all
        of them asked, each turn of a queue would cost as many questions as it is long.
        """
        self.looks += 1
        for queue in self._waiting.values():
            first = next(iter(queue))
            _wake([future for ticket, future in queue.items() if ticket == first or ticket in self._eager])

    def handed_on(self, name: str, ticket: str | None, *, taken: bool = False) -> None:
        """It is this ticket's turn; if it is one of ours it asks at once. ``taken``: so do all others."""
        if taken:
            self.looks += 1
            _wake(self._waiting.get(name, {}).values())
        elif ticket is not None:
            self.looks += 1
            _wake((self._waiting.get(name, {}).get(ticket),))

    def displaced(self, event: Event) -> None:
        """Take over a displacement from the log."""
        lock = self.held.get(event.change)
        if lock is not None and lock.fence.token == event.version:
            lock._lose(Displaced(lock.name))

    def lost(self, fence: Fence | None) -> LeaseError:
        """Why a commit under this fence was refused."""
        lock = self.held.get(fence.ticket) if fence is not None else None
        if lock is not None and lock.error is not None:
            return lock.error
        return LockLost(fence.lease if fence is not None else "?")

    async def turn(self, name: str, ticket: str, until: float, looks: int, *, eager: bool = False) -> None:
        """Wait until it may be this ticket's turn, at most until a time; ``looks`` were counted before it asked.

        An ``eager`` one asks whenever something was handed on, the others when none of this process is before them.
        When its time is over all of this process that wait for the lease ask again, in their order: after this process
        has stood still their places in the queue may have run out, and they are given new ones.
        """
        queue = self._waiting.setdefault(name, {})
        if eager:
            self._eager.add(ticket)
        if self.looks != looks:
            queue.setdefault(ticket)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue[ticket] = future
        alarm = self._engine.clock.alarm(until, lambda: _wake(queue.values()))
        try:
            await future
        finally:
            alarm.cancel()
            queue[ticket] = None

    def leave(self, name: str, ticket: str) -> None:
        """This ticket waits no more."""
        queue = self._waiting.get(name)
        if queue is not None:
            queue.pop(ticket, None)
            self._eager.discard(ticket)
            if not queue:
                del self._waiting[name]

    def hold(self, lock: Lock, renewal: float) -> None:
        """Keep a lock, and renew it at a time unless it was given back by then."""
        self.held[lock.ticket] = lock
        lock.renewal = renewal
        if renewal < self._rings:
            if self._alarm is not None:
                self._alarm.cancel()
            self._rings = renewal
            self._alarm = self._engine.clock.alarm(renewal, self._renew)

    def close(self) -> None:
        """Leave no alarm behind, unless a lock is held still, which runs out then."""
        if self._alarm is not None and not self.held:
            self._alarm.cancel()

    def _renew(self) -> None:
        self._rings = NEVER
        now = self._engine.clock.now()
        for lock in list(self.held.values()):
            if lock.renewal <= now:
                lock.renew()
        for lock in self.held.values():
            if lock.renewal < self._rings:
                self.hold(lock, lock.renewal)


class Lock:
    """One permit of a lease: ``async with`` waits for it, renews it while the block runs, and gives it back.

    If it is lost or taken over the block is cancelled and raises `LockLost` or `Displaced`. ``fence``
    goes with every commit that must not happen after that: a store refuses it once the lease is not
    this one's any more, however late the commit comes. With ``cancel=False`` the block goes on, and only ``error``
    tells of the loss until it ends.
    """

    __slots__ = (
        "_engine",
        "_load",
        "_scope",
        "_terms",
        "_token",
        "error",
        "loaded",
        "name",
        "notes",
        "renewal",
        "ticket",
        "ttl",
        "until",
    )

    def __init__(self, engine: Engine, name: str, terms: Terms, load: Load | None = None) -> None:
        self._engine = engine
        self.name: str = check_text(name, "name")
        self._terms = terms
        self.ttl: float = terms.ttl
        self._load = load
        self.loaded: Loaded | None = None
        """What ``load`` found in the trip that granted the lock: what the holder before it has left."""
        self.ticket: str = ""
        self.error: LeaseError | None = None
        self.notes: tuple[bytes, ...] = ()
        self.until: float = 0.0
        """When it runs out unless it is renewed."""
        self.renewal: float = NEVER
        """When it is to be renewed."""
        self._token = 0

    @property
    def wait(self) -> float | None:
        """Seconds to wait for it; None: for ever."""
        return self._terms.wait

    @property
    def fence(self) -> Fence:
        """Proof that this lock is held, for commits."""
        return Fence(self.name, self.ticket, self._token)

    async def __aenter__(self) -> Self:
        await self._get()
        self._scope = anyio.CancelScope().__enter__()
        self._renew_later()
        return self

    async def _get(self) -> None:
        """Wait until it is granted."""
        if self.ticket:
            raise ConfigurationError(f"lock {self.name!r} is in use; make one of its own for every block")
        self.ticket = ticket = self._engine._ids.fresh(None)[:16]
        self.error, self.notes = None, ()
        wait = self._terms.wait
        deadline = None if wait is None else self._engine.clock.now() + wait
        try:
            await self._acquire(deadline)
        except BaseException:
            self._give_up()
            raise
        finally:
            self._engine.locks.leave(self.name, ticket)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        self._engine.locks.held.pop(self.ticket, None)
        swallowed = self._scope.__exit__(kind, error, trace)
        if self.ticket:
            self._give_up()
        if self.error is not None and (swallowed or error is None):
            raise self.error
        return swallowed

    def cancel(self) -> None:
        """Cancel the block, which then ends as a cancelled scope does: without an error, unless the lock is lost."""
        self._scope.cancel()

    async def take(self) -> tuple[bytes, ...]:
        """Take over the notes of all who wait by now; every note taken so far.

        They count as done at the release, and wait again if the lock is lost.
        """
        answer = await self._engine._ask(self._renewal(take=True))
        self._renewed(answer)
        if not isinstance(answer, Granted):
            raise self.error or LockLost(self.name)
        return self.notes

    async def _acquire(self, deadline: float | None) -> None:
        engine, terms, again, now = self._engine, self._terms, False, 0.0
        while True:
            asked, now, looks = now, engine.clock.now(), engine.locks.looks
            ask = Acquire(
                self.name,
                self.ticket,
                now,
                terms.ttl,
                terms.permits,
                terms.queue,
                terms.note,
                terms.displace,
                terms.grace,
                terms.take,
                again,
                engine.name,
            )
            answer = await self._asked(ask)
            if isinstance(answer, Granted):
                self._token, self.until, self.notes = answer.token, now + self.ttl, answer.notes
                return
            if not isinstance(answer, Waiting):
                if again and now - asked >= self.ttl:
                    again = False  # this process was away so long that the ticket ran out, and queues anew
                    continue
                refused = LockTimeout(self.name)
                refused.taken = answer.why is Why.TAKEN
                raise refused
            if deadline is not None and now >= deadline:
                raise LockTimeout(self.name)
            # A ticket with a note may be taken over; one without goes on waiting, come what may.
            again = terms.note is not None
            until = min(answer.look, now + self.ttl / 3, *(() if deadline is None else (deadline,)))
            eager = again or terms.displace or terms.permits > 1
            await engine.locks.turn(self.name, self.ticket, until, looks, eager=eager)

    async def _asked(self, ask: Acquire) -> Any:
        if self._load is None:
            return await self._engine._ask(ask)
        answer, self.loaded = await self._engine._ask_together(ask, self._load)
        return answer

    async def finish(self, *operations: Operation) -> list[Any]:
        """Apply the last operations of the block and give the permit back in one trip; their answers.

        With somebody waiting the permit stays held until the block ends, so that what has to come before the next
        holder can still be done.
        """
        if self.error is not None:
            raise self.error
        self.renewal = NEVER  # a renewal that comes after the release would look like a loss
        release = Release(self.name, self.ticket, self._engine.clock.now(), unless_waited=True)
        try:
            answers: list[Any] = await self._engine._ask_together(*operations, release)
        except BaseException:
            self._renew_later()
            raise
        released: Released = answers[-1]
        if released.done:
            self._engine.locks.held.pop(self.ticket, None)
            self.ticket = ""
            self._engine.locks.handed_on(self.name, released.next, taken=bool(self.notes))
        else:
            self._renew_later()
        return list(answers[:-1])

    def _keep(self, fence: Fence, until: float) -> None:
        self.ticket, self._token, self.until, self.error = fence.ticket, fence.token, until, None

    def _forget(self) -> None:
        self.ticket, self.error, self.renewal = "", None, NEVER

    def _give_up(self) -> None:
        """Give back the permit or the place; nobody waits for the answer."""
        engine = self._engine
        release = Release(self.name, self.ticket, engine.clock.now())
        self.ticket = ""
        try:
            if Release in engine.store.immediate:
                self._released(engine.store.apply_now(release))
            else:
                engine.batcher.send(release, urgent=True).add_done_callback(self._release_answered)
        except InsessionError:
            _log.warning("lease %r could not be given back; it runs out in %gs", self.name, self.ttl)

    def _release_answered(self, future: asyncio.Future[Any]) -> None:
        if future.cancelled() or future.exception() is not None:
            _log.warning("lease %r could not be given back; it runs out in %gs", self.name, self.ttl)
        else:
            self._released(future.result())

    def _released(self, answer: Any) -> None:
        if isinstance(answer, Released):
            self._engine.locks.handed_on(self.name, answer.next, taken=bool(self.notes))

    def _renewal(self, *, take: bool = False) -> Renew:
        return Renew(self.fence, self._engine.clock.now(), self.ttl, take)

    def _renew_later(self) -> None:
        self._engine.locks.hold(self, min(self._engine.clock.now() + self.ttl / 3, self.until))

    def renew(self) -> None:
        """Ask for more time, unless it is over by now."""
        engine = self._engine
        if engine.clock.now() >= self.until:
            self._lose(LockLost(self.name))
            return
        renewal = self._renewal()
        if Renew in engine.store.immediate:
            self._renewed(engine.store.apply_now(renewal))
        else:
            self._send(renewal)
        if self.error is None:
            self._renew_later()

    def _send(self, renewal: Renew) -> None:
        try:
            answered = self._engine.batcher.send(renewal, urgent=True)
        except InsessionError as error:
            _log.warning("lease %r could not be renewed: %s", self.name, error)
        else:
            answered.add_done_callback(partial(self._renewal_answered, renewal.fence))

    def _renewal_answered(self, fence: Fence, future: asyncio.Future[Any]) -> None:
        # A store that cannot be reached is asked again; the lease runs out by our own clock.
        if not future.cancelled() and future.exception() is None and fence == self.fence:
            self._renewed(future.result())

    def _renewed(self, answer: Any) -> None:
        if isinstance(answer, Granted):
            self.until, self.notes = answer.until, answer.notes
        elif isinstance(answer, Refused) and answer.why is Why.LOST:
            self._lose(LockLost(self.name))

    def _lose(self, error: LeaseError) -> None:
        if self.error is None and self.ticket in self._engine.locks.held:
            self.error = error
            self.renewal = NEVER
            if self._terms.cancel:
                self._scope.cancel()


def _wake(futures: Iterable[asyncio.Future[None] | None]) -> None:
    for future in futures:
        if future is not None and not future.done():
            future.set_result(None)

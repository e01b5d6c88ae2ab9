"""Work for a session in a task of its own."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from typing import Any, Self

from insession import Engine, LeaseError, Session, SessionEnded


def flag(session: Session) -> bool:
    """The flag, which a type checker would take for settled once it has been read."""
    return session.interrupted


MOST_SWALLOWED = 1_000
"""So many cancellations a stubborn task swallows, so that a test that fails ends all the same."""


class Job:
    """A block of `Session.running` that waits until it is cancelled, or let go.

    A stubborn one swallows its cancellation.
    """

    def __init__(self, session: Session, *, grace: float = 5.0, stubborn: bool = False) -> None:
        self.session = session
        self.grace = grace
        self.stubborn = stubborn
        self.cancelled = False
        self.error: SessionEnded | None = None
        self._began, self._go = asyncio.Event(), asyncio.Event()

    async def __aenter__(self) -> Self:
        self.task = asyncio.create_task(self._run(), name="the job")
        await self._began.wait()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.let_go()
        await asyncio.wait_for(self.task, 5.0)

    def let_go(self) -> None:
        self._go.set()

    async def _run(self) -> None:
        try:
            async with self.session.running(grace=self.grace):
                self._began.set()
                while not self._go.is_set():
                    try:
                        await self._go.wait()
                    except asyncio.CancelledError:
                        self.cancelled = True
                        if not self.stubborn or self.task.cancelling() > MOST_SWALLOWED:
                            raise
        except SessionEnded as error:
            self.error = error


class Holder:
    """A task that takes a lock, holds it until it is let go, and notes what happened.

    A stubborn one swallows its cancellation.
    """

    def __init__(self, engine: Engine, name: str = "report", *, stubborn: bool = False, **options: Any) -> None:
        self.lock = engine.lock(name, **options)
        self.stubborn = stubborn
        self.held = self.cancelled = False
        self.error: LeaseError | None = None
        self._go = asyncio.Event()
        self.task = asyncio.create_task(self._run())

    async def let_go(self) -> None:
        self._go.set()
        await asyncio.wait_for(self.task, 5.0)

    def renew_no_more(self) -> None:
        """As if its process had vanished."""
        self.lock.renewal = math.inf

    async def _run(self) -> None:
        try:
            async with self.lock:
                self.held, self.fence = True, self.lock.fence
                await self._hold()
        except LeaseError as error:
            self.error = error
        finally:
            self.held = False

    async def _hold(self) -> None:
        while not self._go.is_set():
            try:
                await self._go.wait()
            except asyncio.CancelledError:
                self.cancelled = True
                if not self.stubborn or self.task.cancelling() > MOST_SWALLOWED:
                    raise


class Source(AsyncIterator[int]):
    """A stream that gives numbers as they are put into it, and notes what becomes of it."""

    def __init__(self, numbers: Sequence[int] = ()) -> None:
        self.queue: asyncio.Queue[int] = asyncio.Queue()
        for number in numbers:
            self.queue.put_nowait(number)
        self.cancelled = False
        self.closed = False

    async def __anext__(self) -> int:
        try:
            number = await self.queue.get()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        if number < 0:
            raise ConnectionError("the source broke")
        return number

    async def aclose(self) -> None:
        self.closed = True

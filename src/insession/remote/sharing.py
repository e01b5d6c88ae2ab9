"""Sessions that are borrowed: any free one, for one call at a time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

from insession.kernel.clock import Clock

from .errors import PoolClosed, SessionLimit
from .held import Held
from .options import Options

Open = Callable[[float], Awaitable[Held]]
Waiter = asyncio.Future[Held | None]
NOT_AT_ALL: Final = 0.0


class Sharing:
    """Lends sessions, the warmest first, and opens more while there may be more.

    Args:
        open_one: Opens another one; waits so many seconds for a place.
        options: The pool's.
        clock: The pool's.
        service: For errors.
    """

    def __init__(self, open_one: Open, options: Options, clock: Clock, service: str) -> None:
        self._open = open_one
        self._options = options
        self._clock = clock
        self._service = service
        self._idle: deque[Held] = deque()
        self._waiters: deque[Waiter] = deque()
        self._members: set[Held] = set()
        self._opening = 0

    @property
    def waiting(self) -> int:
        """How many wait for a session to borrow."""
        return len(self._waiters)

    def add(self, held: Held) -> None:
        """Another one that may be borrowed from now on."""
        self._members.add(held)
        self.give(held)

    def remove(self, held: Held) -> None:
        """This one is over: whoever waits may open another."""
        self._members.discard(held)
        if held in self._idle:
            self._idle.remove(held)
        self._wake(None)

    def spare(self, now: float) -> list[Held]:
        """Those that nobody has used for long and nobody asked for by name, but for the last one."""
        unused = [one for one in self._idle if not one.kept and now - one.used > self._options.spare_idle]
        return unused[: max(0, len(self._members) - 1)]

    def close(self) -> None:
        """Whoever waits hears that it is over."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(PoolClosed())

    @asynccontextmanager
    async def borrowed(self) -> AsyncIterator[Held]:
        """A session that nobody else borrows meanwhile. Raises `SessionLimit`."""
        held = await self._take()
        try:
            yield held
        finally:
            self.give(held)

    def give(self, held: Held) -> None:
        """It is free again: for who has waited longest."""
        if held in self._members and not held.over and not self._wake(held):
            self._idle.append(held)

    async def _take(self) -> Held:
        due = self._clock.now() + self._options.acquire_timeout
        while True:
            while self._idle:
                held = self._idle.pop()
                if not held.over:
                    return held
            if len(self._members) + self._opening < self._options.shared:
                opened = await self._opened()
                if opened is not None:
                    return opened
            if (found := await self._turn(due)) is not None:
                return found

    async def _opened(self) -> Held | None:
        """Another one, if there is a place for it; the first one is waited for."""
        self._opening += 1
        alone = not self._members
        try:
            held = await self._open(self._options.acquire_timeout if alone else NOT_AT_ALL)
        except BaseException as error:
            self._wake(None)  # somebody else may have more luck, or has to hear the same
            if isinstance(error, SessionLimit) and self._members:
                return None
            raise
        finally:
            self._opening -= 1
        if not held.over:  # somebody may have ended it by now
            self._members.add(held)
        return held

    async def _turn(self, due: float) -> Held | None:
        """Wait for one that is given back; None: look again."""
        waiter: Waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            if await self._clock.wait(waiter, due):
                return waiter.result()
        except BaseException:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None and waiter.result() is not None:
                self.give(waiter.result())  # type: ignore[arg-type]
            raise
        finally:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
        raise SessionLimit(self._service, self._options.acquire_timeout, service_full=False)

    def _wake(self, held: Held | None) -> bool:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(held)
                return True
        return False

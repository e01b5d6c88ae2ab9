"""Logging in: a few at a time, with retries of what may pass, and never again of what was refused."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Any

from msgspec.structs import replace

from insession.kernel.clock import Clock

from .contracts import Authenticator, Ticket
from .deadlines import Until
from .errors import Busy, CredentialsRefused, NotSent, OutcomeLost, PoolClosed, Report, ServiceFull, SessionLimit
from .latch import Latch
from .logs import logger
from .options import Options
from .register import Register, Row


class Logins:
    """The logins of one pool."""

    def __init__(
        self, authenticator: Authenticator, latch: Latch, register: Register, options: Options, clock: Clock
    ) -> None:
        self._authenticator = authenticator
        self._latch = latch
        self._register = register
        self._options = options
        self._clock = clock
        self._places = asyncio.Semaphore(options.login_limit)
        self.done: int = 0
        """Logins that the service accepted."""
        self.under_way: set[asyncio.Task[Any]] = set()
        """Tasks whose login the service has, or has answered: cancelled, they would leave a session there."""
        self._closed = False

    def close(self) -> None:
        """Begin no further login."""
        self._closed = True

    async def log_in(self, row: Row) -> Ticket:
        """Log in, within ``acquire_timeout``; the intent is in the register before the service hears of it.

        What failed transiently is tried again ``max_retries`` times, what was lost once, what is refused never. A
        service that is full is asked until the time is over: `SessionLimit`.
        """
        begun, tries, lost = self._clock.now(), 0, 0
        tag = secrets.token_hex(8)
        while True:
            await self._register.put(row, replace(row.entry, tag=tag))
            try:
                async with self._limited():
                    # Looked at when it is its turn: what waited here may have been refused to another meanwhile.
                    return await self._latch.guarded(partial(self._once, tag, begun))
            except CredentialsRefused as refusal:
                logger().error("login at %s was refused: %s", self._authenticator.service, refusal)
                raise
            except (NotSent, Busy, OutcomeLost, ServiceFull) as report:
                tries += 1
                if isinstance(report, OutcomeLost):
                    lost += 1
                    await self._register.suspect(row)
                    tag = secrets.token_hex(8)
                await self._pause(report, begun, tries, lost)

    async def _once(self, tag: str, begun: float) -> Ticket:
        if self._closed:
            raise PoolClosed
        with self._marked(), Until(self._clock, begun + self._options.acquire_timeout) as limit:
            ticket = await self._authenticator.login(tag)
        if limit.over:
            raise OutcomeLost(f"the login at {self._authenticator.service} took too long")
        self.done += 1
        logger().info("logged in at %s", self._authenticator.service)
        return ticket

    @contextmanager
    def _marked(self) -> Iterator[None]:
        """This task is ``under_way``; where the login succeeded, to its end."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - we are in it
        self.under_way.add(task)
        try:
            yield
        except BaseException:
            self.under_way.discard(task)
            raise
        task.add_done_callback(self.under_way.discard)

    @asynccontextmanager
    async def _limited(self) -> AsyncIterator[None]:
        """One of the few logins at a time; those that had to wait come a little apart."""
        crowded = self._places.locked()
        async with self._places:
            if crowded:
                await self._clock.sleep(self._options.jittered(1) / 4)
            yield

    async def _pause(self, report: Report, begun: float, tries: int, lost: int) -> None:
        """Wait before the next try, or raise what there is to say."""
        options, now = self._options, self._clock.now()
        full = isinstance(report, ServiceFull)
        pause = options.jittered(tries)
        late = self._closed or now + pause >= begun + options.acquire_timeout
        if late or lost > 1 or (tries > options.max_retries and not full):
            if full:
                raise SessionLimit(
                    self._authenticator.service, now - begun, service_full=True, error=report.error
                ) from report
            raise report
        logger().info("login at %s failed and is tried again: %s", self._authenticator.service, report)
        await self._clock.sleep(pause)

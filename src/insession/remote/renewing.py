"""Renewal: one at a time for a session, whoever asks; by generations, so that nobody renews what is new."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final
from uuid import UUID

from msgspec.structs import replace

from insession.errors import InsessionError
from insession.kernel.clock import Clock

from .cap import Cap
from .contracts import Authenticator, Renewal, Ticket
from .deadlines import Until
from .errors import CredentialsRefused, PoolClosed, Report, SessionExpired, SessionGone, SessionLimit, UnknownToken
from .held import Held, SessionState
from .logins import Logins
from .logs import logger, said
from .options import Options
from .register import Register

ENOUGH: Final = 10
"""A generation that answered so many calls was worth its login."""
SHORT: Final = 30.0
"""One that lived for so long was, too."""
MINUTE: Final = 60.0
PATIENCE: Final = 2
"""So many short lives in a minute cost no pause."""
GOODBYE: Final = 1.0
"""A session that may live is logged out before its successor logs in, but that does not hold it up for longer."""
Hook = Callable[[Renewal], object]


class Renewing:
    """The renewals of one pool."""

    def __init__(
        self,
        authenticator: Authenticator,
        logins: Logins,
        register: Register,
        cap: Cap,
        *,
        options: Options,
        clock: Clock,
        hook: Hook | None,
    ) -> None:
        self._authenticator = authenticator
        self._logins = logins
        self._register = register
        self._cap = cap
        self._options = options
        self._clock = clock
        self._hook = hook
        self.tasks: set[asyncio.Task[InsessionError | None]] = set()
        """Renewals under way."""
        self.done: int = 0

    async def ready(self, held: Held) -> None:
        """See `insession.remote.sending.Renews`."""
        _check(held)
        if held.renewing is not None or held.stale:
            await self._renewed(held, alive=False)
        elif held.worn(self._clock.now(), self._options.idle):
            if not self._options.auto_renew:
                return  # the service knows whether it is dead
            await self._renewed(held, alive=True)

    async def renew(self, held: Held, generation: int, report: Report) -> None:
        """See `insession.remote.sending.Renews`."""
        _check(held)
        if held.generation != generation and not held.stale:
            held.rest()
            return
        if not self._options.auto_renew:
            held.fail()
            raise SessionExpired(
                self._authenticator.service, "automatic renewal is off", error=report.error
            ) from report
        await self._renewed(held, alive=not isinstance(report, SessionGone))

    async def _renewed(self, held: Held, *, alive: bool) -> None:
        """Renew it, or wait for who does. Whoever waits may be cancelled; the renewal goes on."""
        if not self._options.auto_renew:
            raise SessionExpired(self._authenticator.service, "automatic renewal is off")
        task = held.renewing
        if task is None:
            task = held.renewing = asyncio.get_running_loop().create_task(self._renew(held, alive=alive))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
        try:
            failure = await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise PoolClosed from None
            raise
        if failure is not None:
            raise failure
        _check(held)

    async def _renew(self, held: Held, *, alive: bool) -> InsessionError | None:
        """What went wrong, for all who wait; None: it is renewed."""
        if held.over:
            held.renewing = None
            return UnknownToken(held.token)
        again = held.state is SessionState.ERROR
        if held.state is SessionState.CONNECTED:
            held.move(SessionState.EXECUTING)
        held.move(SessionState.AUTHENTICATING if again else SessionState.RECONNECTING)
        try:
            await self._log_in_again(held, alive=alive)
        except BaseException as error:
            held.failures += 1
            if not isinstance(error, CredentialsRefused):  # those are not asked for again anyway
                held.not_before = self._clock.now() + self._options.jittered(held.failures)
            held.fail()
            logger().warning("session %s could not be renewed: %s", held.token, said(error))
            if not isinstance(error, Exception):
                raise
            return self._told(error)
        finally:
            held.renewing = None
        return None

    def _told(self, error: Exception) -> InsessionError:
        if isinstance(error, CredentialsRefused | SessionLimit | SessionExpired | UnknownToken):
            return error
        expired = SessionExpired(self._authenticator.service, said(error), error=getattr(error, "error", None) or error)
        expired.__cause__ = error
        return expired

    async def _log_in_again(self, held: Held, *, alive: bool) -> None:
        await self._wait(held, alive=alive)
        row, old, generation = held.row, held.ticket, held.generation
        assert row is not None  # noqa: S101 - a session that was opened has a place in the register
        await self._cap.keep(held.permit, self._options.acquire_timeout)
        _check(held)
        if alive and old is not None:
            await self._say_goodbye(held, old)
        row.entry = replace(row.entry, ticket=None)  # it is dead, or that it is to be logged out is written elsewhere
        ticket = await self._logins.log_in(row)
        if held.over:
            # It was finalized meanwhile; whoever did that waits for us, and logs out what is in the register.
            await self._register.put(row, replace(row.entry, ticket=ticket, tag=None, status="ending"))
            raise UnknownToken(held.token)
        held.begin(ticket, self._clock.now())
        self.done += 1
        held.move(SessionState.CONNECTED)
        await self._register.put(
            row, replace(row.entry, ticket=ticket, tag=None, status="live", generation=held.generation)
        )
        logger().info("session %s was renewed, generation %d", held.token, held.generation)
        self._tell(held.token, generation, held.generation)

    async def _wait(self, held: Held, *, alive: bool) -> None:
        """Wait where a renewal has just failed, or where sessions die as soon as they begin."""
        now, lives = self._clock.now(), held.short_lives
        if not alive and held.answers < ENOUGH and now - held.born < SHORT and not held.failures:
            lives.append(now)
        while lives and now - lives[0] > MINUTE:
            lives.popleft()
        if len(lives) > self._options.max_renewals:
            raise SessionExpired(
                self._authenticator.service,
                f"{len(lives)} logins in a minute, each dead at once; somebody else may be using this account",
            )
        pause = max(0.0, held.not_before - now)
        if len(lives) > PATIENCE:
            pause += self._options.jittered(len(lives) - PATIENCE)
        if pause:
            await self._clock.sleep(pause)

    async def _say_goodbye(self, held: Held, ticket: Ticket) -> None:
        """Log out what may live, so that there is a place for its successor; what fails stays owed."""
        entry = held.row.entry if held.row is not None else None
        try:
            with Until(self._clock, self._clock.now() + min(GOODBYE, self._options.logout_timeout)) as limit:
                await self._authenticator.logout(ticket)
        except Exception as error:  # noqa: BLE001 - whatever an authenticator raises
            logger().info("the old session of %s could not be logged out: %s", held.token, said(error))
        else:
            if not limit.over:
                return
        if entry is not None:
            await self._register.owe(replace(entry, ticket=ticket, tag=None, status="ending"), "renewed")

    def _tell(self, token: UUID, old: int, new: int) -> None:
        if self._hook is not None:
            try:
                self._hook(Renewal(token, old, new))
            except Exception:  # noqa: BLE001 - whatever a user's hook raises
                logger().exception("the renewal hook failed")


def _check(held: Held) -> None:
    """Raise if it was finalized, before or meanwhile."""
    if held.over:
        raise UnknownToken(held.token)

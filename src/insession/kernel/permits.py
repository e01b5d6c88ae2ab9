"""Permits that are held beyond a block: until they are given back, lost, or handed to somebody else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from insession.errors import ConfigurationError, LockLost
from insession.kernel.ids import check_seconds
from insession.kernel.locks import Lock
from insession.kernel.operations import Fence, Granted, Renew
from insession.kernel.terms import terms

if TYPE_CHECKING:
    from insession.kernel.engine import Engine


class Permit(Lock):
    """One permit of a lease, renewed while it is held, by no block and no task.

    Nothing is cancelled when it is lost: ``error`` tells then, and it may be acquired again. Options are those of
    `Engine.lock`. An engine that closes leaves it to run out.
    """

    __slots__ = ()

    def __init__(self, engine: Engine, name: str, **options: Any) -> None:
        super().__init__(engine, name, terms(engine.most_data, **options, cancel=False))

    @property
    def held(self) -> bool:
        """Whether it is held, as far as this process knows."""
        return self.ticket in self._engine.locks.held and self.error is None

    async def acquire(self) -> Self:
        """Wait until it is granted, first come first served. Raises `LockTimeout`."""
        if self.error is not None:
            self.release()
        await self._get()
        self._renew_later()
        return self

    def release(self) -> None:
        """Give it back; nobody waits for the answer. Of one that is not held nothing happens."""
        if self._engine.locks.held.pop(self.ticket, None) is not None:
            self._give_up()
            self._forget()

    async def hand_over(self, seconds: float) -> Fence:
        """Let go of it without giving it back: for so long it is there for whoever adopts this fence."""
        check_seconds(seconds, "seconds", least=0.001)
        fence, error = self.fence, self.error
        self._engine.locks.held.pop(self.ticket, None)  # nobody renews it for a shorter time meanwhile
        try:
            answer = await self._engine._ask(Renew(fence, self._engine.clock.now(), seconds))
        except BaseException:
            self._renew_later()
            raise
        self._forget()
        if not isinstance(answer, Granted):
            raise error or LockLost(self.name)
        return fence

    async def adopt(self, fence: Fence) -> Self:
        """Hold on to what somebody handed over, also in another process. Raises `LockLost` where it has run out."""
        if self.ticket:
            raise ConfigurationError(f"a permit of {self.name!r} is held already; make another")
        now = self._engine.clock.now()
        answer = await self._engine._ask(Renew(fence, now, self.ttl))
        if not isinstance(answer, Granted):
            raise LockLost(self.name)
        self._keep(fence, answer.until)
        self._renew_later()
        return self

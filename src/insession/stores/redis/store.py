"""The store on one server: who does what."""

from __future__ import annotations

from collections.abc import Awaitable, Collection, Sequence

from insession.kernel.clock import Clock
from insession.kernel.contract import Waker
from insession.kernel.events import START, Cursor, EventType, Page
from insession.kernel.operations import Answer, Operation
from insession.kernel.passing import Passed
from insession.kernel.urls import StoreURL

from .calling import Caller
from .dialling import Dialler
from .link import Link
from .serving import PATIENCE, ServerStore
from .signals import Signals


class RedisStore(ServerStore):
    """Everything on one server of Redis (6.2 or newer) or Valkey."""

    @classmethod
    def from_url(cls, url: StoreURL, *, namespace: str, clock: Clock | None) -> RedisStore:
        """``redis://user:password@host:port/database``; ``?timeout=`` is how many seconds a call waits."""
        url.only({"timeout", *Dialler.OPTIONS})
        return cls(url, namespace=namespace, clock=clock, patience=url.seconds("timeout", PATIENCE))

    async def _connect(self) -> None:
        prefix = f"insession{{{self._namespace}}}"
        self._link = Link(self._dialler.dial, self._where, self._patience)
        self._signals = Signals(self._dialler.dial, self._patience, (prefix,), self._own, self._hear)
        self._passed = Passed()
        self._caller = Caller(self._manner, prefix, self._link.line, passed=self._passed, ready=self._link.ready)
        await self._link.open()
        await self._signals.open()

    async def _disconnect(self) -> None:
        await self._signals.close()
        await self._link.close()

    async def now(self) -> float:
        self._check()
        return await self._time(self._link.line)

    def apply(self, operations: Sequence[Operation]) -> Awaitable[Sequence[Answer]]:
        self._check()
        return self._caller.apply(operations) if operations else _nothing()

    async def events(self, after: str | None, limit: int, types: Collection[EventType] | None) -> Page:
        self._check()
        epoch, position = "", ""
        if after == START:
            position = "first"
        elif after is not None:
            cursor = Cursor.parse(after)
            epoch, position = cursor.epoch, str(cursor.positions[0])
        found = await self._caller.page(position, epoch, limit, types)
        return Page(
            tuple(found.events),
            f"{found.epoch}:{found.begin}",
            f"{found.epoch}:{found.position}",
            more=found.more,
            trimmed=found.trimmed,
        )

    def waker(self, types: Collection[EventType], *, leases: bool = False, answered: bool = False) -> Waker:
        self._check()
        self._signals.widen(types)
        return self._wakers.waker(types, leases=leases, onward=self._passed.onward if answered else None)


async def _nothing() -> Sequence[Answer]:
    return []

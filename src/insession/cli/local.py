"""The client over an engine of this process, on a store that other processes use too."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Collection
from contextlib import asynccontextmanager

from msgspec.structs import asdict

import insession
from insession.kernel.engine import Engine
from insession.kernel.events import Event
from insession.kernel.tickets import Tickets
from insession.kernel.upkeep import Stats
from insession.service.log import Logged, read_log
from insession.service.wire import Ending, LockList, LockView, OpenSession, SessionList, SessionView, shown

from .client import Client
from .settings import Settings
from .target import stored


class LocalClient:
    """See `Client`."""

    def __init__(self, engine: Engine, where: str) -> None:
        self._engine = engine
        self.where = where

    async def find(
        self, *, kind: str | None, owner: str | None, node: str | None, state: str, cursor: str | None, limit: int
    ) -> SessionList:
        wanted = None if state == "any" else state
        page = await self._engine.find(kind=kind, owner=owner, node=node, state=wanted, cursor=cursor, limit=limit)
        return SessionList([shown(session, data=False) for session in page.sessions], page.cursor)

    async def get(self, session_id: str) -> SessionView:
        return shown(await self._engine.get(session_id))

    async def history(self, session_id: str) -> list[Event]:
        return await self._engine.history(session_id)

    async def open(self, wanted: OpenSession) -> SessionView:
        session = await self._engine.open(**asdict(wanted))
        return shown(session)

    async def touch(self, session_id: str) -> SessionView:
        return shown(await self._engine.touch(session_id), data=False)

    async def close(self, session_id: str, reason: str) -> Ending:
        won = await self._engine.close(session_id, reason)
        return Ending(won, shown(await self._engine.get(session_id), data=False))

    async def interrupt(self, session_id: str, reason: str, wait: float | None) -> Ending:
        won = await self._engine.interrupt(session_id, reason, wait=wait)
        return Ending(won, shown(await self._engine.get(session_id), data=False))

    async def interrupt_all(self, kind: str | None, owner: str | None, reason: str) -> int:
        return await self._engine.interrupt_all(reason, kind=kind, owner=owner)

    async def stats(self) -> Stats:
        return await self._engine.stats()

    async def locks(self, prefix: str, *, cursor: str | None, limit: int) -> LockList:
        found, after = await Tickets(self._engine).find(prefix, cursor=cursor, limit=limit)
        return LockList([LockView(one.name, list(one.holders), list(one.waiting)) for one in found], after)

    async def nodes(self) -> list[SessionView]:
        return [shown(node, wanted=False) for node in await self._engine.nodes()]

    async def erase(self, owner: str) -> int:
        return await self._engine.erase(owner)

    async def events(
        self, after: str | None, types: Collection[str] | None, *, follow: bool
    ) -> AsyncGenerator[Logged, None]:
        reading = await read_log(self._engine, after, types)
        async for logged in reading.following() if follow else reading.to_the_end():
            yield logged


@asynccontextmanager
async def local(store: str, settings: Settings) -> AsyncIterator[Client]:
    """A client over the store of a URL."""
    where = stored(store).shown
    engine = insession.connect(store, namespace=settings.namespace or "default", keys=settings.ring)
    async with engine:
        yield LocalClient(engine, where)

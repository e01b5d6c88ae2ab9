"""The client over an engine of this process, on a store that other processes use too."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, AsyncIterator, Collection
from contextlib import asynccontextmanager

import insession
from insession.errors import ConfigurationError
from insession.kernel.engine import Engine
from insession.kernel.events import Event
from insession.kernel.urls import parse_url
from insession.service.log import Logged, read_log
from insession.service.wire import Ending, SessionList, SessionView, shown

from .client import Client


class LocalClient:
    """See `Client`."""

    def __init__(self, engine: Engine, where: str) -> None:
        self._engine = engine
        self.where = where

    async def find(
        self, *, kind: str | None, owner: str | None, state: str, cursor: str | None, limit: int
    ) -> SessionList:
        wanted = None if state == "any" else state
        page = await self._engine.find(kind=kind, owner=owner, state=wanted, cursor=cursor, limit=limit)
        return SessionList([shown(session, data=False) for session in page.sessions], page.cursor)

    async def get(self, session_id: str) -> SessionView:
        return shown(await self._engine.get(session_id))

    async def history(self, session_id: str) -> list[Event]:
        return await self._engine.history(session_id)

    async def interrupt(self, session_id: str, reason: str, wait: float | None) -> Ending:
        won = await self._engine.interrupt(session_id, reason, wait=wait)
        return Ending(won, shown(await self._engine.get(session_id), data=False))

    async def interrupt_all(self, kind: str | None, owner: str | None, reason: str) -> int:
        return await self._engine.interrupt_all(reason, kind=kind, owner=owner)

    async def events(
        self, after: str | None, types: Collection[str] | None, *, follow: bool
    ) -> AsyncGenerator[Logged, None]:
        reading = await read_log(self._engine, after, types)
        async for logged in reading.following() if follow else reading.to_the_end():
            yield logged


@asynccontextmanager
async def local(url: str, namespace: str) -> AsyncIterator[Client]:
    """A client over a store's URL. A store that is not there is not made: a slip in its name would look empty."""
    parsed = parse_url(url)
    if parsed.scheme == "memory":
        raise ConfigurationError(
            "memory: lives inside of one process, so this one would find nothing there; "
            "name a store that is shared, or with --url the service that holds it"
        )
    if parsed.scheme == "sqlite" and not os.path.exists(parsed.path.removeprefix("/")):  # noqa: ASYNC240, PTH110
        raise ConfigurationError(
            f"{parsed.shown}: there is no such file; name the store with --store or INSESSION_STORE"
        )
    async with insession.connect(url, namespace=namespace) as engine:
        yield LocalClient(engine, parsed.shown)

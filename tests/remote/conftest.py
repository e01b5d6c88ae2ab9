"""A tiny service, and pools on it over a memory store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from insession.remote import SessionPool
from insession.stores.memory import MemoryStore

from .tiny import Client, Tiny

Make = Callable[..., AbstractAsyncContextManager[SessionPool[Any, Any]]]


@pytest.fixture
async def tiny() -> AsyncIterator[Tiny]:
    async with Tiny() as tiny:
        yield tiny


@pytest.fixture
def client(tiny: Tiny) -> Client:
    return Client(tiny.port)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def make(client: Client, store: MemoryStore) -> Make:
    """Make a pool on the tiny service; pauses between tries are short."""

    def made(who: Client = client, **options: Any) -> SessionPool[Any, Any]:
        return SessionPool(who, who, **{"store": store, "pause": 0.01, "longest_pause": 0.05, **options})

    return made


@pytest.fixture
async def pool(make: Make) -> AsyncIterator[SessionPool[Any, Any]]:
    async with make() as pool:
        yield pool

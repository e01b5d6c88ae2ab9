"""Engines over one memory store: asked inline, and in batches as a store on the network is."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from insession import Engine, Store
from insession.stores.memory import MemoryStore
from insession.testing.clock import ManualClock, settle
from insession.testing.faulty import FaultyStore

from .samples import INDEX_KEY, KINDS


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=["inline", "batched"])
def store(request: pytest.FixtureRequest, clock: ManualClock) -> Store:
    memory = MemoryStore(clock=clock)
    return memory if request.param == "inline" else FaultyStore(memory)


@pytest.fixture
async def engine(store: Store, clock: ManualClock) -> AsyncIterator[Engine]:
    async with Engine(store, clock=clock, kinds=KINDS, index_key=INDEX_KEY) as engine:
        yield engine


@pytest.fixture
async def other(engine: Engine, clock: ManualClock) -> AsyncIterator[Engine]:
    """Another process: an engine of its own over the same store."""
    async with Engine(engine.store, clock=clock, kinds=KINDS, index_key=INDEX_KEY) as other:
        yield other


@pytest.fixture
def faulty(clock: ManualClock) -> FaultyStore:
    return FaultyStore(MemoryStore(clock=clock))


@pytest.fixture
async def shaky(faulty: FaultyStore, clock: ManualClock) -> AsyncIterator[Engine]:
    """An engine over a store that fails when it is told."""
    async with Engine(faulty, clock=clock, kinds=KINDS, index_key=INDEX_KEY) as engine:
        await settle()
        yield engine
        faulty.release()
        faulty.down = False

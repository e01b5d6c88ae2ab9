from __future__ import annotations
from collections.abc import AsyncIterator
import pytest
from insession.kernel.contract import Store
from insession.stores.memory import MemoryStore
from insession.testing.clock import ManualClock
from insession.testing.contract import StoreContract

class TestStores(StoreContract):
    @pytest.fixture
    async def store(self, clock: ManualClock) -> AsyncIterator[Store]:
        store = MemoryStore(clock=clock)
        await store.open()
        yield store
        await store.close()

"""The contract suite, over every store."""

from __future__ import annotations

from collections import Counter

import pytest

from insession.kernel.contract import Store
from insession.kernel.events import EventType
from insession.stores.memory import RETENTION, MemoryStore
from insession.testing.clock import ManualClock
from insession.testing.contract import TOPICS, StoreContract
from insession.testing.contract.samples import opened, session, update


class TestStores(StoreContract):
    @pytest.fixture
    def store(self, opened_store: Store) -> Store:
        return opened_store

    @pytest.fixture
    def other_store(self, second_store: Store) -> Store:
        return second_store

    async def trim(self, store: Store, clock: ManualClock) -> None:
        if not isinstance(store, MemoryStore):
            await super().trim(store, clock)
            return
        # Its retention is a number of events.
        record = await opened(store, session("flood", clock.now()))
        at = clock.now()
        await store.apply([update(record.id, at, event=EventType.UPDATED) for _ in range(2 * RETENTION)])


def test_no_topic_hides_anothers_test() -> None:
    names = Counter(name for topic in TOPICS for name in vars(topic) if not name.startswith("__"))
    assert [name for name, number in names.items() if number > 1] == []
    assert all(issubclass(StoreContract, topic) for topic in TOPICS)

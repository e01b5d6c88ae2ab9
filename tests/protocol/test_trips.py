"""Round trips of a storage's calls, counted on the wire by the proxies of `tests.stores.test_trips`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest

from insession.protocol import SessionStorage, SessionSubject
from insession.testing.clock import ManualClock
from tests.stores.test_trips import PATHS, Counting

from .samples import Key, Seen


class CountingStorage(Counting):
    """A storage behind a proxy; the engine is the storage's."""

    def __init__(self, counting: Counting, storage: SessionStorage) -> None:
        self.proxy, self.clock, self.engine = counting.proxy, counting.clock, storage.engine
        self.refusal = counting.refusal
        self.storage = storage


@pytest.fixture(params=list(PATHS))
async def counted(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[CountingStorage]:
    async with PATHS[cast("str", request.param)](tmp_path) as (proxy, url, namespace):
        clock = ManualClock()
        storage = SessionStorage(url, namespace=namespace, idle=600.0, most_per_key=100, clock=clock)
        async with storage:
            one = CountingStorage(Counting(proxy, url, namespace, clock), storage)
            await one.warm()
            await storage.create_session(1, 1)
            await one.settle()
            yield one


async def test_create_has_and_destroy_are_one_trip_each(counted: CountingStorage, key: Key) -> None:
    storage, clock = counted.storage, counted.clock
    await counted.begin()
    assert not await storage.has_session(key, 5)
    assert await counted.trips() == 1
    for session_id in (5, 6, 7):
        await counted.begin()
        assert await storage.create_session(key, session_id, first_msg_id=1, data={"user": 5})
        assert await counted.trips(events=1) == 1
        await counted.begin()
        assert await storage.has_session(key, session_id)
        assert await counted.trips() == 1
        # Where being asked for is written down as well: the window is 30 s.
        clock.set(clock.now() + 40)
        await counted.begin()
        assert await storage.has_session(key, session_id)
        assert await counted.trips() == 1
        await counted.begin()
        assert await storage.destroy_session(key, session_id)
        assert await counted.trips(events=1) == 1


async def test_through_a_subject_with_observers_too(counted: CountingStorage, key: Key) -> None:
    seen = Seen()
    subject = SessionSubject(lambda: counted.storage, clock=counted.clock)
    subject.subscribe(seen)
    await subject.create_session(key, 1)
    await counted.begin()
    assert await subject.create_session(key, 5)
    assert await counted.trips(events=1) == 1
    await counted.begin()
    assert await subject.has_session(key, 5)
    assert await counted.trips() == 1
    await counted.begin()
    assert await subject.destroy_session(key, 5)
    assert await counted.trips(events=1) == 1
    assert seen.types == ["created", "created", "destroyed"]

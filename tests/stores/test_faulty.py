"""The store that fails as it is told."""

from __future__ import annotations

import asyncio

import pytest

from insession.errors import OutcomeUnknown, StoreUnavailable
from insession.kernel.events import START
from insession.kernel.operations import Commit, Done, Load
from insession.stores.memory import MemoryStore
from insession.testing import Fault, FaultyStore, ManualClock, settle
from insession.testing.contract import StoreContract
from insession.testing.contract.samples import opening, record_of, session, sid


class TestWithoutFaults(StoreContract):
    @pytest.fixture
    def store(self, clock: ManualClock) -> FaultyStore:
        return FaultyStore(MemoryStore(clock=clock))

    async def trim(self, store: object, clock: ManualClock) -> None:
        pytest.skip("memory's own tests trim")


def faulty(*faults: Fault, immediate: bool = False) -> FaultyStore:
    store = FaultyStore(MemoryStore(clock=ManualClock()), immediate=immediate)
    store.fail(*faults)
    return store


def an_opening() -> Commit:
    return opening(session("one", 1.0))


async def test_fault_before_the_store() -> None:
    store = faulty(Fault.BEFORE)
    with pytest.raises(StoreUnavailable):
        await store.apply([an_opening()])
    assert await record_of(store, sid("one")) is None


async def test_lost_answer_was_applied() -> None:
    store, commit = faulty(Fault.LOST), an_opening()
    with pytest.raises(OutcomeUnknown):
        await store.apply([commit])
    assert await record_of(store, sid("one")) is not None
    (answer,) = await store.apply([commit])
    assert isinstance(answer, Done)
    assert len((await store.events(START, 10, None)).events) == 1


async def test_unknown_outcome_of_what_never_came() -> None:
    store = faulty(Fault.NEVER)
    with pytest.raises(OutcomeUnknown):
        await store.apply([an_opening()])
    assert await record_of(store, sid("one")) is None


async def test_plan_is_kept_in_order() -> None:
    store = faulty(Fault.NONE, Fault.BEFORE, Fault.NONE)
    await store.apply([an_opening()])
    with pytest.raises(StoreUnavailable):
        await store.apply([])
    await store.apply([])
    await store.apply([])
    assert not store.plan


async def test_held_until_released() -> None:
    store = faulty()
    store.hold()
    task = asyncio.ensure_future(store.apply([an_opening()]))
    await settle()
    assert not task.done()
    assert await record_of(store.store, sid("one")) is None
    store.release()
    (answer,) = await task
    assert isinstance(answer, Done)


async def test_down() -> None:
    store = faulty()
    store.down = True
    for work in (store.apply([]), store.events(None, 1, None), store.now(), store.open()):
        with pytest.raises(StoreUnavailable):
            await work
    with pytest.raises(StoreUnavailable):
        store.apply_now(Load(()))
    store.down = False
    assert list(await store.apply([])) == []


async def test_counts_trips_and_operations() -> None:
    store = faulty(Fault.BEFORE)
    with pytest.raises(StoreUnavailable):
        await store.apply([an_opening(), Load(())])
    await store.apply([Load(())])
    await store.events(None, 1, None)
    assert (store.trips, store.batches, store.reads) == (2, [2, 1], 1)
    assert store.operations == {Commit: 1, Load: 2}


@pytest.mark.parametrize("immediate", [False, True])
def test_batches_unless_asked(immediate: bool) -> None:
    store = faulty(Fault.LOST, immediate=immediate)
    assert bool(store.immediate) is immediate
    with pytest.raises(OutcomeUnknown):
        store.apply_now(an_opening())
    assert store.trips == 1

"""Work after an ending: done once, by whoever is there, and never forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from insession import Engine, Kind, LockLost, Session, State
from insession.stores.memory import MemoryStore
from insession.testing.clock import ManualClock, settle

from .jobs import Job


class Service:
    """What is told of an ending; it may be away."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.failures = 0
        self.answering = asyncio.Event()
        self.answering.set()

    async def log_out(self, session: Session) -> None:
        assert not session.record.live
        await self.answering.wait()
        self.told.append(session.id)
        if self.failures:
            self.failures -= 1
            raise ConnectionError("the service is away")


@pytest.fixture
async def service() -> Service:
    return Service()


@pytest.fixture
def kinds(service: Service) -> tuple[Kind, ...]:
    return (Kind("login", finish=service.log_out, keep=10.0),)


@pytest.fixture
async def worker(store: MemoryStore, clock: ManualClock, kinds: tuple[Kind, ...]) -> AsyncIterator[Engine]:
    async with Engine(store, clock=clock, kinds=kinds) as worker:
        yield worker


async def test_it_is_done_once_by_one_of_two(
    worker: Engine, service: Service, kinds: tuple[Kind, ...], clock: ManualClock
) -> None:
    async with Engine(worker.store, clock=clock, kinds=kinds) as second:
        sessions = [await one.open(kind="login") for one in (worker, second)]
        for session in sessions:
            await worker.close(session.id)
        await settle(200)
        await clock.advance(30.0)
        assert sorted(service.told) == sorted(session.id for session in sessions)
        assert not (await worker.get(sessions[0].id)).record.finish


@pytest.mark.parametrize("how", ["closed", "interrupted", "expired"])
async def test_every_ending_owes_it(worker: Engine, service: Service, clock: ManualClock, how: str) -> None:
    session = await worker.open(kind="login", idle=10.0)
    if how == "expired":
        await clock.advance(11.0)
    else:
        await (session.close() if how == "closed" else session.interrupt())
    await settle(50)
    assert service.told == [session.id]
    assert (await worker.get(session.id)).state == how


async def test_it_is_tried_again_with_pauses(
    worker: Engine, service: Service, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    service.failures = 3
    session = await worker.open(kind="login")
    await session.close()
    await settle(50)
    await clock.advance(0.1)  # so that each look is that much after a try
    for pause, number in ((1.0, 1), (5.0, 2), (30.0, 3)):
        assert len(service.told) == number
        await clock.advance(pause - 0.2)
        assert len(service.told) == number
        await clock.advance(0.2)
    assert service.told == [session.id] * 4
    assert "again in 30s" in caplog.text
    assert not (await worker.get(session.id)).record.finish
    await clock.advance(1_000.0)
    assert len(service.told) == 4


async def test_it_is_done_once_though_the_outcome_of_work_is_written_meanwhile(
    worker: Engine, service: Service
) -> None:
    service.answering.clear()
    session = await worker.open(kind="login")
    async with Job(session, stubborn=True) as job:
        await session.interrupt()
        await settle(50)
        job.let_go()
        service.answering.set()
        await settle(100)
    again = await worker.get(session.id)
    assert (service.told, again.record.finish, again.stopped) == ([session.id], False, "returned")


async def test_what_is_owed_is_not_purged(worker: Engine, service: Service, clock: ManualClock) -> None:
    service.answering.clear()
    session = await worker.open(kind="login")
    await session.close()
    clock.set(clock.now() + 1_000.0)
    await worker.purge()
    assert (await worker.get(session.id)).state is State.CLOSED
    service.answering.set()
    await settle(50)
    assert service.told == [session.id]
    assert await worker.purge() >= 1


async def test_another_process_does_it_after_a_crash(
    worker: Engine, service: Service, kinds: tuple[Kind, ...], clock: ManualClock
) -> None:
    async with Engine(worker.store, clock=clock, kinds=kinds) as second:
        service.answering.clear()
        session = await worker.open(kind="login")
        await session.close()
        await settle(50)
        held = {worker: worker.locks.held, second: second.locks.held}
        (crashing,) = [engine for engine, locks in held.items() if locks]
        crashing._recovery._finishing[session.id].cancel()
        crashing.locks.held.clear()
        service.answering.set()
        await clock.advance(31.0)
        assert service.told == [session.id]
        assert not (await second.get(session.id)).record.finish


async def test_it_is_found_at_the_next_start(service: Service, kinds: tuple[Kind, ...], clock: ManualClock) -> None:
    store = MemoryStore(clock=clock)
    async with Engine(store, clock=clock, kinds=kinds) as first:
        service.answering.clear()
        session = await first.open(kind="login")
        await session.close()
        await settle(50)
    service.answering.set()
    async with Engine(store, clock=clock, kinds=kinds):
        await settle(100)
        assert service.told == [session.id]


async def test_who_declares_no_such_kind_does_nothing(worker: Engine, service: Service, clock: ManualClock) -> None:
    await worker._tasks.close()
    async with Engine(worker.store, clock=clock) as bystander:
        session = await worker.open(kind="login")
        await bystander.close(session.id)
        await settle(50)
        assert service.told == []
        assert (await bystander.get(session.id)).record.finish


async def test_what_was_erased_is_not_owed(
    worker: Engine, service: Service, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    service.failures = 1
    session = await worker.open(kind="login", owner="ann")
    await session.close()
    await settle(50)
    await worker.erase("ann")
    await clock.advance(100.0)
    assert service.told == [session.id]
    assert "background task failed" not in caplog.text


async def test_it_goes_on_under_a_new_lease_if_the_first_is_lost(
    worker: Engine, service: Service, clock: ManualClock
) -> None:
    service.answering.clear()
    session = await worker.open(kind="login")
    await session.close()
    await settle(50)
    (lock,) = worker.locks.held.values()
    lock._lose(LockLost(lock.name))
    await settle(50)
    service.answering.set()
    await settle(50)
    assert service.told == [session.id]
    assert not (await worker.get(session.id)).record.finish


async def test_who_wants_to_see_it_done_waits_for_it(
    worker: Engine, clock: ManualClock, service: Service, kinds: tuple[Kind, ...]
) -> None:
    session = await worker.open(kind=kinds[0].name)
    await session.close()
    assert await worker.finish(session.id)
    assert await worker.finish(session.id)
    assert service.told == [session.id]


async def test_it_goes_on_after_the_wait(
    worker: Engine, clock: ManualClock, service: Service, kinds: tuple[Kind, ...]
) -> None:
    session = await worker.open(kind=kinds[0].name)
    service.answering.clear()
    await session.close()
    waiting = asyncio.ensure_future(worker.finish(session.id, wait=5.0))
    await settle()
    await clock.advance(5.0)
    assert not await waiting
    service.answering.set()
    assert await worker.finish(session.id)
    assert service.told == [session.id]

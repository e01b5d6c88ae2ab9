"""An engine's life: opening, closing, and what it leaves behind: nothing."""

from __future__ import annotations

import asyncio
import gc
import logging
from typing import NoReturn

import pytest

from insession import ConfigurationError, Engine, Kind, SessionNotFound, State, StoreUnavailable
from insession.stores.memory import MemoryStore
from insession.testing.clock import ManualClock, settle
from insession.testing.faulty import FaultyStore

from .jobs import Holder, Job


async def test_a_constructor_does_no_io(faulty: FaultyStore, clock: ManualClock) -> None:
    engine = Engine(faulty, clock=clock)
    await settle()
    assert (faulty.trips, faulty.reads) == (0, 0)
    assert engine.name


async def test_an_engine_that_was_not_opened_says_so(clock: ManualClock) -> None:
    engine = Engine(MemoryStore(clock=clock), clock=clock)
    with pytest.raises(ConfigurationError, match="async with"):
        await engine.open()
    with pytest.raises(ConfigurationError, match="async with"):
        await engine.get("0" * 32)
    with pytest.raises(ConfigurationError, match="async with"):
        _ = engine.items
    with pytest.raises(AttributeError, match="itmes"):
        engine.itmes  # type: ignore[attr-defined]  # noqa: B018


async def test_an_engine_is_opened_once_at_a_time(engine: Engine) -> None:
    with pytest.raises(ConfigurationError, match="open already"):
        await engine.__aenter__()
    assert await engine.count() == 0


async def test_an_engine_that_is_closed_takes_nothing(store: MemoryStore, clock: ManualClock) -> None:
    async with Engine(store, clock=clock) as engine:
        session = await engine.open()
    for verb in (engine.open(), engine.get(session.id), session.touch(), session.update(1), engine.count()):
        with pytest.raises(StoreUnavailable, match="closed"):
            await verb


async def test_an_engine_is_opened_again(store: MemoryStore, clock: ManualClock) -> None:
    engine = Engine(store, clock=clock)
    async with engine:
        session = await engine.open()
    async with engine:
        assert (await engine.get(session.id)).state is State.ACTIVE


async def test_a_store_that_cannot_be_opened(faulty: FaultyStore, clock: ManualClock) -> None:
    faulty.down = True
    engine = Engine(faulty, clock=clock)
    with pytest.raises(StoreUnavailable):
        await engine.__aenter__()
    faulty.down = False
    async with engine:
        assert await engine.count() == 0


async def test_nothing_is_left_behind(store: MemoryStore, clock: ManualClock, caplog: pytest.LogCaptureFixture) -> None:
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    unhandled: list[object] = []
    loop.set_exception_handler(lambda _, context: unhandled.append(context))
    before = asyncio.all_tasks()
    try:
        async with Engine(store, clock=clock, kinds=[Kind("call", recovery="end", idle=10.0)]) as engine:
            sessions = [await engine.open(kind="call") for _ in range(10)]
            async with engine.observe(print, types=["expired"]), Job(sessions[0]) as job:
                assert not sessions[1].interrupted
                await engine.interrupt(sessions[0].id)
                await job.task
                await asyncio.wait_for(sessions[0].wait_interrupted(), 5.0)
            async with engine.lock("report"):
                await settle()
        await settle(2)
        assert asyncio.all_tasks() == before
        gc.collect()
        await settle()
    finally:
        loop.set_debug(False)
        loop.set_exception_handler(None)
    assert unhandled == []
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


async def test_how_work_stopped_is_written_down_before_closing(faulty: FaultyStore, clock: ManualClock) -> None:
    async with Engine(faulty, clock=clock) as engine:
        session = await engine.open()
        async with Job(session, stubborn=True) as job:
            await engine.interrupt(session.id)
            faulty.hold()
            counting = asyncio.create_task(engine.count())  # what is written from now on waits behind it
            await settle()
            job.let_go()
            await job.task
        asyncio.get_running_loop().call_later(0.0, faulty.release)
    await counting
    async with Engine(faulty, clock=clock) as engine:
        assert (await engine.get(session.id)).stopped == "returned"


async def test_closing_while_work_runs_leaves_the_work_alone(
    store: MemoryStore, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with Engine(store, clock=clock) as engine:
        session = await engine.open()
        job = Job(session)
        await job.__aenter__()
        holder = Holder(engine)
        await settle()
    await clock.advance(100.0)
    assert not job.task.done()
    await job.__aexit__()
    assert job.error is None
    await holder.let_go()
    await settle()
    assert "background task" not in caplog.text


async def test_work_that_outlives_its_engine_is_not_written_down(
    store: MemoryStore, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with Engine(store, clock=clock) as engine:
        session = await engine.open()
        job = Job(session, stubborn=True)
        await job.__aenter__()
        await engine.interrupt(session.id)
    before = asyncio.all_tasks()
    job.let_go()
    await job.task
    await settle()
    assert asyncio.all_tasks() <= before
    assert "background task" not in caplog.text
    async with Engine(store, clock=clock) as again:
        assert (await again.get(session.id)).stopped is None


async def test_everything_queued_is_answered_before_the_store_is_closed(
    faulty: FaultyStore, clock: ManualClock
) -> None:
    async with Engine(faulty, clock=clock) as engine:
        await settle()
        faulty.hold()
        opens = [asyncio.create_task(engine.open()) for _ in range(3)]
        await settle()
        opens += [asyncio.create_task(engine.open()) for _ in range(3)]
        await settle()
        asyncio.get_running_loop().call_soon(faulty.release)
    sessions = await asyncio.gather(*opens)
    assert len({session.id for session in sessions}) == 6


async def test_a_background_task_that_fails_is_logged_and_reaches_nobody_else(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail() -> NoReturn:
        raise ZeroDivisionError

    engine._spawn(fail())
    await settle()
    assert "a background task failed" in caplog.text
    assert "ZeroDivisionError" in caplog.text
    assert (await engine.open()).state is State.ACTIVE


async def test_the_store_is_closed_even_if_closing_is_cancelled(faulty: FaultyStore, clock: ManualClock) -> None:
    closed: list[bool] = []
    close = faulty.close

    async def noted() -> None:
        closed.append(True)
        await close()

    faulty.close = noted  # type: ignore[method-assign]
    engine = Engine(faulty, clock=clock, kinds=[Kind("call", recovery="keep")])
    await engine.__aenter__()
    await engine.open(kind="call")
    faulty.hold()
    closing = asyncio.create_task(engine.__aexit__(None, None, None))
    await settle()
    closing.cancel()
    await settle()
    faulty.release()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert closed == [True]


async def test_the_follower_outlives_a_store_that_is_away(
    shaky: Engine, faulty: FaultyStore, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    session = await shaky.open()
    assert not session.interrupted
    await settle()
    async with Engine(faulty.store, clock=clock) as other:
        faulty.down = True
        await other.interrupt(session.id)
        await settle()
        assert not session.interrupted
        assert "the log cannot be read" in caplog.text
        faulty.down = False
        await clock.advance(1.1)
        assert session.interrupted


async def test_an_engine_that_cannot_begin_closes_its_store(faulty: FaultyStore, clock: ManualClock) -> None:
    closed: list[bool] = []

    async def noted() -> None:
        closed.append(True)

    async def fail(*_: object) -> NoReturn:
        raise StoreUnavailable("the log cannot be read")

    faulty.close = noted  # type: ignore[method-assign]
    faulty.events = fail  # type: ignore[assignment, method-assign]
    with pytest.raises(StoreUnavailable):
        await Engine(faulty, clock=clock).__aenter__()
    assert closed == [True]


async def test_an_engine_leaves_though_its_store_is_away(
    faulty: FaultyStore, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with Engine(faulty, clock=clock, kinds=[Kind("call", recovery="keep")]) as engine:
        await engine.open(kind="call")
        faulty.down = True
    assert "could not say good-bye" in caplog.text


async def test_purging_goes_on_after_the_store_was_away(
    shaky: Engine, faulty: FaultyStore, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    session = await shaky.open(kind="short")
    await session.close()
    faulty.down = True
    await clock.advance(61.0)
    assert "purging has to wait" in caplog.text
    faulty.down = False
    await clock.advance(61.0)
    with pytest.raises(SessionNotFound):
        await shaky.get(session.id)

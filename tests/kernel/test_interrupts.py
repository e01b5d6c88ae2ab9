"""Interrupts: work stops, wherever it runs; exactly one reason wins; how work stopped is written down."""

from __future__ import annotations

import asyncio
import re
import weakref
from contextlib import suppress

import anyio
import pytest

from insession import (
    Closed,
    Engine,
    Expired,
    Interrupted,
    InvalidInput,
    SessionEnded,
    State,
    StoreUnavailable,
)
from insession.testing.clock import ManualClock, settle
from insession.testing.faulty import FaultyStore

from .jobs import Job


async def test_running_is_cancelled_from_the_same_task_group(engine: Engine) -> None:
    session = await engine.open()
    reached = False

    async def work() -> None:
        nonlocal reached
        with pytest.raises(Interrupted) as raised:
            async with session.running() as same:
                assert same is session
                await anyio.sleep_forever()
        assert (raised.value.session_id, raised.value.reason) == (session.id, "user_request")
        await anyio.lowlevel.checkpoint()  # what follows the block is not cancelled
        reached = True

    async with anyio.create_task_group() as group:
        group.start_soon(work)
        await settle()
        assert await engine.interrupt(session.id, "user_request")
    assert reached


async def test_work_whose_own_verb_hears_of_the_ending_first_was_stopped_by_it(engine: Engine, other: Engine) -> None:
    session = await engine.open()
    with pytest.raises(Interrupted):
        async with session.running():
            await other.interrupt(session.id, "user_request")
            await session.update(lambda data: data)
    await asyncio.sleep(0)  # what follows the block is not cancelled
    await settle()
    assert (await engine.get(session.id)).stopped == "cancelled"


async def test_running_is_cancelled_by_another_process(engine: Engine, other: Engine) -> None:
    session = await engine.open()
    async with Job(session) as job:
        assert await other.interrupt(session.id, "elsewhere") is True
        await job.task
    assert job.cancelled
    assert isinstance(job.error, Interrupted)
    assert job.error.reason == "elsewhere"
    assert session.interrupted


async def test_the_error_says_how_it_ended(engine: Engine, other: Engine, clock: ManualClock) -> None:
    sessions = [await engine.open(idle=10.0) for _ in range(3)]
    async with Job(sessions[0]) as first, Job(sessions[1]) as second, Job(sessions[2]) as third:
        await other.interrupt(sessions[0].id, "one")
        await other.close(sessions[1].id, "two")
        await clock.advance(11.0)
        await asyncio.gather(first.task, second.task, third.task)
    assert [type(job.error) for job in (first, second, third)] == [Interrupted, Closed, Expired]


async def test_closing_it_inside_the_block_does_not_cancel_the_block(engine: Engine, other: Engine) -> None:
    session = await engine.open()
    async with Job(await other.get(session.id)) as elsewhere:
        async with session.running():
            assert await session.close("done")
            await settle()
            await anyio.lowlevel.checkpoint()
        await elsewhere.task
    assert isinstance(elsewhere.error, Closed)
    assert session.reason == "done"


async def test_a_task_that_the_block_started_does_cancel_the_block(engine: Engine) -> None:
    session = await engine.open()

    async def give_up() -> None:
        await session.interrupt("bad input")

    with pytest.raises(Interrupted):
        async with session.running():
            keep = asyncio.create_task(give_up())
            await anyio.sleep_forever()
    await keep


async def test_running_on_an_ended_session_raises_at_once(engine: Engine, other: Engine) -> None:
    session = await engine.open()
    await other.interrupt(session.id, "before")
    with pytest.raises(Interrupted) as raised:
        async with session.running():
            pytest.fail("the block must not begin")
    assert raised.value.reason == "before"


async def test_a_block_that_ends_by_itself_leaves_nothing_behind(engine: Engine) -> None:
    session = await engine.open()
    async with Job(session) as job:
        pass
    assert job.error is None
    assert engine._following._works == {}
    await session.interrupt()
    await settle()
    assert [event.type for event in await engine.history(session.id)] == ["opened", "interrupted"]


async def test_an_error_of_the_block_is_its_own(engine: Engine) -> None:
    session = await engine.open()
    with pytest.raises(ZeroDivisionError):
        async with session.running():
            raise ZeroDivisionError
    assert session.state is State.ACTIVE


async def test_a_cancellation_from_outside_is_not_taken_for_an_ending(engine: Engine) -> None:
    session = await engine.open()
    with anyio.move_on_after(0) as scope:
        async with session.running():
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert session.state is State.ACTIVE
    assert engine._following._works == {}


async def test_work_that_was_cancelled_is_written_down(engine: Engine) -> None:
    session = await engine.open()
    async with Job(session):
        await session.interrupt()
        await settle()
    again = await engine.get(session.id)
    assert again.stopped == "cancelled"
    events = await engine.history(session.id)
    assert [event.type for event in events] == ["opened", "interrupted", "stopped"]
    assert events[-1].reason == "cancelled"


async def test_work_that_swallows_its_cancellation_and_returns_has_returned(engine: Engine) -> None:
    session = await engine.open()
    async with Job(session, stubborn=True) as job:
        await session.interrupt()
        await settle()
        job.let_go()
        await job.task
    await settle()
    assert job.error is None
    assert (await engine.get(session.id)).stopped == "returned"


async def test_work_that_goes_on_is_abandoned_and_named(
    engine: Engine, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    session = await engine.open()
    async with Job(session, grace=3.0, stubborn=True) as job:
        await session.interrupt()
        await clock.advance(2.9)
        assert (await engine.get(session.id)).stopped is None
        await clock.advance(0.1)
        assert (await engine.get(session.id)).stopped == "abandoned"
        assert (await engine.stats()).abandoned == 1
        assert re.search(rf"'the job' for session {session.id} goes on 3s", caplog.text)
        job.let_go()
        await job.task
    assert (await engine.stats()).abandoned == 0
    assert "has returned at last" in caplog.text
    assert (await engine.get(session.id)).stopped == "abandoned"


async def test_the_worst_outcome_of_several_works_is_written_once(engine: Engine, clock: ManualClock) -> None:
    session = await engine.open()
    async with Job(session), Job(session, stubborn=True) as stubborn:
        await session.interrupt()
        await settle()
        assert (await engine.get(session.id)).stopped is None
        stubborn.let_go()
        await stubborn.task
        await settle()
    assert (await engine.get(session.id)).stopped == "cancelled"
    assert [event.type for event in await engine.history(session.id)] == ["opened", "interrupted", "stopped"]


async def test_a_worse_outcome_of_another_process_stands(engine: Engine, other: Engine, clock: ManualClock) -> None:
    session = await engine.open()
    async with Job(session), Job(await other.get(session.id), grace=1.0, stubborn=True):
        await engine.interrupt(session.id)
        await settle()
        assert (await engine.get(session.id)).stopped == "cancelled"
        await clock.advance(1.0)
        assert (await engine.get(session.id)).stopped == "abandoned"


async def test_interrupt_waits_until_the_work_has_stopped(engine: Engine, other: Engine) -> None:
    session = await engine.open()
    async with Job(session, stubborn=True) as job:
        waiting = asyncio.create_task(other.interrupt(session.id, wait=60.0))
        await settle()
        assert session.interrupted
        assert not waiting.done()
        job.let_go()
        assert await asyncio.wait_for(waiting, 5.0) is True


async def test_interrupt_waits_no_longer_than_it_was_told(engine: Engine, clock: ManualClock) -> None:
    session = await engine.open()
    waiting = asyncio.create_task(session.interrupt(wait=2.0))
    await settle()
    await clock.advance(1.9)
    assert not waiting.done()
    await clock.advance(0.1)
    assert await waiting is True


async def test_interrupt_does_not_wait_for_what_has_stopped_before(engine: Engine) -> None:
    session = await engine.open()
    async with Job(session):
        await session.interrupt()
        await settle()
    assert await asyncio.wait_for(session.interrupt(wait=60.0), 5.0) is False


async def test_a_wrong_wait_ends_nothing(engine: Engine) -> None:
    session = await engine.open()
    with pytest.raises(InvalidInput) as raised:
        await session.interrupt(wait=-1.0)
    assert raised.value.field == "wait"
    assert (await session.refresh()).state is State.ACTIVE


async def test_exactly_one_of_fifty_enders_wins(engine: Engine, other: Engine) -> None:
    session = await engine.open()
    ends = [one.interrupt(session.id, f"reason {number}") for number, one in enumerate((engine, other) * 25)]
    won = await asyncio.gather(*ends)
    assert sum(won) == 1
    again = await engine.get(session.id)
    assert again.reason == f"reason {won.index(True)}"
    assert [event.type for event in await engine.history(session.id)] == ["opened", "interrupted"]


async def test_an_ending_of_an_earlier_life_stops_no_work_of_a_later_one(
    engine: Engine, other: Engine, clock: ManualClock
) -> None:
    first = await engine.open(kind="chat", name="main")
    await first.close()
    earlier = (await engine.history(first.id))[-1]
    clock.set(clock.now() + 1.0)
    second = await engine.open(kind="chat", name="main")
    async with Job(second) as job:
        waiting = asyncio.create_task(second.wait_interrupted())
        await settle()
        engine._following.heard(earlier)  # the log may tell of it late
        await settle()
        assert (second.interrupted, job.cancelled, waiting.done()) == (False, False, False)
        await other.interrupt(second.id, "now")
        assert await asyncio.wait_for(waiting, 5.0)
        await job.task
    assert isinstance(job.error, SessionEnded)
    assert job.error.reason == "now"


async def test_interrupt_all_stops_the_work_of_its_own_process(engine: Engine, clock: ManualClock) -> None:
    sessions = [await engine.open() for _ in range(3)]
    clock.set(clock.now() + 1.0)
    async with Job(sessions[0]) as first, Job(sessions[1]) as second:
        waiting = asyncio.create_task(sessions[2].wait_interrupted())
        await settle()
        assert await engine.interrupt_all("shutdown") == 3
        await asyncio.gather(first.task, second.task)
        assert await asyncio.wait_for(waiting, 5.0)
    assert [job.error.reason for job in (first, second) if job.error] == ["shutdown"] * 2


async def test_a_block_that_swallows_what_a_verb_says_is_cancelled_all_the_same(engine: Engine, other: Engine) -> None:
    session = await engine.open()
    with pytest.raises(Interrupted):
        async with session.running():
            await other.interrupt(session.id)
            with suppress(SessionEnded):
                await session.update(1)  # says so; the block is cancelled all the same
            await anyio.sleep_forever()


async def test_work_that_could_not_begin_is_not_registered(
    shaky: Engine, faulty: FaultyStore, clock: ManualClock
) -> None:
    session = await shaky.open()
    assert not session.interrupted
    await settle()
    faulty.down = True
    with pytest.raises(StoreUnavailable):
        async with session.running():
            pytest.fail("the block must not begin")
    faulty.down = False
    assert shaky._following._works == {}
    await session.interrupt()
    await clock.advance(10.0)
    assert (await shaky.stats()).abandoned == 0


async def test_a_handle_that_is_dropped_is_forgotten(engine: Engine) -> None:
    session = await engine.open()
    assert not session.interrupted
    dead = weakref.ref(session)
    del session
    await settle()
    assert dead() is None
    await (await engine.open()).close()
    await settle()
    assert engine._following._handles == {}

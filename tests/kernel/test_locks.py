"""Locks as a program holds them: who gets them, when, and what becomes of those who wait."""

from __future__ import annotations

import asyncio

import pytest

from insession import ConfigurationError, Displaced, Engine, InvalidInput, LockLost, LockTimeout, Overloaded
from insession.kernel.operations import Acquire, Find, LeaseView
from insession.testing.clock import ManualClock, settle
from insession.testing.faulty import FaultyStore

from .jobs import Holder


def _holds(holder: Holder) -> bool:
    return holder.held


async def _views(engine: Engine) -> list[LeaseView]:
    found = await engine._ask(Find("lease", ""))
    return list(found.entries)


async def test_one_at_a_time(engine: Engine, other: Engine) -> None:
    inside = most = 0

    async def work(one: Engine) -> None:
        nonlocal inside, most
        async with one.lock("report"):
            inside += 1
            most = max(most, inside)
            await settle(3)
            inside -= 1

    await asyncio.gather(*(work(one) for one in (engine, other) * 10))
    assert (inside, most) == (0, 1)
    await settle()
    assert await _views(engine) == []


async def test_first_come_first_served_and_handed_on_at_once(engine: Engine, other: Engine) -> None:
    holders = []
    for one in (engine, other, engine, other):
        holders.append(Holder(one, wait=None))
        await settle()
    for place, holder in enumerate(holders):
        assert [one.held for one in holders] == [number == place for number in range(4)]
        await holder.let_go()
        await settle()


async def test_permits(engine: Engine, other: Engine) -> None:
    holders = []
    for one in (engine, other, engine):
        holders.append(Holder(one, permits=2))
        await settle()
    assert [one.held for one in holders] == [True, True, False]
    await holders[1].let_go()
    await settle()
    assert holders[2].held
    for holder in holders:
        await holder.let_go()


async def test_waiting_has_a_deadline(engine: Engine, clock: ManualClock) -> None:
    first, second = Holder(engine), Holder(engine, wait=5.0)
    await settle()
    await clock.advance(4.9)
    assert not second.task.done()
    await clock.advance(0.1)
    assert isinstance(second.error, LockTimeout)
    await first.let_go()
    await settle()
    assert await _views(engine) == []


async def test_wait_zero_refuses_at_once(engine: Engine) -> None:
    async with engine.lock("report", wait=0):
        with pytest.raises(LockTimeout) as raised:
            async with engine.lock("report", wait=0):
                pytest.fail("it is held")
    assert raised.value.name == "report"


async def test_the_queue_has_a_bound(engine: Engine) -> None:
    holders = [Holder(engine, queue=1, wait=None), Holder(engine, queue=1, wait=None)]
    await settle()
    with pytest.raises(LockTimeout):
        async with engine.lock("report", queue=1):
            pytest.fail("the queue is full")
    for holder in holders:
        await holder.let_go()


async def test_what_is_handed_on_while_the_answer_is_on_its_way_is_asked_for_at_once(
    engine: Engine, clock: ManualClock
) -> None:
    looks = engine.locks.looks
    engine.locks.look()
    await asyncio.wait_for(engine.locks.turn("lease", "ticket", clock.now() + 100.0, looks), 5.0)
    waiting = asyncio.create_task(engine.locks.turn("lease", "ticket", clock.now() + 100.0, engine.locks.looks))
    await settle()
    assert not waiting.done()
    engine.locks.handed_on("lease", "ticket")
    await asyncio.wait_for(waiting, 5.0)


async def test_a_waiter_that_is_cancelled_leaves_no_place_behind(engine: Engine, other: Engine) -> None:
    first = Holder(engine)
    await settle()
    second = Holder(other, wait=None)
    await settle()
    third = Holder(engine, wait=None)
    await settle()
    second.task.cancel()
    await settle()
    assert [len(view.waiting) for view in await _views(engine)] == [1]
    await first.let_go()
    await settle()
    assert third.held
    await third.let_go()
    await settle()
    assert await _views(engine) == []


async def test_cancelled_while_the_question_is_under_way_leaves_nothing(shaky: Engine, faulty: FaultyStore) -> None:
    faulty.hold()
    holder = Holder(shaky)
    await settle()
    assert faulty.operations[Acquire] == 1
    holder.task.cancel()
    await settle()
    faulty.release()
    await settle()
    assert await _views(shaky) == []


async def test_a_lock_is_renewed_while_it_is_held(engine: Engine, other: Engine, clock: ManualClock) -> None:
    holder = Holder(engine, ttl=9.0)
    await settle()
    waiting = Holder(other, ttl=9.0, wait=None)
    await settle()
    for _ in range(20):
        await clock.advance(3.0)
    assert _holds(holder)
    assert not _holds(waiting)
    await holder.let_go()
    await settle()
    assert _holds(waiting)
    await waiting.let_go()


async def test_a_lease_of_a_process_that_vanished_runs_out(engine: Engine, other: Engine, clock: ManualClock) -> None:
    vanished = Holder(other, ttl=9.0)
    await settle()
    vanished.renew_no_more()
    waiting = Holder(engine, wait=None)
    await settle()
    await clock.advance(8.9)
    assert not _holds(waiting)
    await clock.advance(0.2)
    assert _holds(waiting)
    await waiting.let_go()
    await vanished.let_go()


async def test_a_lost_lock_cancels_its_block(shaky: Engine, faulty: FaultyStore, clock: ManualClock) -> None:
    holder = Holder(shaky, ttl=9.0)
    await settle()
    faulty.down = True
    await clock.advance(8.9)
    assert holder.held
    await clock.advance(0.1)
    assert holder.cancelled
    assert isinstance(holder.error, LockLost)
    faulty.down = False


async def test_a_lock_is_lost_when_it_runs_out_and_not_at_the_next_renewal(
    shaky: Engine, faulty: FaultyStore, clock: ManualClock
) -> None:
    holder = Holder(shaky, ttl=9.0)
    await settle()
    await clock.advance(1.0)
    await holder.lock.take()  # renews it between two renewals
    faulty.down = True
    await clock.advance(8.9)
    assert _holds(holder)
    await clock.advance(0.2)
    assert isinstance(holder.error, LockLost)
    faulty.down = False


async def test_a_lock_that_is_renewed_late_is_lost_when_it_runs_out(
    shaky: Engine, faulty: FaultyStore, clock: ManualClock
) -> None:
    holder = Holder(shaky, ttl=9.0)
    await settle()
    faulty.hold()
    await clock.advance(4.0)
    faulty.release()  # what was asked at 3 s is answered at 4 s
    await settle()
    faulty.down = True
    assert holder.lock.until == pytest.approx(clock.now() + 8.0, abs=0.001)
    await clock.advance(7.9)
    assert holder.held
    await clock.advance(0.1)
    assert isinstance(holder.error, LockLost)
    faulty.down = False


async def test_an_overloaded_process_still_renews(
    shaky: Engine, faulty: FaultyStore, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder = Holder(shaky, ttl=9.0)
    await settle()
    monkeypatch.setattr("insession.kernel.batching.MOST_WAITING", 5)
    faulty.hold()
    finds = [asyncio.create_task(shaky.count()) for _ in range(6)]
    await settle()
    finds += [asyncio.create_task(shaky.count()) for _ in range(5)]
    await settle()
    await clock.advance(3.0)
    faulty.release()
    answers = await asyncio.gather(*finds, return_exceptions=True)
    assert any(isinstance(answer, Overloaded) for answer in answers)
    await settle()
    assert holder.held
    assert holder.lock.until == pytest.approx(clock.now() + 9.0, abs=0.001)
    await holder.let_go()


async def test_displaced(engine: Engine, other: Engine, clock: ManualClock) -> None:
    victim = Holder(engine)
    await settle()
    by = Holder(other, displace=True)
    await settle()
    assert victim.cancelled
    assert isinstance(victim.error, Displaced)
    assert by.held
    await by.let_go()


async def test_a_displaced_holder_that_goes_on_has_a_grace(engine: Engine, other: Engine, clock: ManualClock) -> None:
    victim = Holder(engine, stubborn=True)
    await settle()
    by = Holder(other, displace=True, grace=2.0)
    await settle()
    await clock.advance(1.9)
    assert (victim.cancelled, victim.held, by.held) == (True, True, False)
    await clock.advance(0.2)
    assert by.held
    await victim.let_go()
    assert isinstance(victim.error, Displaced)
    assert by.held
    await by.let_go()


async def test_an_error_of_the_block_is_its_own(engine: Engine) -> None:
    with pytest.raises(ZeroDivisionError):
        async with engine.lock("report"):
            raise ZeroDivisionError
    await settle()
    assert await _views(engine) == []


async def test_a_lock_is_used_again_but_not_by_two_at_once(engine: Engine) -> None:
    lock = engine.lock("report")
    async with lock:
        with pytest.raises(ConfigurationError, match="of its own"):
            async with lock:
                pytest.fail("it is in use")
    async with lock as same:
        assert same is lock
        assert lock.fence.token > 0
    await settle()
    assert await _views(engine) == []


async def test_a_lock_of_a_session_lies_with_it(engine: Engine) -> None:
    session = await engine.open()
    async with session.lock("turn"):
        assert [view.name for view in await _views(engine)] == [f"{session.id}/turn"]
        assert (await engine.stats()).locks == 1
    assert (await engine.stats()).locks == 0


async def test_notes_are_taken_over(engine: Engine, other: Engine, clock: ManualClock) -> None:
    async with engine.lock("turn") as lock:
        waiting = [Holder(other, "turn", note=note) for note in (b"one", b"two")]
        await settle()
        assert await lock.take() == (b"one", b"two")
        waiting.append(Holder(other, "turn", note=b"three"))
        await settle()
        assert await lock.take() == (b"one", b"two", b"three")
    await clock.advance(10.0)
    await asyncio.gather(*(holder.task for holder in waiting))
    assert [type(holder.error) for holder in waiting] == [LockTimeout] * 3


async def test_notes_of_one_holding_are_not_those_of_the_next(
    engine: Engine, other: Engine, clock: ManualClock
) -> None:
    lock = engine.lock("turn")
    async with lock:
        waiting = Holder(other, "turn", note=b"one")
        await settle()
        assert await lock.take() == (b"one",)
    await clock.advance(10.0)
    await waiting.task
    async with lock:
        assert lock.notes == ()


async def test_notes_wait_again_if_the_lock_is_lost(engine: Engine, other: Engine, clock: ManualClock) -> None:
    holder = Holder(engine, "turn", ttl=9.0)
    await settle()
    waiting = Holder(other, "turn", note=b"one", wait=None)
    await settle()
    assert await holder.lock.take() == (b"one",)
    holder.renew_no_more()
    await clock.advance(9.1)
    assert waiting.held
    with pytest.raises(LockLost):
        await holder.lock.take()
    await holder.task
    assert isinstance(holder.error, LockLost)
    assert waiting.held
    await waiting.let_go()


async def test_nothing_is_taken_by_who_holds_nothing(engine: Engine) -> None:
    with pytest.raises(LockLost):
        await engine.lock("turn").take()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("ttl", 0), ("ttl", -1.0), ("ttl", float("nan")), ("ttl", "1"), ("wait", -1), ("wait", True),
        ("permits", 0), ("permits", 1.5), ("permits", True), ("queue", -1), ("queue", False), ("note", "text"),
        ("note", b"x" * ((1 << 20) + 1)), ("grace", float("inf")), ("permit", 2),
    ],
)  # fmt: skip
async def test_wrong_options_are_refused(engine: Engine, field: str, value: object) -> None:
    with pytest.raises(InvalidInput) as raised:
        engine.lock("report", **{field: value})
    assert raised.value.field == field


async def test_an_unknown_option_names_the_nearest(engine: Engine) -> None:
    with pytest.raises(InvalidInput, match="did you mean 'permits'"):
        engine.lock("report", permit=2)

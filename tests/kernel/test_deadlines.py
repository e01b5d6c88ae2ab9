"""Idle and absolute deadlines, the touch window, and expiry by whoever looks first."""

from __future__ import annotations

import asyncio

import pytest

from insession import Deadlines, Engine, Expired, Kind, SessionEnded, State
from insession.kernel.operations import End
from insession.stores.memory import MemoryStore
from insession.testing.clock import ManualClock, settle
from insession.testing.faulty import FaultyStore

from .jobs import flag


async def test_deadlines_of_a_session(engine: Engine, clock: ManualClock) -> None:
    now = clock.now()
    session = await engine.open(kind="call", absolute=30.0)
    assert session.deadlines == Deadlines(None, now + 30.0)
    session = await engine.open(kind="device", idle=None, absolute=5.0)
    assert session.deadlines == Deadlines(None, now + 5.0)


async def test_a_session_of_a_kind_expires_when_idle(engine: Engine, clock: ManualClock) -> None:
    session = await engine.open(kind="device", owner="ann")
    await clock.advance(59.0)
    assert not flag(session)
    await clock.advance(61.0 * 1.05 - 59.0)
    assert flag(session)
    assert (session.state, session.reason) == (State.EXPIRED, "expired")
    assert [event.type for event in await engine.history(session.id)] == ["opened", "expired"]


async def test_touch_moves_the_idle_deadline(engine: Engine, clock: ManualClock) -> None:
    session = await engine.open(kind="device")
    for _ in range(10):
        await clock.advance(50.0)
        await session.touch()
    assert session.state is State.ACTIVE
    assert session.touched == clock.now()
    assert (await engine.get(session.id)).state is State.ACTIVE


async def test_the_absolute_deadline_stands_whatever_happens(engine: Engine, clock: ManualClock) -> None:
    session = await engine.open(idle=10.0, absolute=25.0)
    for _ in range(4):
        await clock.advance(6.0)
        await session.touch()
    await clock.advance(1.0)
    with pytest.raises(Expired):
        await session.touch()
    again = await engine.get(session.id)
    assert again.state is State.EXPIRED
    assert again.ended == pytest.approx(again.opened + 25.0, abs=0.5)


async def test_readers_see_expired_at_once(engine: Engine, clock: ManualClock) -> None:
    session = await engine.open(idle=10.0)
    clock.set(clock.now() + 11.0)  # nobody has been woken
    assert (await engine.find()).sessions == []
    assert (await engine.get(session.id)).state is State.EXPIRED
    assert [event.type for event in await engine.history(session.id)] == ["opened", "expired"]


async def test_no_verb_revives_what_is_due(engine: Engine, clock: ManualClock) -> None:
    sessions = [await engine.open(idle=10.0, data=1) for _ in range(4)]
    clock.set(clock.now() + 11.0)
    with pytest.raises(Expired):
        await sessions[0].touch()
    with pytest.raises(Expired):
        await sessions[1].update(2, touch=True)
    assert await engine.interrupt(sessions[2].id) is False
    assert await engine.close(sessions[3].id) is False
    assert {(await engine.get(session.id)).state for session in sessions} == {State.EXPIRED}


async def test_a_touch_that_came_before_an_expiry_wins(engine: Engine, other: Engine, clock: ManualClock) -> None:
    session = await engine.open(idle=10.0)
    clock.set(clock.now() + 9.0)
    await session.touch()
    await clock.advance(9.0)
    assert (await other.get(session.id)).state is State.ACTIVE
    await clock.advance(3.0)
    assert (await other.get(session.id)).state is State.EXPIRED


async def test_an_update_is_a_touch_only_if_asked(engine: Engine, clock: ManualClock) -> None:
    session = await engine.open(idle=10.0)
    clock.set(clock.now() + 5.0)
    await session.update(1)
    assert session.touched == clock.now() - 5.0
    await session.update(2, touch=True)
    assert session.touched == clock.now()
    deadlines = session.deadlines
    assert (await session.refresh()).deadlines == deadlines
    assert session.touched == clock.now()


async def test_touches_within_the_window_are_not_written(clock: ManualClock) -> None:
    kind = Kind("call", idle=100.0, window=10.0)
    async with Engine(MemoryStore(clock=clock), clock=clock, kinds=[kind]) as engine:
        session = await engine.open(kind="call")
        clock.set(clock.now() + 10.0)
        await session.touch()
        assert (await engine.get(session.id)).touched == session.opened
        clock.set(clock.now() + 1.0)
        await session.touch()
        assert (await engine.get(session.id)).touched == clock.now()


async def test_no_session_ends_before_its_idle_timeout(clock: ManualClock) -> None:
    # A touch at the end of the window is not written, so the deadline lies that much later.
    kind = Kind("call", idle=100.0, window=10.0)
    async with Engine(MemoryStore(clock=clock), clock=clock, kinds=[kind]) as engine:
        session = await engine.open(kind="call")
        await clock.advance(10.0)
        await session.touch()
        await clock.advance(99.9)
        assert (await engine.get(session.id)).state is State.ACTIVE
        await clock.advance(0.2)
        assert (await engine.get(session.id)).state is State.EXPIRED


async def test_where_the_store_waits_the_window_is_a_part_of_the_timeout(shaky: Engine, faulty: FaultyStore) -> None:
    short, long = await shaky.open(idle=100.0), await shaky.open(idle=86_400.0)
    assert (short.record.window, long.record.window) == (5.0, 60.0)
    before = faulty.trips
    await short.touch()
    assert faulty.trips == before


async def test_the_reaper_sleeps_until_something_is_due(clock: ManualClock) -> None:
    store = FaultyStore(MemoryStore(clock=clock), immediate=True)
    async with Engine(store, clock=clock) as engine:
        await settle()
        await engine.open(idle=50.0)
        await engine.open(idle=20.0)
        before = store.operations[End]
        await clock.advance(19.0)
        assert store.operations[End] == before
        await clock.advance(1.0)
        assert store.operations[End] == before + 1
        await clock.advance(29.0)
        assert store.operations[End] == before + 1
        await clock.advance(1.0)
        assert await engine.count() == 0


async def test_what_another_process_opened_expires_within_a_minute(
    engine: Engine, other: Engine, clock: ManualClock
) -> None:
    await clock.advance(1.0)
    session = await other.open(idle=5.0)
    await other.__aexit__(None, None, None)
    await clock.advance(66.0)
    assert [event.type for event in await engine.history(session.id)] == ["opened", "expired"]
    await other.__aenter__()  # the fixture closes it


async def test_many_due_at_once_expire_in_slices(engine: Engine, other: Engine, clock: ManualClock) -> None:
    for _ in range(450):
        await engine.open(idle=10.0)
    await engine.open(idle=100.0)
    await clock.advance(12.0, turns=100)
    assert await engine.count(state=State.EXPIRED) == 450
    assert await engine.count() == 1


async def test_two_engines_expire_a_session_once(engine: Engine, other: Engine, clock: ManualClock) -> None:
    sessions = [await one.open(idle=10.0) for one in (engine, other) * 5]
    await clock.advance(12.0)
    for session in sessions:
        assert [event.type for event in await engine.history(session.id)] == ["opened", "expired"]


async def test_readers_and_ends_that_race_for_an_expiry_agree(
    engine: Engine, other: Engine, clock: ManualClock
) -> None:
    session = await engine.open(idle=10.0)
    clock.set(clock.now() + 11.0)
    looks = [one.get(session.id) for one in (engine, other) * 5]
    ends = [one.interrupt(session.id) for one in (engine, other) * 5]
    seen = await asyncio.gather(*looks)
    assert await asyncio.gather(*ends) == [False] * 10
    assert {one.state for one in seen} == {State.EXPIRED}
    assert len(await engine.history(session.id)) == 2


async def test_work_of_an_expired_session_is_cancelled(engine: Engine, clock: ManualClock) -> None:
    session = await engine.open(idle=10.0)

    async def wait() -> None:
        async with session.running():
            await asyncio.Event().wait()

    task = asyncio.create_task(wait())
    await settle()
    await clock.advance(11.0)
    with pytest.raises(SessionEnded) as raised:
        await task
    assert isinstance(raised.value, Expired)


async def test_expiry_goes_on_after_the_store_was_away(
    shaky: Engine, faulty: FaultyStore, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    session = await shaky.open(idle=10.0)
    faulty.down = True
    await clock.advance(12.0)
    assert "expiry has to wait" in caplog.text
    faulty.down = False
    await clock.advance(2.0)
    assert [event.type for event in await shaky.history(session.id)] == ["opened", "expired"]

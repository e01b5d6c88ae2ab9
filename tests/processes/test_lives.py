"""An ending is final: nothing revives a session, and a later life of an id is another session's."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

import insession
from insession import Conflict, Expired, Interrupted, SessionEnded, State
from insession.testing.clock import ManualClock

KIND = insession.Kind("lived", idle=10.0, window=0.0)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def engines(url: str, clock: ManualClock) -> AsyncIterator[tuple[insession.Engine, insession.Engine]]:
    """Two engines on one store."""
    async with (
        insession.connect(url, kinds=[KIND], clock=clock) as here,
        insession.connect(url, kinds=[KIND], clock=clock) as there,
    ):
        yield here, there


Two = tuple[insession.Engine, insession.Engine]


async def test_a_save_after_an_ending_never_revives(engines: Two) -> None:
    here, there = engines
    session = await here.open(kind="lived", data={"step": 1})
    assert await there.interrupt(session.id, "stop")
    with pytest.raises(Interrupted):
        await session.update({"step": 2})
    found = await there.get(session.id)
    assert (found.state, found.reason, found.data) == (State.INTERRUPTED, "stop", {"step": 1})


async def test_a_touch_after_an_ending_never_revives(engines: Two) -> None:
    here, there = engines
    session = await here.open(kind="lived")
    assert await there.interrupt(session.id, "stop")
    with pytest.raises(Interrupted):
        await session.touch()
    assert (await there.get(session.id)).state is State.INTERRUPTED


async def test_a_touch_after_the_deadline_never_revives(engines: Two, clock: ManualClock) -> None:
    here, there = engines
    session = await here.open(kind="lived")
    clock.set(clock.now() + 10.0)
    with pytest.raises(Expired):
        await session.touch()
    assert (await there.get(session.id)).state is State.EXPIRED


async def test_a_touch_that_came_before_an_expiry_wins(engines: Two, clock: ManualClock) -> None:
    here, there = engines
    session = await here.open(kind="lived")
    clock.set(clock.now() + 9.5)
    await session.touch()
    # Both reapers wake now, and look for what is due.
    await clock.advance(1.0)
    assert (await there.get(session.id)).state is State.ACTIVE
    await clock.advance(10.0)
    assert (await there.get(session.id)).state is State.EXPIRED


async def _reopened(two: Two, clock: ManualClock) -> tuple[insession.Session, insession.Session]:
    here, there = two
    earlier = await here.open(kind="lived", name="n1", data={"life": 1})
    assert await there.close(earlier.id)
    clock.set(clock.now() + 0.001)
    later = await there.open(kind="lived", name="n1", data={"life": 2})
    assert later.id == earlier.id
    assert later.version > earlier.version
    return earlier, later


async def test_a_holder_of_an_earlier_life_cannot_save(engines: Two, clock: ManualClock) -> None:
    earlier, later = await _reopened(engines, clock)
    with pytest.raises((SessionEnded, Conflict)):
        await earlier.update({"life": 1, "late": True})
    with pytest.raises((SessionEnded, Conflict)):
        await earlier.update(lambda data: data | {"late": True})
    await later.refresh()
    assert later.data == {"life": 2}


async def test_a_holder_of_an_earlier_life_cannot_touch(engines: Two, clock: ManualClock) -> None:
    earlier, later = await _reopened(engines, clock)
    due = (await later.refresh()).deadlines.idle
    clock.set(clock.now() + 1.0)
    with pytest.raises((SessionEnded, Conflict)):
        await earlier.touch()
    assert (await later.refresh()).deadlines.idle == due


async def test_a_holder_of_an_earlier_life_cannot_end(engines: Two, clock: ManualClock) -> None:
    earlier, later = await _reopened(engines, clock)
    assert not await earlier.close("late")
    assert (await later.refresh()).state is State.ACTIVE


async def test_a_holder_of_an_earlier_life_is_told(engines: Two, clock: ManualClock) -> None:
    earlier, _ = await _reopened(engines, clock)
    assert await earlier.wait_interrupted(5.0)
    assert earlier.interrupted

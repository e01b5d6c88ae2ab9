"""How many sessions live at once, and what becomes of the places of those that ended."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter

import pytest

from insession.errors import LimitReached, StoreUnavailable
from insession.testing.clock import ManualClock, settle
from insession.testing.faulty import Fault, FaultyStore
from insession.tracking import LiveSession, SessionManager, SessionTracker, TooManySessions

from .conftest import Managers
from .waiting import until

FEW = {"max_concurrent_sessions": 5}


async def create(manager: SessionManager) -> LiveSession | None:
    """A session, or None where the limit refuses it."""
    try:
        return await manager.create_session()
    except TooManySessions:
        return None


async def crowd(*managers: SessionManager, number: int = 200) -> int:
    """How many of so many creates at once succeed, by turns of the managers."""
    made = await asyncio.gather(*(create(managers[place % len(managers)]) for place in range(number)))
    return sum(one is not None for one in made)


@pytest.mark.requirement("M23")
async def test_the_manager_refuses_one_too_many(managers: Managers, any_store: str | None) -> None:
    manager = await managers(FEW, any_store)
    for _ in range(5):
        await manager.create_session()
    with pytest.raises(TooManySessions, match="Maximum concurrent sessions reached") as caught:
        await manager.create_session()
    assert isinstance(caught.value, LimitReached)
    assert manager.get_session_statistics()["active_sessions"] == 5
    assert len(await manager.sessions()) == 5


@pytest.mark.requirement("M23")
async def test_the_limit_is_100_by_default(any_manager: SessionManager) -> None:
    assert await crowd(any_manager) == 100


@pytest.mark.requirement("M24")
async def test_the_tracker_refuses_too(any_store: str | None, clock: ManualClock) -> None:
    tracker = SessionTracker(FEW, any_store, clock=clock)
    assert await tracker.initialize()
    for place in range(5):
        assert [one async for one in tracker.process({"hardware_id": f"device {place}"})]
    with pytest.raises(TooManySessions, match="Maximum concurrent sessions reached"):
        await anext(tracker.process({"hardware_id": "one more"}))
    assert await tracker.cleanup()


@pytest.mark.requirement("M25")
async def test_exactly_the_limit_succeeds_of_many_at_once(managers: Managers, any_store: str | None) -> None:
    manager = await managers({"max_concurrent_sessions": 17}, any_store)
    assert await crowd(manager) == 17
    assert await manager.statistics() == {"active": 17, "interrupted": 0, "expired": 0, "completed": 0}


@pytest.mark.requirement("M25")
async def test_exactly_the_limit_succeeds_in_two_managers_on_one_file(managers: Managers, sqlite_url: str) -> None:
    config = {"max_concurrent_sessions": 17}
    one, other = await managers(config, sqlite_url), await managers(config, sqlite_url)
    assert await crowd(one, other) == 17
    shares = [manager.get_session_statistics()["active_sessions"] for manager in (one, other)]
    assert sum(shares) == 17
    assert (await one.statistics())["active"] == (await other.statistics())["active"] == 17


@pytest.mark.requirement("M25")
async def test_the_limit_holds_while_others_end(managers: Managers, any_store: str | None) -> None:
    manager = await managers(FEW, any_store)
    most = 0

    async def caller() -> None:
        nonlocal most
        session = await create(manager)
        if session is not None:
            most = max(most, (await manager.statistics())["active"])
            assert await manager.interrupt_session(session["session_id"], "completed")

    for _ in range(5):
        await asyncio.gather(*(caller() for _ in range(40)))
    assert 1 <= most <= 5
    assert (await manager.statistics())["active"] == 0


class TestPlaces:
    """What ended frees its place."""

    @pytest.mark.requirement("M26")
    @pytest.mark.parametrize("reason", ["completed", "user_request"])
    async def test_150_calls_one_after_another(self, any_manager: SessionManager, reason: str) -> None:
        for _ in range(150):
            session = await any_manager.create_session()
            assert await any_manager.interrupt_session(session["session_id"], reason)
        assert any_manager.get_session_statistics()["active_sessions"] == 0

    @pytest.mark.requirement("M26")
    async def test_all_places_after_all_were_interrupted(
        self, managers: Managers, any_store: str | None, clock: ManualClock
    ) -> None:
        manager = await managers(FEW, any_store)
        assert await crowd(manager, number=5) == 5
        clock.set(clock.now() + 0.001)
        assert await manager.interrupt_all_sessions() == 5
        assert await crowd(manager, number=10) == 5

    @pytest.mark.requirement("M26")
    async def test_what_has_expired_is_in_nobody_s_way_at_once(
        self, managers: Managers, any_store: str | None, clock: ManualClock
    ) -> None:
        manager = await managers(FEW | {"session_timeout": 100}, any_store)
        assert await crowd(manager, number=5) == 5
        clock.set(clock.now() + 105.0)  # no alarm rings: nobody has swept
        assert await crowd(manager, number=10) == 5
        await until(lambda: manager.get_session_statistics()["expired_sessions"] == 5)
        assert manager.get_session_statistics()["active_sessions"] == 5

    @pytest.mark.requirement("M26")
    async def test_places_that_another_manager_freed(self, managers: Managers, sqlite_url: str) -> None:
        one, other = await managers(FEW, sqlite_url), await managers(FEW, sqlite_url)
        sessions = [await one.create_session() for _ in range(5)]
        assert await create(other) is None
        assert await other.interrupt_session(sessions[0]["session_id"])
        assert await create(other) is not None
        assert await create(one) is None
        await until(lambda: sessions[0]["interrupt_flag"])

    async def test_a_create_that_did_not_reach_the_store_takes_none(
        self, managers: Managers, faulty: FaultyStore
    ) -> None:
        manager = await managers(FEW, faulty)
        faulty.fail(Fault.BEFORE)
        with pytest.raises(StoreUnavailable):
            await manager.create_session()
        assert await crowd(manager, number=6) == 5
        assert manager.get_session_statistics()["total_sessions"] == 5

    async def test_a_create_whose_answer_was_lost_counts_once(self, managers: Managers, faulty: FaultyStore) -> None:
        manager = await managers(FEW, faulty)
        faulty.fail(Fault.LOST)
        assert await crowd(manager, number=6) == 5
        assert (await manager.statistics())["active"] == 5

    @pytest.mark.requirement("M26")
    async def test_a_create_whose_caller_is_cancelled_takes_none(self, managers: Managers, faulty: FaultyStore) -> None:
        manager = await managers(FEW, faulty)
        await manager.create_session()
        faulty.hold()
        creating = asyncio.create_task(manager.create_session())
        await settle()
        creating.cancel()
        await settle()
        faulty.release()
        with pytest.raises(asyncio.CancelledError):
            await creating

        async def one_lives() -> bool:
            return (await manager.statistics())["active"] == 1

        await settle(100)
        await until(one_lives)


class TestMemory:
    """What is over is forgotten."""

    @pytest.mark.requirement("M27")
    async def test_no_session_outlives_its_end_in_this_process(self, any_manager: SessionManager) -> None:
        session = await any_manager.create_session()
        gone = session["session_id"]
        assert await any_manager.interrupt_session(gone, "completed")
        await settle()
        del session
        gc.collect()
        held = [one for one in gc.get_objects() if isinstance(one, LiveSession) and one.id == gone]
        assert held == []

    @pytest.mark.requirement("M27")
    async def test_the_history_is_shortened_at_every_cleanup(
        self, managers: Managers, any_store: str | None, clock: ManualClock
    ) -> None:
        config = {"max_session_history": 10, "session_cleanup_interval": 60, "interrupt_cleanup_delay": 1}
        manager = await managers(config, any_store, durable=True)
        await settle()
        for reason in ("completed", "stop") * 50:
            session = await manager.create_session()
            await manager.interrupt_session(session["session_id"], reason)
        await clock.advance(61.0)

        async def kept() -> bool:
            return Counter(await manager.statistics()).total() == 10

        await until(kept)
        assert manager.get_session_statistics()["session_history_count"] == 10

    @pytest.mark.requirement("M27")
    async def test_a_long_interval_lets_no_history_pile_up(self, managers: Managers, any_store: str | None) -> None:
        manager = await managers({"max_session_history": 10, "session_cleanup_interval": 86_400}, any_store)
        for _ in range(2_500):
            session = await manager.create_session()
            await manager.interrupt_session(session["session_id"], "completed")

        async def shortened() -> bool:
            return (await manager.statistics())["completed"] <= 1_010

        await until(shortened)

    @pytest.mark.requirement("M27")
    async def test_nothing_is_kept_of_ends_that_come_while_others_are_opened(
        self, managers: Managers, faulty: FaultyStore
    ) -> None:
        # There is always a create under way, as on a busy server with a store that takes its time.
        manager = await managers({"max_concurrent_sessions": 1_000}, faulty)
        assert manager.session_tracker is not None
        holding = manager.session_tracker._holding
        assert holding is not None
        most = 0

        async def caller() -> None:
            nonlocal most
            for _ in range(40):
                session = await manager.create_session()
                assert await manager.interrupt_session(session["session_id"], "completed")
                most = max(most, len(holding._early))

        await asyncio.gather(*(caller() for _ in range(10)))
        assert most <= 40

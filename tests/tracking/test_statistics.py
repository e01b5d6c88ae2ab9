"""Numbers of sessions: this manager's from memory, and those of the whole store."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from insession.testing.clock import ManualClock, settle
from insession.testing.faulty import FaultyStore
from insession.tracking import SessionManager

from .conftest import Managers
from .waiting import until


def numbers(manager: SessionManager) -> tuple[int, ...]:
    """Active; total, interrupted, completed, expired; history."""
    told = manager.get_session_statistics()
    names = ("active", "total", "interrupted", "completed", "expired")
    return (*[told[f"{name}_sessions"] for name in names], told["session_history_count"])


async def some_of_each(manager: SessionManager, clock: ManualClock) -> None:
    """Six sessions: one lives, three are interrupted, one is completed, one has expired."""
    vanished = await manager.create_session()
    await clock.advance(3_000)
    lives = [await manager.create_session() for _ in range(5)]
    await manager.interrupt_session(lives[0]["session_id"], "completed")
    for live in lives[1:4]:
        await manager.interrupt_session(live["session_id"])
    await clock.advance(1_000)
    assert vanished["status"] == "expired"


class TestManager:
    """`get_session_statistics`."""

    @pytest.mark.requirement("M46", "M86")
    async def test_what_the_samples_read(self, manager: SessionManager, clock: ManualClock) -> None:
        assert numbers(manager) == (0, 0, 0, 0, 0, 0)
        await some_of_each(manager, clock)
        told = manager.get_session_statistics()
        expected: dict[str, Any] = {
            "active_sessions": 1,
            "total_sessions": 6,
            "interrupted_sessions": 3,
            "completed_sessions": 1,
            "expired_sessions": 1,
            "session_history_count": 5,
            "global_interrupt_flag": False,
            "max_concurrent_sessions": 100,
            "session_timeout": 3600,
        }
        assert told == expected
        assert {name: type(value) for name, value in told.items()} == {
            name: type(value) for name, value in expected.items()
        }

    @pytest.mark.requirement("M48")
    async def test_the_metrics_say_the_same(self, manager: SessionManager, clock: ManualClock) -> None:
        for _ in range(3):
            await some_of_each(manager, clock)
            told, metrics = manager.get_session_statistics(), manager.get_metrics()["session_tracker"]
            assert metrics["session_statistics"] == told
            for name in ("active_sessions", "interrupted_sessions"):
                assert metrics[name] == told[name]
        await manager.cleanup()
        told, metrics = manager.get_session_statistics(), manager.get_metrics()["session_tracker"]
        assert metrics["interrupted_sessions"] == told["interrupted_sessions"] == 3 * 3 + 1

    @pytest.mark.requirement("M86")
    async def test_a_second_ending_is_not_counted(self, any_manager: SessionManager) -> None:
        live = await any_manager.create_session()
        assert await any_manager.interrupt_session(live["session_id"]) is True
        assert await any_manager.interrupt_session(live["session_id"]) is False
        assert await any_manager.interrupt_session(live["session_id"], "completed") is False
        await settle()
        assert numbers(any_manager)[:4] == (0, 1, 1, 0)

    @pytest.mark.requirement("M86")
    async def test_totals_never_fall_until_they_are_reset(self, manager: SessionManager, clock: ManualClock) -> None:
        await some_of_each(manager, clock)
        await clock.advance(100_000)
        assert numbers(manager)[1:3] == (6, 3)
        await manager.cleanup()
        assert numbers(manager)[1:3] == (6, 3)
        await manager.initialize()
        assert numbers(manager)[1:3] == (6, 3)
        await manager.create_session()
        assert numbers(manager)[1:3] == (7, 3)
        manager.reset_metrics()
        assert numbers(manager)[1:3] == (0, 0)

    async def test_after_the_end_they_are_the_last(self, any_manager: SessionManager) -> None:
        for _ in range(3):
            await any_manager.create_session()
        await any_manager.cleanup()
        assert numbers(any_manager)[:5] == (0, 3, 3, 0, 0)
        assert any_manager.session_tracker is not None
        assert dict(any_manager.session_tracker.active_sessions) == {}

    @pytest.mark.requirement("M86")
    async def test_a_refused_create_is_not_counted(self, managers: Managers) -> None:
        manager = await managers({"max_concurrent_sessions": 1})
        await asyncio.gather(*(manager.create_session() for _ in range(5)), return_exceptions=True)
        assert numbers(manager)[:2] == (1, 1)

    async def test_they_can_be_read_in_any_thread_while_sessions_come_and_go(self, manager: SessionManager) -> None:
        stop = threading.Event()

        def watch() -> int:
            rounds = 0
            while not stop.is_set():
                manager.get_session_statistics()
                manager.get_metrics()
                assert manager.session_tracker is not None
                for session_id, session in manager.session_tracker.active_sessions.items():
                    assert session["session_id"] == session_id
                    assert session["interrupt_flag"] in {True, False}
                rounds += 1
            return rounds

        watching = asyncio.create_task(asyncio.to_thread(watch))
        try:
            for _ in range(200):
                live = await manager.create_session()
                await asyncio.sleep(0)
                await manager.interrupt_session(live["session_id"])
        finally:
            stop.set()
        assert await watching > 0


class TestHistory:
    """Bounds of what is remembered of ended sessions."""

    @pytest.mark.requirement("M31")
    async def test_by_number(self, managers: Managers, clock: ManualClock) -> None:
        manager = await managers({"max_session_history": 5, "session_cleanup_interval": 60})
        ended = []
        for number in range(12):
            live = await manager.create_session()
            await manager.interrupt_session(live["session_id"], "completed" if number % 2 else "user_request")
            ended.append(live["session_id"])
            await clock.advance(1)
            assert numbers(manager)[5] <= 5
        await clock.advance(75)
        assert numbers(manager)[5] == 5
        known = [await manager.get_session_status(session_id) is not None for session_id in ended]
        assert known == [False] * 7 + [True] * 5

    @pytest.mark.requirement("M32")
    async def test_by_age(self, managers: Managers, clock: ManualClock) -> None:
        manager = await managers({"session_data_retention": 600, "session_cleanup_interval": 60})
        first = await manager.create_session()
        await manager.interrupt_session(first["session_id"])
        await clock.advance(300)
        second = await manager.create_session()
        await manager.interrupt_session(second["session_id"], "completed")
        assert numbers(manager)[5] == 2
        await clock.advance(301)
        assert numbers(manager)[5] == 1
        await clock.advance(60)
        assert await manager.get_session_status(first["session_id"]) is None
        assert await manager.get_session_status(second["session_id"]) is not None
        await clock.advance(300)
        assert numbers(manager)[5] == 0
        assert await manager.get_session_status(second["session_id"]) is None

    @pytest.mark.requirement("M77")
    async def test_what_has_expired_is_history_within_an_interval(
        self, managers: Managers, sqlite_url: str, clock: ManualClock
    ) -> None:
        for store in (None, sqlite_url):
            manager = await managers({"session_timeout": 100, "session_cleanup_interval": 30}, store)
            live = await manager.create_session()
            await clock.advance(99)
            assert numbers(manager) == (1, 1, 0, 0, 0, 0)
            # Its deadline lies the touch window later, 5 % of the timeout here.
            await clock.advance(1 + 5 + 30)
            await until(lambda: numbers(manager) == (0, 1, 0, 0, 1, 1))  # noqa: B023 - awaited here
            assert live["status"] == "expired"


class TestStore:
    """`statistics` and `sessions`: of all processes."""

    @pytest.mark.requirement("M87")
    async def test_of_two_managers(self, managers: Managers, sqlite_url: str, clock: ManualClock) -> None:
        one, other = await managers(store=sqlite_url), await managers(store=sqlite_url)
        mine = [await one.create_session("One") for _ in range(3)]
        theirs = [await other.create_session("Other") for _ in range(2)]
        await one.interrupt_session(mine[0]["session_id"])
        await other.interrupt_session(theirs[0]["session_id"], "completed")
        for manager in (one, other):
            assert await manager.statistics() == {"active": 3, "interrupted": 1, "completed": 1, "expired": 0}
            seen = {session["session_id"]: session["user_agent"] for session in await manager.sessions()}
            assert seen == {live["session_id"]: live["user_agent"] for live in (*mine[1:], *theirs[1:])}
        assert numbers(one)[:4] == (2, 3, 1, 0)
        assert numbers(other)[:4] == (1, 2, 0, 1)
        assert one.session_tracker is not None
        assert set(one.session_tracker.active_sessions) == {live["session_id"] for live in mine[1:]}
        await clock.advance(1)
        assert await one.interrupt_all_sessions() == 3
        assert one.get_session_statistics()["global_interrupt_flag"] is True
        assert other.get_session_statistics()["global_interrupt_flag"] is False

    @pytest.mark.requirement("M87")
    async def test_what_is_said_from_memory_asks_no_store(self, managers: Managers, faulty: FaultyStore) -> None:
        manager = await managers(store=faulty)
        live = await manager.create_session()
        await settle()
        faulty.down, before = True, faulty.trips
        assert manager.get_session_statistics()["active_sessions"] == 1
        assert manager.get_status()["session_tracker"]["active_sessions"] == 1
        assert manager.get_summary()["session_statistics"]["active_sessions"] == 1
        assert manager.session_tracker is not None
        assert manager.session_tracker.global_interrupt_flag is False
        assert live["session_id"] in manager.session_tracker.active_sessions
        assert live["interrupt_flag"] is False
        assert live["status"] == "active"
        assert faulty.trips == before
        faulty.down = False

    @pytest.mark.requirement("M87")
    async def test_more_than_a_page(self, managers: Managers) -> None:
        manager = await managers({"max_concurrent_sessions": 3_000})
        for _ in range(2_100):
            await manager.create_session()
        assert len({session["session_id"] for session in await manager.sessions()}) == 2_100
        assert (await manager.statistics())["active"] == 2_100

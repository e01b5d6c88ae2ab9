"""Starting, stopping and starting again: what a manager is before, between and after."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from insession.errors import ConfigurationError, InsessionError
from insession.stores.memory import MemoryStore
from insession.testing.clock import ManualClock, settle
from insession.testing.faulty import FaultyStore
from insession.tracking import NotInitialized, SessionManager, SessionTracker, TooManySessions
from insession.tracking.config import SETTINGS

from .conftest import Managers

# Sentences of the document, as its users wrote them down.
DEFAULTS = {
    "hardware_id_cache_file": "hardware_id.cache",
    "hardware_id_length": 32,
    "hardware_id_charset": "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789",
    "session_timeout": 3600,
    "session_cleanup_interval": 300,
    "max_concurrent_sessions": 100,
    "session_heartbeat_interval": 30,
    "interrupt_timeout": 5,
    "interrupt_cleanup_delay": 10,
    "global_interrupt_enabled": True,
    "tracking_enabled": True,
    "track_user_agents": True,
    "track_ip_addresses": False,
    "track_timestamps": True,
    "max_session_history": 1000,
    "session_data_retention": 86400,
    "cleanup_batch_size": 50,
    "require_hardware_id": True,
    "validate_session_ownership": True,
    "encrypt_session_data": False,
    "log_level": "INFO",
    "log_sessions": True,
    "log_interrupts": True,
    "log_hardware_ids": False,
}


def others() -> set[asyncio.Task[Any]]:
    """The tasks of this loop, but for those that run the test."""
    running = asyncio.current_task()
    return {
        task
        for task in asyncio.all_tasks()
        if task is not running and "TestRunner" not in getattr(task.get_coro(), "__qualname__", "")
    }


class TestStart:
    """`initialize` and its answers."""

    @pytest.mark.requirement("M1")
    @pytest.mark.parametrize("config", [None, {}, {"session_timeout": 60}, dict(DEFAULTS)])
    async def test_valid_configurations_start(self, config: dict[str, Any] | None, managers: Managers) -> None:
        manager = await managers(config)
        assert manager.is_initialized
        assert dict(manager.config) == DEFAULTS | (config or {})

    @pytest.mark.requirement("M1")
    def test_every_key_has_its_default(self) -> None:
        assert {key: setting.default for key, setting in SETTINGS.items()} == DEFAULTS

    @pytest.mark.requirement("M1")
    @pytest.mark.parametrize("key", [key for key, value in DEFAULTS.items() if type(value) is int])
    async def test_the_least_that_is_valid_starts(self, key: str, managers: Managers) -> None:
        least = next(value for value in (0.001, 1, 8) if SETTINGS[key].problem(value) is None)
        manager = await managers({key: least})
        assert await manager.create_session()

    @pytest.mark.requirement("M2")
    @pytest.mark.parametrize("config", [{"session_timeout": 0}, {"max_sessions": 7}, 5, {1: 2}, [("a", 1)]])
    async def test_an_invalid_configuration_answers_false(
        self, config: object, caplog: pytest.LogCaptureFixture
    ) -> None:
        before = others()
        manager = SessionManager(config)
        assert await manager.initialize() is False
        assert manager.is_initialized is False
        assert caplog.messages
        assert others() == before
        with pytest.raises(NotInitialized):
            await manager.create_session()

    @pytest.mark.requirement("M3")
    async def test_no_start_without_the_hardware_id_that_is_required(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr("insession.tracking.hardware.MACHINE_ID_FILES", ())
        monkeypatch.setattr("insession.tracking.hardware.find_fact", lambda _: None)
        blocked = tmp_path / "file"
        blocked.write_text("no folder")
        manager = SessionManager({"hardware_id_cache_file": str(blocked / "id")})
        assert await manager.initialize() is False
        assert not manager.is_initialized
        assert "Hardware ID generation failed" in caplog.text

    @pytest.mark.requirement("M3")
    @pytest.mark.parametrize(
        "options",
        [
            {"store": "sqlite:////nowhere/at/all/sessions.db"},
            {"store": "radis://127.0.0.1"},
            {"store": 5},
            {"namespace": "Not A Namespace"},
            {"namespace": 5},
            {"config": {"encrypt_session_data": True}, "keys": 5},
        ],
    )
    async def test_no_start_without_a_store(self, options: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
        before = others()
        manager = SessionManager(**options)
        assert await manager.initialize() is False
        assert not manager.is_initialized
        assert "cannot start" in caplog.text
        assert others() == before

    @pytest.mark.requirement("M3")
    async def test_a_store_that_does_not_answer_is_said_and_tried_again(
        self, faulty: FaultyStore, clock: ManualClock, caplog: pytest.LogCaptureFixture
    ) -> None:
        manager = SessionManager(store=faulty, clock=clock)
        faulty.down = True
        assert await manager.initialize() is False
        assert "the store is down" in caplog.text
        faulty.down = False
        assert await manager.initialize() is True
        assert await manager.create_session()
        assert await manager.cleanup()

    async def test_a_corrected_configuration_starts_after_a_failure(self, clock: ManualClock) -> None:
        manager = SessionManager({"session_timeout": -1}, clock=clock)
        assert not await manager.initialize()
        manager.update_config({"session_timeout": 60})
        assert await manager.initialize()
        assert await manager.create_session()
        assert await manager.cleanup()

    @pytest.mark.requirement("M6")
    async def test_starting_twice_leaves_no_task(self, any_manager: SessionManager) -> None:
        live = await any_manager.create_session()
        await settle()
        before = others()
        assert await any_manager.initialize() is True
        await settle()
        assert others() == before
        assert live["session_id"] in any_manager.session_tracker.active_sessions  # type: ignore[union-attr]

    @pytest.mark.requirement("M6")
    async def test_many_starts_at_once_are_one(self, sqlite_url: str) -> None:
        manager = SessionManager(store=sqlite_url)
        assert all(await asyncio.gather(*(manager.initialize() for _ in range(5))))
        before = len(others())
        alone = SessionManager(store=sqlite_url)
        assert await alone.initialize()
        assert len(others()) == 2 * before
        await asyncio.gather(manager.cleanup(), alone.cleanup())
        assert not others()

    @pytest.mark.requirement("M6")
    async def test_a_tracker_alone_starts_once_too(self, sqlite_url: str) -> None:
        tracker = SessionTracker({"require_hardware_id": False}, sqlite_url)
        assert all(await asyncio.gather(*(tracker.initialize() for _ in range(5))))
        assert all(await asyncio.gather(tracker.cleanup(), tracker.cleanup()))
        assert not others()

    async def test_the_block_raises_where_initialize_answers_false(self) -> None:
        with pytest.raises(ConfigurationError, match="session_timeout"):
            await SessionManager({"session_timeout": 0}).__aenter__()
        with pytest.raises(ConfigurationError, match="see the log"):
            await SessionManager(store="radis:").__aenter__()

    async def test_a_start_that_is_cancelled_leaves_nothing(self, faulty: FaultyStore, clock: ManualClock) -> None:
        manager = SessionManager(store=faulty, clock=clock)
        before = others()
        faulty.hold()
        starting = asyncio.create_task(manager.initialize())
        while not faulty.trips:
            await asyncio.sleep(0)
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        faulty.release()
        assert starting.cancelled()
        assert not manager.is_initialized
        await settle()
        assert others() <= before | {starting}
        assert await manager.initialize()
        assert await manager.create_session()
        await manager.cleanup()


class TestStop:
    """`cleanup`, and what is left afterwards."""

    @pytest.mark.requirement("M4")
    @pytest.mark.parametrize("shared", [False, True])
    async def test_no_task_is_left(self, shared: bool, sqlite_url: str) -> None:
        before = others()
        manager = SessionManager(store=sqlite_url if shared else None)
        assert await manager.initialize()
        for _ in range(3):
            await manager.create_session()
        assert others() > before
        assert await manager.cleanup() is True
        assert others() == before
        assert await manager.cleanup() is True
        assert not manager.is_initialized

    @pytest.mark.requirement("M4")
    async def test_stopping_before_a_start_does_nothing(self) -> None:
        assert await SessionManager().cleanup() is True

    @pytest.mark.requirement("M4")
    async def test_stopping_twice_at_once(self, any_manager: SessionManager) -> None:
        live = await any_manager.create_session()
        assert await asyncio.gather(any_manager.cleanup(), any_manager.cleanup()) == [True, True]
        assert live["interrupt_flag"]
        assert not others()

    @pytest.mark.requirement("M4")
    async def test_a_store_that_fails_does_not_keep_it_running(
        self, faulty: FaultyStore, clock: ManualClock, caplog: pytest.LogCaptureFixture
    ) -> None:
        before = others()
        manager = SessionManager(store=faulty, clock=clock)
        assert await manager.initialize()
        lives = [await manager.create_session() for _ in range(3)]
        faulty.down = True
        assert await manager.cleanup() is True
        assert all(live["interrupt_flag"] for live in lives)
        assert "not every session could be ended" in caplog.text
        assert not manager.get_session_statistics()["active_sessions"]
        assert others() == before

    async def test_what_ran_is_ended_on_the_store(self, managers: Managers, sqlite_url: str) -> None:
        one, other = await managers(store=sqlite_url), await managers(store=sqlite_url)
        live = await one.create_session()
        assert await one.cleanup()
        status = await other.get_session_status(live["session_id"])
        assert status is not None
        assert (status["status"], status["interrupt_reason"]) == ("interrupted", "cleanup")

    @pytest.mark.parametrize("durable", [False, True])
    async def test_a_live_session_can_be_read_afterwards(
        self, durable: bool, managers: Managers, sqlite_url: str
    ) -> None:
        manager = await managers(store=sqlite_url, durable=durable)
        live = await manager.create_session("Agent", context={"a": 1})
        await manager.cleanup()
        told = dict(live)
        assert (told["interrupt_flag"], told["context"], told["user_agent"]) == (True, {"a": 1}, "Agent")
        assert live.snapshot() == told
        assert told["status"] == ("active" if durable else "interrupted")

    async def test_a_durable_session_outlives_it(self, managers: Managers, sqlite_url: str) -> None:
        first = await managers(store=sqlite_url, durable=True)
        live = await first.create_session()
        await first.cleanup()
        second = await managers(store=sqlite_url, durable=True)
        status = await second.get_session_status(live["session_id"])
        assert status is not None
        assert status["status"] == "active"

    async def test_a_session_that_is_being_created_is_ended_too(
        self, managers: Managers, faulty: FaultyStore, clock: ManualClock
    ) -> None:
        manager = await managers(store=faulty)
        other = await managers(store=faulty.store, clock=clock)
        first = await manager.create_session()
        await settle()
        faulty.hold()
        creating = asyncio.create_task(manager.create_session())
        await settle()
        stopping = asyncio.create_task(manager.cleanup())
        await settle()
        faulty.release()
        assert await stopping is True
        assert first["interrupt_flag"]
        (outcome,) = await asyncio.gather(creating, return_exceptions=True)
        assert isinstance(outcome, InsessionError) or outcome["interrupt_flag"]  # type: ignore[index]
        assert await other.sessions() == []

    async def test_a_tracker_is_started_while_it_stops(self, sqlite_url: str) -> None:
        tracker = SessionTracker({"require_hardware_id": False}, sqlite_url)
        await tracker.initialize()
        old = await tracker.create()
        assert await asyncio.gather(tracker.cleanup(), tracker.initialize()) == [True, True]
        assert old["interrupt_flag"]
        new = await tracker.create()
        assert not new["interrupt_flag"]
        assert await tracker.interrupt(new["session_id"], "works")
        assert await tracker.cleanup()
        assert not others()


class TestAgain:
    """Stopped and started once more."""

    @pytest.mark.requirement("M5")
    async def test_it_works_again(self, any_manager: SessionManager) -> None:
        first = await any_manager.create_session()
        assert await any_manager.cleanup()
        assert await any_manager.initialize()
        second = await any_manager.create_session()
        assert first["interrupt_flag"]
        assert not second["interrupt_flag"]
        assert await any_manager.interrupt_session(second["session_id"])
        assert second["interrupt_flag"]

    @pytest.mark.requirement("M5")
    async def test_a_new_hardware_id_counts_from_then_on(self, manager: SessionManager) -> None:
        before = await manager.get_hardware_id()
        assert manager.hardware_id_provider is not None
        assert manager.hardware_id_provider.regenerate_hardware_id()
        assert await manager.get_hardware_id() == before
        await manager.cleanup()
        assert await manager.initialize()
        after = await manager.get_hardware_id()
        assert after != before
        assert (await manager.create_session())["hardware_id"] == after

    @pytest.mark.requirement("M18")
    async def test_the_global_flag_is_down(self, manager: SessionManager) -> None:
        tracker = manager.session_tracker
        assert tracker is not None
        assert tracker.global_interrupt_flag is False
        assert manager.get_session_statistics()["global_interrupt_flag"] is False
        await manager.interrupt_all_sessions()
        assert tracker.global_interrupt_flag is True
        assert manager.get_session_statistics()["global_interrupt_flag"] is True
        await manager.cleanup()
        await manager.initialize()
        assert manager.session_tracker is not None
        assert manager.session_tracker.global_interrupt_flag is False
        assert manager.get_session_statistics()["global_interrupt_flag"] is False

    @pytest.mark.requirement("M68")
    async def test_the_global_flag_falls_by_itself(self, managers: Managers, clock: ManualClock) -> None:
        manager = await managers({"interrupt_cleanup_delay": 10})
        old = await manager.create_session()
        await clock.advance(1)
        assert await manager.interrupt_all_sessions() == 1
        new = await manager.create_session()
        assert manager.session_tracker is not None
        assert manager.session_tracker.global_interrupt_flag
        await clock.advance(9.9)
        assert manager.get_session_statistics()["global_interrupt_flag"] is True
        await clock.advance(0.2)
        assert manager.get_session_statistics()["global_interrupt_flag"] is False
        assert manager.session_tracker.global_interrupt_flag is False
        assert old["interrupt_flag"]
        assert not new["interrupt_flag"]


class TestIndependence:
    """Managers and their neighbours."""

    @pytest.mark.requirement("M7", "M87")
    async def test_on_memory_each_has_its_own(self, managers: Managers, clock: ManualClock) -> None:
        await self.apart(await managers(), await managers(), clock)

    @pytest.mark.requirement("M7", "M92")
    async def test_on_two_namespaces(self, managers: Managers, sqlite_url: str, clock: ManualClock) -> None:
        one, other = [await managers(store=sqlite_url, namespace=name) for name in ("one", "other")]
        await self.apart(one, other, clock)

    @pytest.mark.requirement("M7")
    async def test_on_two_stores(self, managers: Managers, tmp_path: Path, clock: ManualClock) -> None:
        one, other = [await managers(store=f"sqlite:///{tmp_path / name}.db") for name in ("one", "other")]
        await self.apart(one, other, clock)

    @staticmethod
    async def apart(one: SessionManager, other: SessionManager, clock: ManualClock) -> None:
        mine, theirs = await one.create_session(), await other.create_session()
        assert await one.get_session_status(theirs["session_id"]) is None
        assert await one.interrupt_session(theirs["session_id"]) is False
        assert [session["session_id"] for session in await one.sessions()] == [mine["session_id"]]
        await clock.advance(1)
        assert await one.interrupt_all_sessions() == 1
        await one.cleanup()
        assert not theirs["interrupt_flag"]
        assert other.get_session_statistics()["active_sessions"] == 1
        assert other.get_session_statistics()["global_interrupt_flag"] is False
        assert (await other.statistics())["active"] == 1

    @pytest.mark.requirement("M92", "M87")
    async def test_the_environment_names_the_store(
        self, managers: Managers, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("INSESSION_STORE", sqlite_url)
        one, other = await managers(), await managers(store=sqlite_url)
        elsewhere = await managers(store="memory:")
        live = await one.create_session()
        assert [session["session_id"] for session in await other.sessions()] == [live["session_id"]]
        assert await elsewhere.sessions() == []
        assert await other.interrupt_session(live["session_id"], "from there")
        assert await one.wait_ended(live, timeout=30)
        status = await one.get_session_status(live["session_id"])
        assert status is not None
        assert status["interrupt_reason"] == "from there"

    @pytest.mark.requirement("M92")
    async def test_memory_where_nothing_is_said(self, managers: Managers) -> None:
        one, other = await managers(), await managers()
        await one.create_session()
        assert await other.sessions() == []

    async def test_managers_of_one_store_keep_each_its_own_limit(self, managers: Managers, clock: ManualClock) -> None:
        store = MemoryStore(clock=clock)
        strict, wide = [await managers({"max_concurrent_sessions": most}, store) for most in (2, 4)]
        for _ in range(2):
            await strict.create_session()
        with pytest.raises(TooManySessions, match=r"reached \(2\)"):
            await strict.create_session()
        for _ in range(2):
            await wide.create_session()
        with pytest.raises(TooManySessions, match=r"reached \(4\)"):
            await wide.create_session()
        assert strict.get_session_statistics()["active_sessions"] == 2


class TestCancelled:
    """Callers that give up."""

    async def test_a_create_that_is_cancelled_leaves_no_session(self, managers: Managers, faulty: FaultyStore) -> None:
        manager = await managers({"max_concurrent_sessions": 1}, faulty)
        await manager.interrupt_session((await manager.create_session())["session_id"])
        faulty.hold()
        creating = asyncio.create_task(manager.create_session())
        await settle()
        creating.cancel()
        await asyncio.gather(creating, return_exceptions=True)
        faulty.release()
        await settle(100)
        assert creating.cancelled()
        assert (await manager.statistics())["active"] == 0
        assert await manager.create_session()

    async def test_a_cleanup_that_is_cancelled_ends_all_the_same(
        self, managers: Managers, faulty: FaultyStore, clock: ManualClock
    ) -> None:
        manager = await managers(store=faulty)
        live = await manager.create_session()
        faulty.hold()
        stopping = asyncio.create_task(manager.cleanup())
        await settle()
        assert live["interrupt_flag"]
        stopping.cancel()
        faulty.release()
        await asyncio.gather(stopping, return_exceptions=True)
        await settle()
        assert not others()
        assert not manager.is_initialized
        assert await manager.initialize()
        assert await manager.create_session()


class TestCost:
    """What is asked of the store, by count."""

    @pytest.mark.requirement("M74")
    async def test_a_create_asks_the_store_as_much_however_many_live(
        self, managers: Managers, faulty: FaultyStore
    ) -> None:
        manager = await managers({"max_concurrent_sessions": 2_000}, faulty)
        await manager.create_session()
        costs = []
        for number in range(1, 1_001):
            before = faulty.trips, sum(faulty.operations.values())
            await manager.create_session()
            if number in {1, 10, 100, 1_000}:
                costs.append((faulty.trips - before[0], sum(faulty.operations.values()) - before[1]))
        assert costs == [(1, 1)] * 4

    @pytest.mark.requirement("M75")
    @pytest.mark.parametrize("sessions", [0, 50])
    async def test_an_idle_manager_hardly_wakes(
        self, sessions: int, managers: Managers, faulty: FaultyStore, clock: ManualClock
    ) -> None:
        day = 86_400
        manager = await managers({"session_timeout": 2 * day}, faulty)
        for _ in range(sessions):
            await manager.create_session()
        await clock.advance(1)
        before, reads = faulty.trips, faulty.reads
        await clock.advance(day, turns=5)
        # Once a minute what is due and what is over, once in five the history, each in a few questions; and once in
        # 5 s that this process lives, where it has sessions on a store that others may share.
        assert 0 < faulty.trips - before < 12 * day / 60 + (day / 5 if sessions else 0)
        assert faulty.reads - reads < day / 60
        assert (await manager.statistics())["active"] == sessions

    @pytest.mark.requirement("M75")
    async def test_between_its_intervals_it_does_nothing(
        self, managers: Managers, faulty: FaultyStore, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        manager = await managers(store=faulty)
        await manager.create_session()
        await clock.advance(61)
        before = faulty.trips
        loop, turns = asyncio.get_running_loop(), 0
        run_once = type(loop)._run_once  # type: ignore[attr-defined]

        def counted(self: asyncio.AbstractEventLoop) -> None:
            nonlocal turns
            turns += 1
            run_once(self)

        monkeypatch.setattr(type(loop), "_run_once", counted)
        woken = loop.create_future()
        loop.call_later(0.3, woken.set_result, None)
        await woken
        # Real time passes, the clock stands: whatever turned the loop now would be polling.
        assert turns <= 3
        assert faulty.trips == before

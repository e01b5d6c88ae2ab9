"""Starting, stopping and starting again: what a manager is before, between and after."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from insession.errors import ConfigurationError, InsessionError
from insession.testing.clock import ManualClock, settle
from insession.testing.faulty import FaultyStore
from insession.tracking import NotInitialized, SessionManager, SessionTracker
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
    return {task for task in asyncio.all_tasks() if task is not running and "TestRunner" not in what(task)}


def what(task: asyncio.Task[Any]) -> str:
    """What a task runs."""
    return str(getattr(task.get_coro(), "__qualname__", ""))


def global_flags(manager: SessionManager) -> tuple[bool, bool]:
    """The global flag, as both that have it show it."""
    assert manager.session_tracker is not None
    return manager.session_tracker.global_interrupt_flag, manager.get_session_statistics()["global_interrupt_flag"]


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
        await settle()
        assert [what(task) for task in others()].count("Reaper.run") == 1
        await manager.cleanup()
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
        tracker = SessionTracker({"require_hardware_id": False}, faulty, clock=clock)
        before = others()
        faulty.hold()
        starting = asyncio.create_task(tracker.initialize())
        await settle(5)
        assert faulty.trips
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        faulty.release()
        assert starting.cancelled()
        assert not tracker.is_available
        await settle()
        assert others() <= before | {starting}
        assert await tracker.initialize()
        assert await tracker.create()
        await tracker.cleanup()


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
        assert all(await asyncio.gather(any_manager.cleanup(), any_manager.cleanup()))
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
        assert all(await asyncio.gather(tracker.cleanup(), tracker.initialize()))
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
        assert global_flags(manager) == (False, False)
        await manager.interrupt_all_sessions()
        assert global_flags(manager) == (True, True)
        await manager.cleanup()
        await manager.initialize()
        assert global_flags(manager) == (False, False)

    @pytest.mark.requirement("M68")
    async def test_the_global_flag_falls_by_itself(self, managers: Managers, clock: ManualClock) -> None:
        manager = await managers({"interrupt_cleanup_delay": 10})
        old = await manager.create_session()
        await clock.advance(1)
        assert await manager.interrupt_all_sessions() == 1
        new = await manager.create_session()
        assert global_flags(manager) == (True, True)
        await clock.advance(9.9)
        assert global_flags(manager) == (True, True)
        await clock.advance(0.2)
        assert global_flags(manager) == (False, False)
        assert old["interrupt_flag"]
        assert not new["interrupt_flag"]


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

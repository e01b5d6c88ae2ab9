"""Metrics, health, status and summary."""

from __future__ import annotations

import pytest

from insession.errors import InsessionError
from insession.tracking import HardwareIDProvider, SessionManager, SessionTracker

from .conftest import Managers


class TestMetrics:
    """`get_metrics` and `reset_metrics`."""

    @pytest.mark.requirement("M47")
    async def test_failures_count(self, managers: Managers) -> None:
        manager = await managers({"max_concurrent_sessions": 6})
        assert manager.get_metrics()["session_tracker"]["success_rate"] == 1.0
        for _ in range(6):
            await manager.create_session()
        for _ in range(2):
            with pytest.raises(InsessionError):
                await manager.create_session()
        metrics = manager.get_metrics()["session_tracker"]
        assert (metrics["total_requests"], metrics["successful_requests"], metrics["failed_requests"]) == (8, 6, 2)
        assert metrics["success_rate"] == 0.75
        assert f"{metrics['success_rate']:.2%}" == "75.00%"
        assert metrics["error_count"] == 2
        assert metrics["last_success"] > 0

    @pytest.mark.requirement("M47", "M72")
    async def test_each_sort_of_failure_counts(self, managers: Managers) -> None:
        manager = await managers()
        tracker = manager.session_tracker
        assert tracker is not None
        live = await manager.create_session(hardware_id="ann")
        for request in (
            5,
            {"hardware_id": 5},
            {"nonsense": 1},
            {"hardware_id": "ann", "context": 5},
            {"hardware_id": "bob", "session_id": live["session_id"]},
            {"hardware_id": "ann", "session_id": "unknown"},
            {},
        ):
            with pytest.raises(InsessionError):
                await anext(tracker.process(request))
        assert await anext(tracker.process({"hardware_id": "ann", "session_id": live["session_id"]})) is live
        metrics = tracker.get_metrics()
        assert (metrics["total_requests"], metrics["failed_requests"]) == (9, 7)
        assert metrics["success_rate"] == pytest.approx(2 / 9)
        assert await tracker.health_check() is True

    @pytest.mark.requirement("M47")
    async def test_the_hardware_ids_too(self, manager: SessionManager) -> None:
        for _ in range(4):
            await manager.get_hardware_id()
        metrics = manager.get_metrics()["hardware_id_provider"]
        assert (metrics["total_requests"], metrics["success_rate"]) == (4, 1.0)
        assert metrics["provider_type"] == "HardwareIDProvider"

    @pytest.mark.requirement("M49")
    async def test_a_reset_zeroes_counters_and_touches_no_session(self, any_manager: SessionManager) -> None:
        lives = [await any_manager.create_session(context={"number": number}) for number in range(3)]
        await any_manager.interrupt_session(lives[0]["session_id"])
        await any_manager.get_hardware_id()
        told = [dict(live) for live in lives]
        any_manager.reset_metrics()
        for metrics in any_manager.get_metrics().values():
            assert (metrics["total_requests"], metrics["failed_requests"], metrics["success_rate"]) == (0, 0, 1.0)
        statistics = any_manager.get_session_statistics()
        assert (statistics["total_sessions"], statistics["interrupted_sessions"]) == (0, 0)
        assert statistics["active_sessions"] == 2
        assert statistics["session_history_count"] == 0 or statistics["session_history_count"] == 1
        assert [dict(live) for live in lives] == told
        assert not lives[1]["interrupt_flag"]
        assert await any_manager.interrupt_session(lives[1]["session_id"])
        assert any_manager.get_session_statistics()["interrupted_sessions"] == 1

    async def test_before_the_start_they_are_zero(self) -> None:
        manager = SessionManager()
        manager.reset_metrics()
        metrics = manager.get_metrics()
        assert set(metrics) == {"hardware_id_provider", "session_tracker"}
        for one in metrics.values():
            assert (one["total_requests"], one["uptime"]) == (0, 0.0)

    async def test_uptime_is_since_the_start(self, manager: SessionManager) -> None:
        assert all(metrics["uptime"] > 0 for metrics in manager.get_metrics().values())
        await manager.cleanup()
        assert all(metrics["uptime"] == 0 for metrics in manager.get_metrics().values())


class TestHealth:
    """`health_check`."""

    @pytest.mark.requirement("M50")
    async def test_of_a_managers_parts(self, manager: SessionManager) -> None:
        parts = (manager.session_tracker, manager.hardware_id_provider)
        for part in parts:
            assert part is not None
            assert await part.health_check() is True
        await manager.cleanup()
        for part in parts:
            assert part is not None
            assert await part.health_check() is False

    @pytest.mark.requirement("M50")
    @pytest.mark.parametrize("provider", [SessionTracker, HardwareIDProvider])
    async def test_of_one_alone(self, provider: type[SessionTracker | HardwareIDProvider]) -> None:
        one = provider()
        assert await one.health_check() is False
        assert await one.initialize() is True
        assert await one.health_check() is True
        assert await one.cleanup() is True
        assert await one.health_check() is False


class TestStatus:
    """`get_status`, `get_summary`, `str` and `repr`."""

    @pytest.mark.requirement("M11")
    async def test_a_status_of_both_parts(self) -> None:
        manager = SessionManager()
        for available in (False, True, False):
            status = manager.get_status()
            assert status["is_initialized"] is available
            for part in ("hardware_id_provider", "session_tracker"):
                assert status[part]["is_available"] is available
                assert isinstance(status[part]["status"], str)
            if available:
                assert status["session_tracker"]["status"] == "running"
                await manager.cleanup()
            else:
                await manager.initialize()
        await manager.cleanup()

    @pytest.mark.requirement("M10")
    async def test_a_summary(self, manager: SessionManager) -> None:
        summary = manager.get_summary()
        assert summary["is_initialized"] is True
        assert summary["hardware_id_available"] is True
        assert summary["session_tracker_available"] is True
        assert summary["config_valid"] is True
        assert summary["session_statistics"] == manager.get_session_statistics()
        assert summary["security_settings"] == manager.get_security_settings()

    @pytest.mark.requirement("M10")
    async def test_texts(self, manager: SessionManager) -> None:
        live = await manager.create_session(hardware_id="device-5f2e-serial", context={"secret": "swordfish"})
        texts = f"{manager} {manager!r} {live} {live!r} {manager.session_tracker!r} {manager.hardware_id_provider!r}"
        assert "<SessionManager initialized>" in texts
        assert live["session_id"] in texts
        assert "device" not in texts
        assert "swordfish" not in texts
        await manager.cleanup()
        assert str(manager) == "<SessionManager not initialized>"

"""What cannot be done is said: raised or logged, with the words of the guide, and never with a secret."""

from __future__ import annotations

from typing import Any

import pytest

from insession.errors import InsessionError, InvalidInput, LimitReached, SessionNotFound
from insession.testing.clock import ManualClock
from insession.tracking import (
    ForeignSession,
    HardwareIDFailed,
    NotInitialized,
    SessionManager,
    SessionTracker,
    TooManySessions,
    TrackingError,
    UnknownSession,
)

from .conftest import Managers

SAID = "SessionManager not initialized"
UNKNOWN = "0123456789abcdef0123456789abcdef"
SECRET = "device-5f2e-serial"
ASYNC: list[tuple[str, tuple[Any, ...]]] = [
    ("get_session_status", (UNKNOWN,)),
    ("touch_session", (UNKNOWN,)),
    ("interrupt_session", (UNKNOWN,)),
    ("interrupt_all_sessions", ()),
    ("get_hardware_id", ()),
    ("wait_ended", (UNKNOWN,)),
    ("statistics", ()),
    ("sessions", ()),
]
RAISE = {"get_hardware_id", "wait_ended", "statistics", "sessions"}
"""They have no answer that would stand for none."""
SYNC = (
    "get_status",
    "get_session_statistics",
    "get_metrics",
    "get_summary",
    "get_security_settings",
    "get_performance_settings",
    "get_tracking_settings",
    "reset_metrics",
)


@pytest.fixture(params=["before", "after"])
async def stopped(request: pytest.FixtureRequest, clock: ManualClock) -> SessionManager:
    """A manager before its start, and after its end."""
    manager = SessionManager(clock=clock)
    if request.param == "after":
        await manager.initialize()
        await manager.create_session()
        await manager.cleanup()
    return manager


class TestNotInitialized:
    """Calls on a manager that does not run."""

    @pytest.mark.requirement("M8")
    async def test_create_session_raises(self, stopped: SessionManager) -> None:
        with pytest.raises(NotInitialized, match=SAID):
            await stopped.create_session()

    @pytest.mark.requirement("M8")
    @pytest.mark.parametrize(("name", "arguments"), ASYNC, ids=[name for name, _ in ASYNC])
    async def test_what_is_awaited_raises_or_logs(
        self, stopped: SessionManager, name: str, arguments: tuple[Any, ...], caplog: pytest.LogCaptureFixture
    ) -> None:
        if name in RAISE:
            with pytest.raises(NotInitialized, match=SAID):
                await getattr(stopped, name)(*arguments)
        else:
            assert not await getattr(stopped, name)(*arguments)
            assert SAID in caplog.text

    @pytest.mark.requirement("M8")
    @pytest.mark.parametrize("name", SYNC)
    async def test_what_answers_at_once_logs(
        self, stopped: SessionManager, name: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        getattr(stopped, name)()
        assert SAID in caplog.text

    @pytest.mark.requirement("M8")
    async def test_work_is_refused(self, stopped: SessionManager) -> None:
        with pytest.raises(NotInitialized, match=SAID):
            stopped.running(UNKNOWN)

    async def test_a_tracker_says_its_own_name(self) -> None:
        tracker = SessionTracker()
        with pytest.raises(NotInitialized, match="SessionTracker not initialized"):
            await anext(tracker.process({"hardware_id": SECRET}))
        with pytest.raises(NotInitialized):
            await tracker.replace_session(UNKNOWN, {})


class TestUnknown:
    """Ids that no session has."""

    @pytest.mark.requirement("M9")
    @pytest.mark.parametrize("session_id", [UNKNOWN, "nope", "", None, 5, [1], {"a": 1}, "x" * 10_000, "a\nb", "é"])
    async def test_it_is_said_and_the_answer_is_falsy(
        self, any_manager: SessionManager, session_id: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        for call in (any_manager.get_session_status, any_manager.interrupt_session, any_manager.touch_session):
            caplog.clear()
            assert not await call(session_id)
            assert "Session not found" in caplog.text

    @pytest.mark.requirement("M9")
    async def test_whoever_needs_a_session_raises(self, any_manager: SessionManager) -> None:
        with pytest.raises(UnknownSession, match="Session not found"):
            await any_manager.wait_ended(UNKNOWN)
        with pytest.raises(UnknownSession, match="Session not found"):
            async with any_manager.running(UNKNOWN):
                pass
        assert any_manager.session_tracker is not None
        with pytest.raises(UnknownSession, match="Session not found"):
            await any_manager.session_tracker.replace_session(UNKNOWN, {})

    @pytest.mark.requirement("M38")
    async def test_a_hardware_id_in_its_place_is_not_shown(
        self, manager: SessionManager, caplog: pytest.LogCaptureFixture
    ) -> None:
        live = await manager.create_session(hardware_id=SECRET)
        mistaken: list[Any] = [SECRET, dict(live), {"hardware_id": SECRET}, [SECRET]]
        for session_id in mistaken:
            assert await manager.get_session_status(session_id) is None
            assert await manager.interrupt_session(session_id) is False
        assert "Session not found" in caplog.text
        assert SECRET[:8] not in caplog.text


class TestBadInput:
    """Arguments that cannot be taken are named, and their values are not shown."""

    @pytest.mark.requirement("M72")
    @pytest.mark.parametrize(
        ("argument", "value"),
        [
            ("hardware_id", 5),
            ("hardware_id", ""),
            ("hardware_id", f"{SECRET}\n"),
            ("hardware_id", SECRET * 100),
            ("hardware_id", [SECRET]),
            ("hardware_id", SECRET.encode()),
            ("hardware_id", f"{SECRET}\ud800"),
            ("user_agent", 5),
            ("user_agent", SECRET.encode()),
            ("user_agent", f"{SECRET}\ud800"),
            ("user_agent", SECRET * 1_000),
            ("context", 5),
            ("context", [(SECRET, 1)]),
            ("context", {"device": object()}),
            ("context", {"device": 10**30}),
            ("context", {"device": "x" * 2_000_000}),
            ("context", {SECRET: {1, object()}}),
            ("ip_address", 5),
            ("ip_address", f"host-{SECRET}"),
        ],
    )
    async def test_it_is_named(self, argument: str, value: object, managers: Managers) -> None:
        manager = await managers({"track_ip_addresses": True})
        with pytest.raises(InvalidInput) as caught:
            await manager.create_session(**{argument: value})  # type: ignore[arg-type]
        assert caught.value.field == argument
        assert str(caught.value).startswith(f"{argument}: ")
        assert SECRET[:8] not in str(caught.value)
        assert manager.get_session_statistics()["active_sessions"] == 0
        await self.is_healthy(manager)

    @pytest.mark.requirement("M72")
    async def test_a_context_without_an_end(self, manager: SessionManager) -> None:
        endless: dict[str, Any] = {}
        endless["self"] = endless
        with pytest.raises(InvalidInput, match="context"):
            await manager.create_session(context=endless)
        await self.is_healthy(manager)

    @pytest.mark.requirement("M72")
    @pytest.mark.parametrize(
        "request_", [5, None, "text", [("hardware_id", SECRET)], {}, {"hardware_idd": SECRET}, {5: 5}]
    )
    async def test_a_request_that_is_none(self, request_: Any, manager: SessionManager) -> None:
        tracker = manager.session_tracker
        assert tracker is not None
        with pytest.raises(InvalidInput) as caught:
            await anext(tracker.process(request_))
        assert SECRET[:8] not in str(caught.value)
        await self.is_healthy(manager)

    async def test_an_unknown_field_of_a_request_is_named_with_the_nearest(self, manager: SessionManager) -> None:
        assert manager.session_tracker is not None
        with pytest.raises(InvalidInput, match="did you mean 'hardware_id'"):
            await anext(manager.session_tracker.process({"hardware_idd": SECRET}))

    @pytest.mark.parametrize("reason", [5, None, "", "a\nb", "x" * 201])
    async def test_a_reason_is_checked_before_anything_stops(
        self, reason: Any, manager: SessionManager, clock: ManualClock
    ) -> None:
        live = await manager.create_session()
        await clock.advance(1)
        for call in (manager.interrupt_all_sessions(reason), manager.interrupt_session(live["session_id"], reason)):
            with pytest.raises(InvalidInput, match="reason"):
                await call
        assert not live["interrupt_flag"]
        assert live["status"] == "active"
        assert manager.get_session_statistics()["global_interrupt_flag"] is False

    @pytest.mark.parametrize("timeout", ["5", -1, float("nan"), True])
    async def test_a_timeout_is_a_number_of_seconds(self, timeout: Any, manager: SessionManager) -> None:
        live = await manager.create_session()
        with pytest.raises(InvalidInput, match="timeout"):
            await manager.wait_ended(live, timeout)

    @staticmethod
    async def is_healthy(manager: SessionManager) -> None:
        assert manager.session_tracker is not None
        assert manager.hardware_id_provider is not None
        for _ in range(3):
            with pytest.raises(InvalidInput):
                await manager.create_session(user_agent=5)  # type: ignore[arg-type]
        assert await manager.session_tracker.health_check() is True
        assert await manager.hardware_id_provider.health_check() is True
        assert manager.get_status()["session_tracker"]["is_available"] is True
        assert await manager.create_session()


class TestTree:
    """The errors and their relations."""

    def test_all_are_ours_and_what_else_they_are(self) -> None:
        for error in (NotInitialized, TooManySessions, HardwareIDFailed, UnknownSession, ForeignSession):
            assert issubclass(error, TrackingError)
            assert issubclass(error, InsessionError)
        assert issubclass(TooManySessions, LimitReached)
        assert issubclass(UnknownSession, SessionNotFound)
        assert issubclass(ForeignSession, PermissionError)

    async def test_the_limit_says_how_many(self, managers: Managers) -> None:
        manager = await managers({"max_concurrent_sessions": 1})
        await manager.create_session()
        with pytest.raises(TooManySessions, match="Maximum concurrent sessions reached") as caught:
            await manager.create_session()
        assert (caught.value.most, caught.value.kind) == (1, "device")

    async def test_no_hardware_id_is_an_error_and_no_text(
        self, managers: Managers, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        manager = await managers({"require_hardware_id": False})
        monkeypatch.setattr(type(manager.hardware_id_provider), "hardware_id", None)
        with pytest.raises(HardwareIDFailed, match="Hardware ID generation failed"):
            await manager.get_hardware_id()

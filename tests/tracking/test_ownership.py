"""Who may read, end and take over a session: its own hardware id, and the server itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from insession.errors import InvalidInput
from insession.testing.clock import ManualClock
from insession.tracking import ForeignSession, LiveSession, SessionManager, SessionTracker

from .conftest import Managers

OWNER, OTHER = "device of ann", "device of bo"
CALLS: dict[str, Callable[[SessionManager, str, str | None], Awaitable[object]]] = {
    "status": lambda manager, session_id, caller: manager.get_session_status(session_id, caller),
    "interrupt": lambda manager, session_id, caller: manager.interrupt_session(session_id, hardware_id=caller),
    "touch": lambda manager, session_id, caller: manager.touch_session(session_id, caller),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.requirement("M64", "M84")
class TestValidated:
    """``validate_session_ownership`` is on, as it is by default."""

    async def test_another_is_refused(self, any_manager: SessionManager, call: str) -> None:
        session = await any_manager.create_session(hardware_id=OWNER)
        with pytest.raises(ForeignSession, match="belongs to another") as caught:
            await CALLS[call](any_manager, session["session_id"], OTHER)
        assert isinstance(caught.value, PermissionError)
        assert OWNER not in str(caught.value)
        assert OTHER not in str(caught.value)
        assert not session["interrupt_flag"]

    @pytest.mark.parametrize("caller", ["", " ", OWNER.upper(), OWNER + "\0", "x" * 10_000])
    async def test_nothing_that_is_like_the_owner_passes(
        self, any_manager: SessionManager, call: str, caller: str
    ) -> None:
        session = await any_manager.create_session(hardware_id=OWNER)
        with pytest.raises((ForeignSession, InvalidInput), match="hardware.id"):
            await CALLS[call](any_manager, session["session_id"], caller)
        assert not session["interrupt_flag"]

    async def test_nor_what_the_store_names_it_by(self, any_manager: SessionManager, call: str) -> None:
        session = await any_manager.create_session(hardware_id=OWNER)
        assert session.record.owner is not None
        with pytest.raises(ForeignSession):
            await CALLS[call](any_manager, session["session_id"], session.record.owner)

    async def test_the_owner_passes(self, any_manager: SessionManager, call: str) -> None:
        session = await any_manager.create_session(hardware_id=OWNER)
        assert await CALLS[call](any_manager, session["session_id"], OWNER)

    async def test_the_server_itself_passes(self, any_manager: SessionManager, call: str) -> None:
        session = await any_manager.create_session(hardware_id=OWNER)
        assert await CALLS[call](any_manager, session["session_id"], None)

    async def test_another_is_refused_after_the_end_too(self, any_manager: SessionManager, call: str) -> None:
        session = await any_manager.create_session(hardware_id=OWNER)
        await any_manager.interrupt_session(session["session_id"])
        with pytest.raises(ForeignSession):
            await CALLS[call](any_manager, session["session_id"], OTHER)

    async def test_a_session_of_nobody_is_the_server_s_own(
        self, managers: Managers, any_store: str | None, monkeypatch: pytest.MonkeyPatch, call: str
    ) -> None:
        manager = await managers({"require_hardware_id": False}, any_store)
        monkeypatch.setattr(manager, "hardware_id_provider", None)
        session = await manager.create_session()
        with pytest.raises(ForeignSession):
            await CALLS[call](manager, session["session_id"], OTHER)
        assert await CALLS[call](manager, session["session_id"], None)


@pytest.mark.requirement("M64", "M84")
@pytest.mark.parametrize("call", CALLS)
async def test_anybody_passes_where_nothing_is_validated(managers: Managers, any_store: str | None, call: str) -> None:
    manager = await managers({"validate_session_ownership": False}, any_store)
    session = await manager.create_session(hardware_id=OWNER)
    assert await CALLS[call](manager, session["session_id"], OTHER)


@pytest.mark.requirement("M64")
async def test_sessions_of_another_process_are_as_closed(managers: Managers, sqlite_url: str) -> None:
    one, other = await managers(store=sqlite_url), await managers(store=sqlite_url)
    session = await one.create_session(hardware_id=OWNER)
    for call in CALLS.values():
        with pytest.raises(ForeignSession):
            await call(other, session["session_id"], OTHER)
    assert (await other.get_session_status(session["session_id"], OWNER) or {})["hardware_id"] == OWNER


async def _taken(tracker: SessionTracker, **request: object) -> LiveSession:
    async for session in tracker.process(request):
        return session
    raise AssertionError("it gave nothing")


@pytest.mark.requirement("M42")
class TestTakenOver:
    """`SessionTracker.process` with a session id."""

    @pytest.fixture
    def tracker(self, any_manager: SessionManager) -> SessionTracker:
        assert any_manager.session_tracker is not None
        return any_manager.session_tracker

    async def test_another_s_is_not_handed_out(self, tracker: SessionTracker) -> None:
        session = await _taken(tracker, hardware_id=OWNER)
        for caller in (OTHER, "", session.record.owner, 7):
            with pytest.raises((ForeignSession, InvalidInput)):
                await _taken(tracker, session_id=session.id, hardware_id=caller)

    async def test_nor_without_a_hardware_id(self, tracker: SessionTracker) -> None:
        session = await _taken(tracker, hardware_id=OWNER)
        with pytest.raises((ForeignSession, InvalidInput)):
            await _taken(tracker, session_id=session.id)

    async def test_a_request_without_a_hardware_id_is_refused(self, tracker: SessionTracker) -> None:
        for request in ({}, {"hardware_id": None}, {"user_agent": "sampled/1.0"}):
            with pytest.raises(InvalidInput) as caught:
                await _taken(tracker, **request)
            assert caught.value.field == "hardware_id"
        assert len(tracker.active_sessions) == 0

    async def test_the_own_one_is(self, tracker: SessionTracker) -> None:
        session = await _taken(tracker, hardware_id=OWNER, context={"step": 1})
        assert await _taken(tracker, session_id=session.id, hardware_id=OWNER) is session
        assert tracker.get_statistics()["total_sessions"] == 1

    async def test_not_even_where_nothing_is_validated(self, clock: ManualClock) -> None:
        tracker = SessionTracker({"validate_session_ownership": False, "require_hardware_id": False}, clock=clock)
        assert await tracker.initialize()
        session = await _taken(tracker, hardware_id=OWNER)
        with pytest.raises(ForeignSession):
            await _taken(tracker, session_id=session.id, hardware_id=OTHER)
        await tracker.cleanup()

"""Sessions are made, read and ended, each by itself, on every store."""

from __future__ import annotations

import asyncio

import pytest

from insession.errors import InvalidInput
from insession.testing.clock import ManualClock
from insession.tracking import LiveSession, SessionManager, SessionTracker, UnknownSession

from .conftest import Managers
from .waiting import until

AGENT = "sampled/1.0"


async def processed(tracker: SessionTracker, **request: object) -> LiveSession:
    """What the tracker's `process` gives, and that it is one."""
    given = [one async for one in tracker.process(request)]
    assert len(given) == 1
    return given[0]


@pytest.mark.requirement("M12")
async def test_every_create_makes_a_session_of_its_own(any_manager: SessionManager) -> None:
    sessions = [await any_manager.create_session(hardware_id="one device") for _ in range(3)]
    sessions += await asyncio.gather(*(any_manager.create_session() for _ in range(3)))
    assert len({session["session_id"] for session in sessions}) == 6
    assert {session["hardware_id"] for session in sessions[:3]} == {"one device"}
    assert {session["hardware_id"] for session in sessions[3:]} == {await any_manager.get_hardware_id()}


@pytest.mark.requirement("M12", "M13")
async def test_the_end_of_one_stream_ends_no_other(any_manager: SessionManager) -> None:
    first, second = [await any_manager.create_session(AGENT) for _ in range(2)]
    assert await any_manager.interrupt_session(first["session_id"], "completed")
    assert first["interrupt_flag"]
    assert not second["interrupt_flag"]
    status = await any_manager.get_session_status(second["session_id"])
    assert status is not None
    assert (status["status"], status["interrupt_reason"]) == ("active", None)


@pytest.mark.requirement("M13")
async def test_an_interrupt_leaves_all_others(any_manager: SessionManager) -> None:
    sessions = [await any_manager.create_session(hardware_id="one device") for _ in range(10)]
    assert await any_manager.interrupt_session(sessions[4]["session_id"])
    assert [session["interrupt_flag"] for session in sessions] == [place == 4 for place in range(10)]
    assert len(await any_manager.sessions()) == 9


@pytest.mark.requirement("M16")
async def test_status_and_statistics_of_an_interrupted_session(any_manager: SessionManager) -> None:
    session, _ = [await any_manager.create_session() for _ in range(2)]
    before = any_manager.get_session_statistics()
    assert await any_manager.interrupt_session(session["session_id"], "stop button")
    status = await any_manager.get_session_status(session["session_id"])
    assert status is not None
    assert (status["status"], status["interrupt_reason"]) == ("interrupted", "stop button")
    assert status["interrupt_flag"] is True
    assert (session["status"], session["interrupt_reason"]) == ("interrupted", "stop button")
    after = any_manager.get_session_statistics()
    assert after["active_sessions"] == before["active_sessions"] - 1
    assert after["interrupted_sessions"] == before["interrupted_sessions"] + 1


@pytest.mark.requirement("M16")
async def test_the_reason_of_a_call_without_one(any_manager: SessionManager) -> None:
    session = await any_manager.create_session()
    await any_manager.interrupt_session(session["session_id"])
    assert session["interrupt_reason"] == "user_request"


@pytest.mark.requirement("M22")
@pytest.mark.parametrize("context", [{"stream": 1}, {}, {"nested": {"list": [1, None, "日本語", 1.5, True]}}])
async def test_the_context_comes_back(any_manager: SessionManager, context: dict[str, object]) -> None:
    session = await any_manager.create_session(AGENT, context=context)
    status = await any_manager.get_session_status(session["session_id"])
    assert status is not None
    assert status["context"] == session["context"] == context


@pytest.mark.requirement("M22")
async def test_a_context_is_what_it_was_at_the_call(any_manager: SessionManager) -> None:
    context = {"step": 1, "list": [1]}
    session = await any_manager.create_session(context=context)
    context["step"] = 2
    session["context"]["list"].append(2)
    assert session["context"] == {"step": 1, "list": [1]}


async def test_a_context_that_cannot_be_kept_is_refused_by_name(any_manager: SessionManager) -> None:
    for context in ({"socket": object()}, "text", {"big": "x" * (2 << 20)}):
        with pytest.raises(InvalidInput) as caught:
            await any_manager.create_session(context=context)  # type: ignore[arg-type]
        assert caught.value.field == "context"
    assert any_manager.get_session_statistics()["active_sessions"] == 0


@pytest.mark.requirement("M14")
async def test_what_process_gives_is_live_too(any_manager: SessionManager) -> None:
    assert any_manager.session_tracker is not None
    session = await processed(any_manager.session_tracker, hardware_id="one device", user_agent=AGENT)
    assert not session["interrupt_flag"]
    await asyncio.create_task(any_manager.interrupt_session(session["session_id"]))
    assert session["interrupt_flag"]


@pytest.mark.requirement("M65")
async def test_no_hardware_id_where_none_is_required(managers: Managers, any_store: str | None) -> None:
    manager = await managers({"require_hardware_id": False}, any_store)
    assert manager.session_tracker is not None
    session = await processed(manager.session_tracker, user_agent=AGENT)
    assert session["hardware_id"] is None
    assert await manager.interrupt_session(session["session_id"])
    assert session["interrupt_flag"]


@pytest.mark.requirement("M65")
async def test_a_machine_without_an_id_where_none_is_required(
    managers: Managers, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = await managers({"require_hardware_id": False})
    monkeypatch.setattr(manager, "hardware_id_provider", None)
    session = await manager.create_session(AGENT)
    assert session["hardware_id"] is None
    assert session["status"] == "active"


@pytest.mark.parametrize("name", ["../../etc/passwd", "", "0" * 10_000, None, 7, [], {}, b"0" * 32])
async def test_a_nonsense_id_is_unknown_and_nothing_else(any_manager: SessionManager, name: object) -> None:
    assert any_manager.session_tracker is not None
    assert await any_manager.get_session_status(name) is None  # type: ignore[arg-type]
    assert await any_manager.interrupt_session(name) is False  # type: ignore[arg-type]
    assert await any_manager.touch_session(name) is False  # type: ignore[arg-type]
    if name is not None:
        with pytest.raises(UnknownSession):
            await processed(any_manager.session_tracker, session_id=name, hardware_id="one device")


async def test_a_touch_after_the_end_is_refused_quietly(any_manager: SessionManager) -> None:
    session = await any_manager.create_session()
    await any_manager.interrupt_session(session["session_id"])
    assert await any_manager.touch_session(session["session_id"]) is False
    assert await any_manager.touch_session(session["session_id"], await any_manager.get_hardware_id()) is False


class TestStore:
    """Which store a manager uses."""

    @pytest.mark.requirement("M92")
    async def test_the_environment_s_where_none_is_given(
        self, sqlite_url: str, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, managers: Managers
    ) -> None:
        monkeypatch.setenv("INSESSION_STORE", sqlite_url)
        sample = SessionManager({"session_timeout": 600}, clock=clock)
        assert await sample.initialize()
        session = await sample.create_session(AGENT)
        other = await managers(store=sqlite_url)
        assert await other.interrupt_session(session["session_id"], "from outside")
        await until(lambda: session["interrupt_flag"])
        assert session["interrupt_reason"] == "from outside"
        assert await sample.cleanup()

    @pytest.mark.requirement("M92")
    async def test_memory_where_the_environment_says_nothing(self, managers: Managers) -> None:
        one, other = await managers(), await managers()
        session = await one.create_session()
        assert await other.get_session_status(session["session_id"]) is None

    @pytest.mark.requirement("M92")
    async def test_the_given_one_before_the_environment_s(
        self, sqlite_url: str, monkeypatch: pytest.MonkeyPatch, managers: Managers
    ) -> None:
        monkeypatch.setenv("INSESSION_STORE", sqlite_url)
        session = await (await managers(store="memory:")).create_session()
        assert await (await managers(store=sqlite_url)).get_session_status(session["session_id"]) is None

    @pytest.mark.requirement("M92")
    async def test_namespaces_of_one_store_see_nothing_of_each_other(self, sqlite_url: str, managers: Managers) -> None:
        config = {"max_concurrent_sessions": 1}
        default, other = await managers(config, sqlite_url), await managers(config, sqlite_url, namespace="other")
        session = await default.create_session()
        same = await managers(config, sqlite_url, namespace="default")
        assert await other.get_session_status(session["session_id"]) is None
        assert (await same.get_session_status(session["session_id"]) or {})["status"] == "active"
        assert (await other.create_session())["status"] == "active"

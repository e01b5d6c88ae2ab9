"""What is kept of users: what the configuration allows, and not a byte more."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from insession.testing.clock import ManualClock
from insession.tracking import SessionManager

from .conftest import Managers

AGENT = "MyClient/7.3 (secret platform)"
ADDRESS = "203.0.113.77"
PEER = f"ipv4:{ADDRESS}:5000"
CONTEXT = {"user": "ann@example.org", "nested": {"list": [1, 2.5, None, True, "é"]}}
DEVICE = "device-of-ann-0001"


async def seen(manager: SessionManager, **arguments: Any) -> dict[str, Any]:
    """What the status says of a session that was created with them."""
    live = await manager.create_session(**arguments)
    status = await manager.get_session_status(live["session_id"])
    assert status is not None
    assert dict(live) == status
    return status


def everything(folder: Path) -> bytes:
    """All bytes that a store keeps."""
    return b"".join(path.read_bytes() for path in sorted(folder.glob("sessions.db*")))


class TestReadBack:
    """What is tracked can be read."""

    @pytest.mark.requirement("M22", "M35")
    async def test_it_comes_back(self, any_manager: SessionManager) -> None:
        status = await seen(any_manager, user_agent=AGENT, context=CONTEXT, hardware_id=DEVICE)
        assert status["context"] == CONTEXT
        assert status["user_agent"] == AGENT
        assert status["hardware_id"] == DEVICE

    @pytest.mark.requirement("M22", "M35")
    async def test_from_another_process_and_after_the_end(self, managers: Managers, sqlite_url: str) -> None:
        one, other = [await managers({"track_ip_addresses": True}, sqlite_url) for _ in range(2)]
        live = await one.create_session(AGENT, PEER, CONTEXT, hardware_id=DEVICE)
        for manager in (other, one):
            status = await manager.get_session_status(live["session_id"])
            assert status is not None
            assert (status["user_agent"], status["ip_address"], status["context"]) == (AGENT, ADDRESS, CONTEXT)
            assert status["hardware_id"] == DEVICE
            await manager.interrupt_session(live["session_id"])

    @pytest.mark.requirement("M22")
    async def test_the_callers_dict_is_copied(self, any_manager: SessionManager) -> None:
        context: dict[str, Any] = {"list": [1], "inner": {"a": 1}}
        live = await any_manager.create_session(context=context)
        context["list"].append(2)
        context["inner"]["a"] = 2
        context["new"] = 3
        status = await any_manager.get_session_status(live["session_id"])
        assert status is not None
        assert status["context"] == live["context"] == {"list": [1], "inner": {"a": 1}}

    @pytest.mark.requirement("M22")
    async def test_what_is_read_is_a_copy(self, any_manager: SessionManager) -> None:
        live = await any_manager.create_session(context={"list": [1]})
        live["context"]["list"].append(2)
        status = await any_manager.get_session_status(live["session_id"])
        assert status is not None
        status["context"]["list"].append(3)
        assert live["context"] == {"list": [1]}

    @pytest.mark.parametrize("context", [None, {}, {"big": "x" * 500_000}, {"": None}, {"a": {"b": {}}}, {"é": 1}])
    async def test_contexts_of_all_sorts(self, context: dict[str, Any] | None, any_manager: SessionManager) -> None:
        assert (await seen(any_manager, context=context))["context"] == (context or {})


class TestAddresses:
    """`track_ip_addresses`."""

    @pytest.mark.requirement("M33")
    @pytest.mark.parametrize("peer", [PEER, ADDRESS, f"{ADDRESS}:80", f"no address, {ADDRESS}"])
    async def test_off_it_is_nowhere(
        self, peer: str, managers: Managers, sqlite_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        manager = await managers({"track_ip_addresses": False}, sqlite_url)
        status = await seen(manager, ip_address=peer, user_agent=AGENT)
        assert status["ip_address"] is None
        await manager.interrupt_session(status["session_id"])
        assert ADDRESS not in repr((status, manager.get_status(), await manager.sessions()))
        await manager.cleanup()
        kept = everything(tmp_path)
        assert AGENT.encode() in kept
        assert ADDRESS.encode() not in kept
        assert ADDRESS not in caplog.text

    @pytest.mark.requirement("M34")
    async def test_on_it_is_kept(self, managers: Managers) -> None:
        manager = await managers({"track_ip_addresses": True})
        assert (await seen(manager, ip_address=PEER))["ip_address"] == ADDRESS

    async def test_on_it_is_not_logged(self, managers: Managers, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG)
        manager = await managers({"track_ip_addresses": True})
        await seen(manager, ip_address=PEER)
        assert ADDRESS not in caplog.text


class TestAgents:
    """`track_user_agents`."""

    @pytest.mark.requirement("M34")
    @pytest.mark.parametrize("tracked", [True, False])
    async def test_kept_or_not(self, tracked: bool, managers: Managers, sqlite_url: str, tmp_path: Path) -> None:
        manager = await managers({"track_user_agents": tracked}, sqlite_url)
        status = await seen(manager, user_agent=AGENT)
        assert status["user_agent"] == (AGENT if tracked else None)
        await manager.cleanup()
        assert (AGENT.encode() in everything(tmp_path)) is tracked

    async def test_empty_and_absent(self, manager: SessionManager) -> None:
        assert (await seen(manager, user_agent=""))["user_agent"] == ""
        assert (await seen(manager))["user_agent"] is None


class TestTimestamps:
    """`track_timestamps`."""

    @pytest.mark.requirement("M36")
    async def test_off_none_is_shown_and_timeouts_go_on(self, managers: Managers, clock: ManualClock) -> None:
        manager = await managers({"track_timestamps": False, "session_timeout": 100})
        status = await seen(manager)
        assert status["created_at"] is None
        assert status["last_activity"] is None
        assert not any(isinstance(value, float) for value in status.values())
        await clock.advance(90)
        assert (await manager.get_session_status(status["session_id"]) or {})["status"] == "active"
        await clock.advance(20)
        ended = await manager.get_session_status(status["session_id"])
        assert ended is not None
        assert ended["status"] == "expired"
        assert ended["last_activity"] is None

    async def test_on_they_are_seconds_since_the_epoch(self, manager: SessionManager, clock: ManualClock) -> None:
        live = await manager.create_session(hardware_id=DEVICE)
        created = clock.now()
        await clock.advance(60)
        status = await manager.get_session_status(live["session_id"], hardware_id=DEVICE)
        assert status is not None
        assert (status["created_at"], status["last_activity"]) == (created, created + 60)


class TestOff:
    """`tracking_enabled: False`."""

    @pytest.mark.requirement("M37")
    async def test_nothing_about_the_user_is_kept(
        self, managers: Managers, sqlite_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        manager = await managers({"tracking_enabled": False, "track_ip_addresses": True}, sqlite_url)
        status = await seen(manager, user_agent=AGENT, ip_address=PEER, context=CONTEXT, hardware_id=DEVICE)
        for name in ("hardware_id", "user_agent", "ip_address", "created_at", "last_activity"):
            assert status[name] is None
        assert status["context"] == {}
        await manager.cleanup()
        kept = everything(tmp_path)
        for secret in (AGENT, ADDRESS, DEVICE, "ann@example.org"):
            assert secret.encode() not in kept
            assert secret not in caplog.text

    @pytest.mark.requirement("M37")
    async def test_sessions_and_interrupts_work(self, managers: Managers, clock: ManualClock) -> None:
        manager = await managers({"tracking_enabled": False, "max_concurrent_sessions": 2, "session_timeout": 100})
        live = await manager.create_session(hardware_id=DEVICE)
        other = await manager.create_session()
        assert await manager.touch_session(live["session_id"], hardware_id=DEVICE)
        with pytest.raises(PermissionError):
            await manager.interrupt_session(live["session_id"], hardware_id="another")
        assert await manager.interrupt_session(live["session_id"], hardware_id=DEVICE)
        assert (live["interrupt_flag"], other["interrupt_flag"]) == (True, False)
        await clock.advance(110)
        assert other["status"] == "expired"

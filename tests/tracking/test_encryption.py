"""``encrypt_session_data``: what is at rest, what the calls give back, and where the key comes from."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from insession.kernel.operations import Load
from insession.stores.memory import MemoryStore
from insession.stores.sealed import Keys
from insession.testing.clock import ManualClock, settle
from insession.tracking import SessionManager

from .conftest import Managers

ON = {"encrypt_session_data": True, "track_ip_addresses": True}
SECRETS = ("the plan of ann", "sampled agent 1.0", "203.0.113.77", "device of ann, in clear")
PLAN, AGENT, ADDRESS, DEVICE = SECRETS


def at_rest(folder: Path, least: int = 2) -> bytes:
    """Everything in the database and the files beside it: while it is open, a write-ahead log at least."""
    files = sorted(folder.glob("sessions.db*"))
    assert len(files) >= least
    return b"".join(file.read_bytes() for file in files)


def open_to_all(folder: Path) -> None:
    """A file of keys with the wrong mode."""
    folder.mkdir(parents=True)
    (folder / "keys").write_text(Keys.generate().text())
    (folder / "keys").chmod(0o644)


async def told(manager: SessionManager, session_id: str) -> tuple[object, ...]:
    status = await manager.get_session_status(session_id)
    assert status is not None
    return status["context"], status["user_agent"], status["ip_address"], status["hardware_id"]


EXPECTED = ({"plan": PLAN}, AGENT, ADDRESS, DEVICE)


async def create(manager: SessionManager) -> str:
    session = await manager.create_session(AGENT, ADDRESS, {"plan": PLAN}, hardware_id=DEVICE)
    return str(session["session_id"])


@pytest.mark.requirement("M63")
async def test_nothing_readable_lies_in_the_file(managers: Managers, sqlite_url: str, tmp_path: Path) -> None:
    manager = await managers(ON, sqlite_url)
    session_id = await create(manager)
    assert manager.session_tracker is not None
    live = manager.session_tracker.active_sessions[session_id]
    await manager.session_tracker.replace_session(session_id, {**live, "context": {"plan": PLAN, "step": 2}})
    content = at_rest(tmp_path)
    assert session_id.encode() in content
    assert [secret for secret in SECRETS if secret.encode() in content] == []
    await manager.interrupt_session(session_id)
    await manager.cleanup()
    content = at_rest(tmp_path, least=1)
    assert [secret for secret in SECRETS if secret.encode() in content] == []


@pytest.mark.requirement("M63")
async def test_without_it_the_same_look_finds_the_context(managers: Managers, sqlite_url: str, tmp_path: Path) -> None:
    await create(await managers({"track_ip_addresses": True}, sqlite_url))
    assert PLAN.encode() in at_rest(tmp_path)


@pytest.mark.requirement("M63", "M93")
async def test_nothing_readable_lies_in_memory(managers: Managers, clock: ManualClock) -> None:
    store = MemoryStore(clock=clock)
    manager = await managers(ON, store)
    session_id = await create(manager)
    (record,) = (await store.apply([Load((session_id,))]))[0].found  # type: ignore[union-attr]
    assert [secret for secret in SECRETS if secret in repr(record)] == []
    assert await told(manager, session_id) == EXPECTED


@pytest.mark.requirement("M63")
async def test_the_calls_read_it_back(managers: Managers, any_store: str | None) -> None:
    manager = await managers(ON, any_store)
    session_id = await create(manager)
    assert await told(manager, session_id) == EXPECTED
    assert (await manager.sessions())[0]["context"] == {"plan": PLAN}
    assert manager.session_tracker is not None
    assert manager.session_tracker.active_sessions[session_id]["context"] == {"plan": PLAN}
    assert await manager.interrupt_session(session_id, hardware_id=DEVICE)
    assert await told(manager, session_id) == EXPECTED


@pytest.mark.requirement("M63")
async def test_limits_ownership_and_interrupts_hold_as_without(
    managers: Managers, any_store: str | None, clock: ManualClock
) -> None:
    manager = await managers(ON | {"max_concurrent_sessions": 2}, any_store)
    session_ids = [await create(manager) for _ in range(2)]
    with pytest.raises(Exception, match="Maximum concurrent sessions reached"):
        await create(manager)
    with pytest.raises(PermissionError):
        await manager.get_session_status(session_ids[0], "device of bo")
    clock.set(clock.now() + 0.001)
    await settle()
    assert await manager.interrupt_all_sessions() == 2


class TestKeys:
    """Where the key comes from."""

    @pytest.mark.requirement("M93")
    async def test_made_once_and_kept_for_the_user_alone(
        self, managers: Managers, sqlite_url: str, state_dir: Path
    ) -> None:
        one = await managers(ON, sqlite_url, durable=True)
        session_id = await create(one)
        await one.cleanup()
        path = state_dir / "keys"
        made = path.read_bytes()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        again = await managers(ON, sqlite_url, durable=True)
        assert path.read_bytes() == made
        assert await told(again, session_id) == EXPECTED

    @pytest.mark.requirement("M93")
    async def test_a_warning_where_others_share_the_store(
        self, managers: Managers, sqlite_url: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        await managers(ON, sqlite_url)
        (warning,) = [record for record in caplog.records if "INSESSION_KEYS" in record.getMessage()]
        assert warning.levelname == "WARNING"
        assert warning.name == "insession.tracking"

    @pytest.mark.requirement("M93")
    async def test_none_in_memory(self, managers: Managers, caplog: pytest.LogCaptureFixture) -> None:
        await managers(ON)
        assert "INSESSION_KEYS" not in caplog.text

    @pytest.mark.requirement("M93")
    async def test_given_ones_are_used_and_no_file_is_made(
        self, managers: Managers, sqlite_url: str, state_dir: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        keys = Keys.generate()
        session_id = await create(await managers(ON, sqlite_url, keys=keys))
        assert await told(await managers(ON, sqlite_url, keys=keys.text()), session_id) == EXPECTED
        assert not (state_dir / "keys").exists()
        assert "INSESSION_KEYS" not in caplog.text

    @pytest.mark.requirement("M93")
    async def test_those_of_the_environment_are(
        self, managers: Managers, sqlite_url: str, state_dir: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        keys = Keys.generate()
        monkeypatch.setenv("INSESSION_KEYS", keys.text())
        session_id = await create(await managers(ON, sqlite_url))
        monkeypatch.delenv("INSESSION_KEYS")
        assert await told(await managers(ON, sqlite_url, keys=keys), session_id) == EXPECTED
        assert not (state_dir / "keys").exists()

    @pytest.mark.requirement("M93")
    async def test_with_others_a_manager_does_not_start(
        self, managers: Managers, sqlite_url: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        await create(await managers(ON, sqlite_url, keys=Keys.generate()))
        assert await SessionManager(ON, sqlite_url, keys=Keys.generate()).initialize() is False
        assert "key 1 of the ring is not the key 1 of this store" in caplog.text

    @pytest.mark.requirement("M93")
    @pytest.mark.parametrize("text", ["", "1:short", "nonsense"])
    async def test_keys_that_cannot_work_are_said_and_not_shown(
        self, sqlite_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, text: str
    ) -> None:
        monkeypatch.setenv("INSESSION_KEYS", text)
        manager = SessionManager(ON, sqlite_url)
        assert await manager.initialize() is False
        assert "INSESSION_KEYS" in caplog.text
        assert not text or text not in caplog.text

    @pytest.mark.requirement("M93")
    @pytest.mark.skipif(os.name != "posix", reason="modes of files are POSIX's")
    async def test_a_file_that_others_can_read_is_refused(
        self, sqlite_url: str, state_dir: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        open_to_all(state_dir)
        assert await SessionManager(ON, sqlite_url).initialize() is False
        assert "chmod 600" in caplog.text

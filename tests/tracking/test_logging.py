"""What is logged, where, and what never is."""

from __future__ import annotations

import logging

import pytest

from insession.testing.clock import ManualClock
from insession.tracking import ForeignSession, SessionManager
from insession.tracking.logs import NAME

from .conftest import Managers

DEVICE = "QzT7bWk2-device-of-ann"


@pytest.fixture(autouse=True)
def _everything(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)


def said(caplog: pytest.LogCaptureFixture) -> str:
    """All that any logger said, with what could be shown of a record besides its message."""
    return caplog.text + repr([(record.msg, record.args) for record in caplog.records])


class TestHardwareIds:
    """`log_hardware_ids`."""

    @pytest.mark.requirement("M38")
    async def test_off_no_record_has_an_id_or_its_beginning(
        self, managers: Managers, clock: ManualClock, caplog: pytest.LogCaptureFixture
    ) -> None:
        manager = await managers({"log_level": "DEBUG"})
        own = await manager.get_hardware_id()
        await manager.create_session()
        live = await manager.create_session(hardware_id=DEVICE)
        with pytest.raises(ForeignSession) as caught:
            await manager.get_session_status(live["session_id"], hardware_id=own)
        await manager.get_session_status(live["session_id"], hardware_id=DEVICE)
        await manager.get_session_status(DEVICE)
        await manager.interrupt_session(live["session_id"], hardware_id=DEVICE)
        await clock.advance(5_000)
        await manager.create_session(hardware_id=DEVICE)
        await manager.cleanup()
        for text in (said(caplog), str(caught.value)):
            assert DEVICE[:6] not in text
            assert own[:6] not in text
        assert live["session_id"] in caplog.text

    @pytest.mark.requirement("M38")
    async def test_on_it_is_there(self, managers: Managers, caplog: pytest.LogCaptureFixture) -> None:
        manager = await managers({"log_hardware_ids": True})
        await manager.create_session(hardware_id=DEVICE)
        assert DEVICE in caplog.text

    async def test_off_clients_can_still_be_told_apart(
        self, managers: Managers, caplog: pytest.LogCaptureFixture
    ) -> None:
        manager = await managers()
        for device in ("ann", "bob", "ann"):
            await manager.create_session(hardware_id=device)
        ann, bob, again = [text.rpartition(" ")[2] for text in caplog.messages if "created for client" in text]
        assert ann == again != bob


class TestSwitches:
    """`log_sessions` and `log_interrupts`."""

    @pytest.mark.requirement("M39")
    @pytest.mark.parametrize("sessions", [True, False])
    @pytest.mark.parametrize("interrupts", [True, False])
    async def test_each_switches_its_records(
        self, sessions: bool, interrupts: bool, managers: Managers, clock: ManualClock, caplog: pytest.LogCaptureFixture
    ) -> None:
        manager = await managers({"log_sessions": sessions, "log_interrupts": interrupts})
        lives = [await manager.create_session() for _ in range(4)]
        await manager.interrupt_session(lives[0]["session_id"], "completed")
        await manager.interrupt_session(lives[1]["session_id"], "by hand")
        await clock.advance(1)
        await manager.interrupt_all_sessions("all of them")
        await manager.create_session()
        await clock.advance(5_000)
        text = "\n".join(caplog.messages)
        for part in ("created", "closed: completed", "expired"):
            assert (part in text) is sessions, part
        for part in ("interrupted: by hand", "interrupted: all of them", "2 sessions interrupted"):
            assert (part in text) is interrupts, part


class TestLogger:
    """The logger and its level."""

    @pytest.mark.requirement("M41", "M85")
    async def test_all_records_go_to_one_logger(
        self, managers: Managers, clock: ManualClock, caplog: pytest.LogCaptureFixture
    ) -> None:
        assert NAME == "insession.tracking"
        assert not await SessionManager({"session_timeout": 0}).initialize()
        manager = await managers()
        live = await manager.create_session()
        await manager.get_session_status("unknown")
        await manager.interrupt_session(live["session_id"])
        await manager.cleanup()
        assert await manager.get_session_status("unknown") is None
        assert {record.name for record in caplog.records if record.name != "asyncio"} == {"insession.tracking"}

    @pytest.mark.requirement("M40")
    @pytest.mark.parametrize("level", ["DEBUG", "info", "WARNING", "Error", "CRITICAL"])
    async def test_a_given_level_is_the_loggers(self, level: str, managers: Managers) -> None:
        await managers({"log_level": level})
        assert logging.getLogger(NAME).level == logging.getLevelNamesMapping()[level.upper()]

    @pytest.mark.requirement("M40")
    async def test_the_level_holds_records_back(self, managers: Managers, caplog: pytest.LogCaptureFixture) -> None:
        manager = await managers({"log_level": "ERROR"})
        live = await manager.create_session()
        await manager.interrupt_session(live["session_id"])
        assert caplog.messages == []
        await manager.cleanup()
        manager.update_config({"log_level": "INFO"})
        await manager.initialize()
        await manager.create_session()
        assert "created" in caplog.text

    @pytest.mark.requirement("M85")
    @pytest.mark.parametrize("before", [logging.NOTSET, logging.DEBUG, logging.CRITICAL])
    async def test_without_one_the_level_is_left_alone(self, before: int, managers: Managers) -> None:
        logging.getLogger(NAME).setLevel(before)
        await managers({"session_timeout": 60})
        assert logging.getLogger(NAME).level == before

    @pytest.mark.requirement("M85")
    async def test_the_root_decides_by_default(self, managers: Managers, caplog: pytest.LogCaptureFixture) -> None:
        # As `basicConfig(level=DEBUG)` sets it.
        logging.getLogger(NAME).setLevel(logging.NOTSET)
        await managers()
        assert logging.getLogger(NAME).getEffectiveLevel() == logging.DEBUG
        caplog.set_level(logging.ERROR)
        assert logging.getLogger(NAME).getEffectiveLevel() == logging.ERROR

    async def test_a_start_that_fails_changes_no_level(self) -> None:
        before = logging.getLogger(NAME).level
        assert not await SessionManager({"log_level": "DEBUG", "session_timeout": 0}).initialize()
        assert logging.getLogger(NAME).level == before

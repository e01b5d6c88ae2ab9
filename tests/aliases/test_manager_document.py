"""Every sample of the session management module's guide, run with its lines unchanged, in memory and on SQLite."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from insession.tracking import NotInitialized, SessionManagementConfig, SessionManager
from tests.programs import ROOT, run

from .sampled import Samples

Printed = Callable[[], dict[str, str]]
PROGRAM = """
import asyncio, json, sys
from tests.aliases.sampled import Samples

async def main():
    samples = Samples("manager")
    for name in json.loads(sys.argv[1]):
        await samples.run(name)

asyncio.run(main())
"""
ALPHABET = "[A-Za-z0-9]"
STREAMS = Path(__file__).with_name("test_manager_streams.py")


@pytest.fixture
async def manager(samples: Samples) -> AsyncIterator[Any]:
    """An initialized manager, which the samples know by that name."""
    made = samples.names["manager"] = SessionManager(samples.names["config"])
    assert await made.initialize()
    yield made
    await made.cleanup()


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> Printed:
    """What was printed since, by what stands before the colon."""

    def lines() -> dict[str, str]:
        return dict(line.split(": ", 1) for line in capsys.readouterr().out.splitlines())

    return lines


def test_every_sample_is_run() -> None:
    tests = "".join(file.read_text() for file in (Path(__file__), Path(__file__).with_name("conftest.py"), STREAMS))
    names = {file.stem.partition("_")[2] for file in Samples("manager").files}
    assert len(names) == 24
    assert names == set(re.findall(r'(?:samples\.run\(|SAMPLE = )"(\w+)"', tests))


class TestConfiguration:
    async def test_the_short_one(self, samples: Samples) -> None:
        config = SessionManagementConfig(samples.names["config"])
        assert config.problems() == []
        assert {key: config[key] for key in samples.names["config"]} == samples.names["config"]

    @pytest.mark.requirement("M43")
    async def test_the_full_one_is_valid(self, samples: Samples, printed: Printed) -> None:
        given = (await samples.run("full_configuration"))["config"]
        assert len(given) == 24
        bound = await samples.run("validation", your_config=given)
        assert bound["config"].problems() == []

    @pytest.mark.parametrize(
        ("given", "said"),
        [
            ({}, "Configuration is valid"),
            ({"session_timeout": 0}, "Configuration validation failed"),
            ({"max_sessions": 7}, "Configuration validation failed"),
        ],
    )
    async def test_what_is_said_of_it(
        self, samples: Samples, capsys: pytest.CaptureFixture[str], given: dict[str, Any], said: str
    ) -> None:
        await samples.run("validation", your_config=given)
        assert capsys.readouterr().out == f"{said}\n"


class TestUse:
    @pytest.mark.requirement("M70")
    async def test_from_start_to_end(self, samples: Samples, folder: Path, printed: Printed) -> None:
        bound = await samples.run("basic_use")
        said = printed()
        assert said.keys() == {"Session created", "Hardware ID"}
        assert said["Session created"] == bound["session_data"]["session_id"]
        assert re.fullmatch(f"{ALPHABET}{{32}}", said["Hardware ID"])
        assert (folder / "hardware_id.cache").exists()
        assert not bound["manager"].is_initialized
        assert bound["session_data"]["interrupt_flag"]

    @pytest.mark.requirement("M16", "M17")
    async def test_sessions(self, samples: Samples, manager: Any, capsys: pytest.CaptureFixture[str]) -> None:
        live = [await manager.create_session(user_agent=f"agent {number}") for number in range(3)]
        bound = await samples.run("sessions", session_id=live[0]["session_id"])
        assert capsys.readouterr().out.splitlines() == [
            "Session status: active",
            f"Last activity: {bound['status']['last_activity']}",
            "Session interrupted: True",
            "Interrupted 2 sessions",
        ]
        assert isinstance(bound["status"]["last_activity"], float)
        assert all(one["interrupt_flag"] for one in live)
        status = await manager.get_session_status(live[0]["session_id"])
        assert (status["status"], status["interrupt_reason"]) == ("interrupted", "user_request")
        statistics = manager.get_session_statistics()
        assert (statistics["active_sessions"], statistics["interrupted_sessions"]) == (0, 3)

    @pytest.mark.requirement("M51")
    async def test_the_hardware_id(self, samples: Samples, manager: Any, folder: Path, printed: Printed) -> None:
        first = (await samples.run("hardware_id"))["hardware_id"]
        assert (folder / "hardware_id.cache").exists()
        assert printed() == {"Hardware ID": first}
        assert await manager.get_hardware_id() == first
        await manager.cleanup()
        assert await manager.initialize()
        assert (await samples.run("hardware_id"))["hardware_id"] == first

    @pytest.mark.requirement("M54")
    async def test_another_hardware_id(self, samples: Samples, manager: Any) -> None:
        before = await manager.get_hardware_id()
        bound = await samples.run("regeneration")
        assert bound["success"] is True
        assert manager.is_initialized
        after = await manager.get_hardware_id()
        assert re.fullmatch(f"{ALPHABET}{{32}}", after)
        assert after != before


class TestMonitoring:
    @pytest.mark.requirement("M11")
    async def test_the_status(self, samples: Samples, manager: Any, printed: Printed) -> None:
        right = {"Initialized": "True", "Hardware ID available": "True", "Session tracker available": "True"}
        await samples.run("manager_status")
        assert printed() == right

    @pytest.mark.requirement("M46")
    async def test_statistics(self, samples: Samples, manager: Any, printed: Printed) -> None:
        live = [await manager.create_session() for _ in range(3)]
        await manager.interrupt_session(live[0]["session_id"])
        await samples.run("statistics")
        assert printed() == {
            "Active sessions": "2",
            "Total sessions": "3",
            "Interrupted sessions": "1",
            "Global interrupt flag": "False",
        }
        await samples.run("performance")
        printed()
        await samples.run("performance_figures")
        said = printed()
        assert said.keys() == {"Active sessions", "Session history", "Cleanup batch size"}
        assert (said["Active sessions"], said["Cleanup batch size"]) == ("2", "50")
        assert said["Session history"].isdecimal()

    async def test_metrics(self, samples: Samples, manager: Any, printed: Printed) -> None:
        await manager.create_session()
        await manager.get_hardware_id()
        bound = await samples.run("metrics")
        said = printed()
        assert said == {"Hardware ID requests": "1", "Session requests": "1", "Success rate": "100.00%"}
        assert bound["tracker_metrics"]["success_rate"] == 1.0

    async def test_diagnosis(self, samples: Samples, manager: Any, printed: Printed) -> None:
        await samples.run("diagnosis")
        assert printed() == {
            "Hardware ID status": "running",
            "Session tracker status": "running",
            "Active sessions": "0",
            "Global interrupt": "False",
            "Hardware ID healthy": "True",
            "Session tracker healthy": "True",
        }

    async def test_settings(self, samples: Samples, manager: Any, printed: Printed) -> None:
        await samples.run("security")
        assert printed() == {
            "Require Hardware ID": "True",
            "Validate session ownership": "True",
            "Encrypt session data": "False",
            "Track IP addresses": "False",
            "Log Hardware IDs": "False",
        }
        await samples.run("performance")
        assert printed() == {
            "Max concurrent sessions": "100",
            "Session timeout": "3600",
            "Cleanup interval": "300",
            "Heartbeat interval": "30",
        }

    async def test_commands(self, samples: Samples, manager: Any, capsys: pytest.CaptureFixture[str]) -> None:
        live = await manager.create_session()
        bound = await samples.run("commands")
        assert capsys.readouterr().out.strip() == str(bound["summary"])
        assert bound["summary"]["is_initialized"] is True
        assert manager.get_metrics()["session_tracker"]["total_requests"] == 0
        assert bound["security"] == manager.get_security_settings()
        assert bound["performance"]["cleanup_batch_size"] == 50
        assert bound["tracking"]["track_user_agents"] is True
        assert (await manager.get_session_status(live["session_id"]))["status"] == "active"


class TestErrors:
    async def test_a_session_is_created(self, samples: Samples, manager: Any, printed: Printed) -> None:
        bound = await samples.run("creation_errors")
        assert printed() == {"Session created": bound["session_data"]["session_id"]}

    @pytest.mark.requirement("M23")
    async def test_too_many(self, samples: Samples, manager: Any, caplog: pytest.LogCaptureFixture) -> None:
        manager.update_config({"max_concurrent_sessions": 2})
        await manager.cleanup()
        assert await manager.initialize()
        for _ in range(3):
            await samples.run("creation_errors")
        assert "Session creation error: Maximum concurrent sessions reached" in caplog.text

    async def test_not_initialized(self, samples: Samples, manager: Any, caplog: pytest.LogCaptureFixture) -> None:
        await manager.cleanup()
        await samples.run("creation_errors")
        assert "Session creation error: SessionManager not initialized" in caplog.text

    async def test_interrupts(self, samples: Samples, manager: Any, caplog: pytest.LogCaptureFixture) -> None:
        async def works() -> str:
            return "done"

        async def cancelled() -> None:
            raise asyncio.CancelledError

        caplog.set_level(logging.INFO, "program")
        assert (await samples.run("interrupts", some_operation=works, asyncio=asyncio))["result"] == "done"
        await samples.run("interrupts", some_operation=cancelled)
        assert "Operation cancelled" in caplog.text
        await manager.interrupt_all_sessions("enough")
        await samples.run("interrupts", some_operation=works)
        assert "Operation error: Global interrupt active" in caplog.text


class TestProvidersAlone:
    @pytest.mark.requirement("M57")
    async def test_the_hardware_id(self, samples: Samples, folder: Path) -> None:
        bound = await samples.run("hardware_id_provider")
        assert re.fullmatch(f"{ALPHABET}{{16}}", bound["hardware_id"])
        assert (folder / "test.cache").exists()
        assert [one async for one in bound["provider"].process(None)] == [bound["hardware_id"]]
        assert await bound["provider"].cleanup()
        with pytest.raises(NotInitialized, match="not initialized"):
            await anext(bound["provider"].process(None))

    @pytest.mark.requirement("M57")
    async def test_the_tracker(self, samples: Samples) -> None:
        bound = await samples.run("session_tracker")
        assert bound["session_result"]["hardware_id"] == "test-hardware-id"
        assert bound["session_result"]["user_agent"] == "Test Agent"
        others = [one async for one in bound["tracker"].process(bound["session_data"])]
        assert len(others) == 1
        assert others[0]["session_id"] != bound["session_result"]["session_id"]
        assert await bound["tracker"].cleanup()
        with pytest.raises(NotInitialized, match="not initialized"):
            await anext(bound["tracker"].process(bound["session_data"]))


@pytest.mark.requirement("M62")
async def test_migration(samples: Samples, manager: Any) -> None:
    live = {one["session_id"]: one for one in [await manager.create_session(context={"n": n}) for n in range(3)]}
    migrated = []

    def migrate_session_data(session: Any) -> dict[str, Any]:
        migrated.append(session["session_id"])
        return {**session, "context": session["context"] | {"format": 2}}

    bound = await samples.run("migration", migrate_session_data=migrate_session_data)
    assert set(migrated) == set(live)
    assert bound["session_id"] in live
    assert bound["new_session"]["context"]["format"] == 2


class TestPrograms:
    """Samples as a program of its own, with nothing of ours in it but how it is started."""

    SAMPLE = "logging"

    @pytest.fixture
    def program(self, tmp_path: Path, environ: dict[str, str]) -> Callable[..., Any]:
        (tmp_path / "program.py").write_text(PROGRAM)
        command = (sys.executable, "-W", "error", "-m", "insession.aliases", "run", "program.py")
        paths = environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'src'}"}
        return lambda *names: run(*command, json.dumps(names), cwd=tmp_path, environ=paths)

    @pytest.mark.processes
    @pytest.mark.requirement("M41", "M85")
    def test_records_go_to_the_documented_logger(self, program: Callable[..., Any]) -> None:
        done = program(self.SAMPLE, "configuration", "basic_use")
        assert done.returncode == 0, done.stderr
        records = re.findall(r"^([A-Z]+):([\w.]+):(.*)$", done.stderr, re.MULTILINE)
        assert {name for _, name, _ in records if name.startswith(("insession.tracking", "modules"))} == {
            "modules.session_management"
        }
        said = dict(line.split(": ", 1) for line in done.stdout.splitlines())
        assert any(said["Session created"] in text for _, _, text in records)
        assert said["Hardware ID"] not in done.stderr

    @pytest.mark.processes
    @pytest.mark.requirement("M51")
    def test_two_runs_are_one_machine(self, program: Callable[..., Any]) -> None:
        runs = [program("configuration", "basic_use").stdout.splitlines() for _ in range(2)]
        assert runs[0][1] == runs[1][1]
        assert runs[0][0] != runs[1][0]

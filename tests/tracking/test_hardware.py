"""The hardware id provider, on real files and in real processes."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import stat
import string
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from insession.tracking.errors import HardwareIDFailed, NotInitialized
from insession.tracking.hardware import HardwareIDProvider
from insession.tracking.provider import Provider

LETTERS = string.ascii_letters + string.digits
DIGITS = "0123456789"
FAILED = "Hardware ID generation failed"
# Says "ready" and an id for each line that it reads: a file of machine facts ("-" for none) and a configuration.
PROGRAM = """
import asyncio, json, logging, sys
from pathlib import Path
from insession.tracking.hardware import HardwareIDProvider

logging.basicConfig(level=logging.ERROR)

async def one(facts, config):
    files = [] if facts is None else [Path(facts)]
    provider = HardwareIDProvider(config, machine_id_files=files)
    return provider.hardware_id if await provider.initialize() else None

asyncio.run(one(None, {"cache_file": "/dev/null/warm", "require_hardware_id": False}))
print("ready", flush=True)
for line in sys.stdin:
    print(json.dumps(asyncio.run(one(*json.loads(line)))), flush=True)
"""


class Machine:
    """A machine that a test makes up: its folder, its machine id file, its processes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cache = folder / "hardware_id.cache"
        self.facts = folder / "machine-id"
        self.facts.write_text("3f1c0a9b5e7d4c2a8b6f1e0d9c8b7a65\n")

    def provider(self, **config: Any) -> HardwareIDProvider:
        return HardwareIDProvider({"cache_file": str(self.cache)} | config, machine_id_files=[self.facts])

    async def hardware_id(self, **config: Any) -> str:
        """The id that a fresh start gives out."""
        return await asked(await started(self.provider(**config)))

    @contextlib.contextmanager
    def processes(self, count: int) -> Iterator[list[subprocess.Popen[str]]]:
        command = [sys.executable, "-W", "error", "-c", PROGRAM]
        environ = {name: value for name, value in os.environ.items() if not name.startswith("INSESSION_")}
        running = [
            subprocess.Popen(
                command, cwd=self.folder, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            for _ in range(count)
        ]
        try:
            assert [said(one) for one in running] == ["ready"] * count
            yield running
        finally:
            for one in running:
                one.communicate(timeout=20)

    def together(self, running: list[subprocess.Popen[str]], *, facts: bool, **config: Any) -> list[str | None]:
        """What each process says, when all are asked at one moment."""
        asking = json.dumps([str(self.facts) if facts else None, {"cache_file": str(self.cache)} | config])
        for one in running:
            assert one.stdin is not None
            one.stdin.write(asking + "\n")
            one.stdin.flush()
        return [json.loads(said(one)) for one in running]


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


async def started(provider: HardwareIDProvider) -> HardwareIDProvider:
    assert await provider.initialize() is True
    return provider


async def asked(provider: HardwareIDProvider) -> str:
    found = [one async for one in provider.process(None)]
    assert len(found) == 1
    assert found[0] is not None
    assert found[0] == provider.hardware_id
    return found[0]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.delenv("INSESSION_HARDWARE_ID", raising=False)
    monkeypatch.chdir(tmp_path)
    return Machine(tmp_path)


class TestMade:
    """The id is made, kept, and the same afterwards."""

    @pytest.mark.requirement("M51")
    async def test_once_and_the_same_after_a_restart(self, machine: Machine) -> None:
        provider = machine.provider()
        assert not machine.cache.exists()
        first = await asked(await started(provider))
        assert await asked(provider) == first
        assert machine.cache.exists()
        assert await provider.cleanup()
        assert await asked(await started(provider)) == first
        # What is kept goes before what the machine says now.
        machine.facts.write_text("1" * 32)
        assert await machine.hardware_id() == first
        machine.facts.unlink()
        assert await machine.hardware_id() == first

    @pytest.mark.requirement("M52")
    @pytest.mark.parametrize("length", [8, 16, 32, 64])
    @pytest.mark.parametrize("charset", [LETTERS, DIGITS, "aabbccddeeffgghhiijj", "абвгдежзийк"])
    async def test_length_and_alphabet(self, machine: Machine, length: int, charset: str) -> None:
        made = await machine.hardware_id(length=length, charset=charset)
        assert len(made) == length
        assert set(made) <= set(charset)
        machine.cache.unlink()
        assert await machine.hardware_id(length=length, charset="".join(dict.fromkeys(charset))) == made

    @pytest.mark.requirement("M52")
    async def test_the_document_s_sample(self, machine: Machine) -> None:
        provider = HardwareIDProvider({"cache_file": "test.cache", "length": 16})
        await provider.initialize()
        hardware_id = None
        async for result in provider.process(None):
            hardware_id = result
            break
        assert hardware_id is not None
        assert len(hardware_id) == 16
        assert (machine.folder / "test.cache").exists()

    @pytest.mark.requirement("M53")
    @pytest.mark.processes
    def test_two_fresh_processes_without_a_shared_cache_agree(self, machine: Machine) -> None:
        with machine.processes(1) as running:
            [first] = machine.together(running, facts=True)
        machine.cache = machine.folder / "another.cache"
        with machine.processes(1) as running:
            [second] = machine.together(running, facts=True)
        assert first == second is not None
        machine.facts.write_text("1" * 32)
        machine.cache.unlink()
        with machine.processes(1) as running:
            assert machine.together(running, facts=True) != [first]

    @pytest.mark.parametrize("damaged", [False, True])
    @pytest.mark.processes
    def test_processes_that_start_together_without_facts_agree(self, machine: Machine, damaged: bool) -> None:
        """Nothing tells this machine: only the one file can make them agree."""
        seen = set()
        with machine.processes(3) as running:
            for turn in range(20):
                machine.cache = machine.folder / f"{turn}.cache"
                if damaged:
                    machine.cache.write_text("!" * 32)
                agreed = set(machine.together(running, facts=False))
                assert len(agreed) == 1
                seen |= agreed
        assert None not in seen
        assert len(seen) == 20

    async def test_another_application_has_another_id(self, machine: Machine) -> None:
        first = await machine.hardware_id(app="first")
        assert await machine.hardware_id(app="second") != first
        assert await machine.hardware_id(app="first") == first

    async def test_other_settings_make_it_anew_and_keep_the_salt(self, machine: Machine) -> None:
        assert machine.provider().regenerate_hardware_id()
        salted = await machine.hardware_id()
        digits = await machine.hardware_id(charset=DIGITS)
        assert set(digits) <= set(DIGITS)
        assert len(await machine.hardware_id(length=9)) == 9
        assert await machine.hardware_id() == salted

    async def test_a_file_that_is_not_named_lies_in_the_state_folder(
        self, machine: Machine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        state = machine.folder / "state"
        monkeypatch.setenv("INSESSION_STATE_DIR", str(state))
        await started(HardwareIDProvider(machine_id_files=[machine.facts]))
        assert [one.name for one in state.iterdir()] == ["hardware_id.cache"]
        assert stat.S_IMODE(state.stat().st_mode) == 0o700

    @pytest.mark.requirement("M83")
    async def test_a_named_file_is_relative_to_the_working_directory(
        self, machine: Machine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        state, other = machine.folder / "state", machine.folder / "other"
        other.mkdir()
        monkeypatch.setenv("INSESSION_STATE_DIR", str(state))
        provider = await started(machine.provider(cache_file="mine.cache"))
        before = await asked(provider)
        assert (machine.folder / "mine.cache").exists()
        assert not state.exists()
        monkeypatch.chdir(other)
        assert provider.regenerate_hardware_id()
        assert not list(other.iterdir())
        await provider.cleanup()
        assert await asked(await started(provider)) != before

    @pytest.mark.requirement("M73")
    async def test_the_file_is_for_this_user_alone(self, machine: Machine) -> None:
        provider = await started(machine.provider())
        assert stat.S_IMODE(machine.cache.stat().st_mode) == 0o600
        assert provider.regenerate_hardware_id()
        assert stat.S_IMODE(machine.cache.stat().st_mode) == 0o600
        assert {one.name for one in machine.folder.iterdir()} == {"hardware_id.cache", "machine-id"}


class TestSources:
    """Where an id is from."""

    async def test_a_setting_is_given_out_as_it_is(self, machine: Machine) -> None:
        provider = await started(machine.provider(hardware_id="12345678", length=8))
        assert await asked(provider) == "12345678"
        assert provider.get_status()["source"] == "setting"
        assert not machine.cache.exists()
        assert not provider.regenerate_hardware_id()

    async def test_the_environment_seeds_an_id(self, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
        plain = await machine.hardware_id()
        monkeypatch.setenv("INSESSION_HARDWARE_ID", "1f6b0c3e-pod")
        provider = await started(machine.provider())
        first = await asked(provider)
        assert provider.get_status()["source"] == "environment"
        assert len(first) == 32
        assert "pod" not in first
        machine.cache.unlink()
        assert await machine.hardware_id() == first != plain
        monkeypatch.setenv("INSESSION_HARDWARE_ID", first)
        assert await machine.hardware_id() not in {first, plain}
        monkeypatch.delenv("INSESSION_HARDWARE_ID")
        assert await machine.hardware_id() == plain

    async def test_the_machine_id(self, machine: Machine) -> None:
        for _ in range(2):
            provider = await started(machine.provider())
            status = provider.get_status()
            assert (status["source"], status["has_cached_id"]) == ("machine-id", True)

    async def test_a_random_one_with_a_warning(self, machine: Machine, caplog: pytest.LogCaptureFixture) -> None:
        machine.facts.write_text("uninitialized\n")
        provider = await started(machine.provider())
        first = await asked(provider)
        assert provider.get_status()["source"] == "random"
        assert "lost with" in caplog.text
        assert await machine.hardware_id() == first
        machine.cache.unlink()
        assert await machine.hardware_id() != first


class TestRegenerated:
    """A new id on demand."""

    @pytest.mark.requirement("M54")
    @pytest.mark.parametrize("facts", [True, False])
    async def test_after_the_restart(self, machine: Machine, facts: bool) -> None:
        if not facts:
            machine.facts.unlink()
        provider = await started(machine.provider())
        seen = {await asked(provider)}
        for turn in range(1, 4):
            before = await asked(provider)
            assert provider.regenerate_hardware_id() is True
            assert await provider.initialize()
            assert await asked(provider) == before  # it takes effect after a cleanup
            await provider.cleanup()
            seen.add(await asked(await started(provider)))
            assert len(seen) == turn + 1
        assert await machine.hardware_id() == await asked(provider)

    async def test_not_where_the_cache_cannot_be_written(
        self, machine: Machine, caplog: pytest.LogCaptureFixture
    ) -> None:
        machine.cache.mkdir()
        provider = await started(machine.provider())
        caplog.clear()
        assert provider.regenerate_hardware_id() is False
        assert "no new hardware id" in caplog.text
        assert provider.hardware_id is not None


class TestDamaged:
    """A cache that is not as it was written."""

    @pytest.mark.requirement("M55")
    @pytest.mark.parametrize("content", [b"!" * 32, b"a" * 32, b"", b"{}", b"\xff" * 100])
    async def test_is_not_believed(self, machine: Machine, content: bytes, caplog: pytest.LogCaptureFixture) -> None:
        first = await machine.hardware_id()
        machine.cache.write_bytes(content)
        provider = await started(machine.provider())
        assert await asked(provider) == first
        assert "is not believed" in caplog.text
        assert await provider.health_check()
        caplog.clear()
        assert await machine.hardware_id() == first
        assert not caplog.records

    @pytest.mark.requirement("M55")
    async def test_an_id_that_was_exchanged_is_not_believed(self, machine: Machine) -> None:
        first = await machine.hardware_id()
        machine.cache.write_bytes(machine.cache.read_bytes().replace(first.encode(), b"a" * 32))
        assert await machine.hardware_id() == first

    @pytest.mark.requirement("M55")
    async def test_a_random_one_is_lost(self, machine: Machine, caplog: pytest.LogCaptureFixture) -> None:
        machine.facts.unlink()
        first = await machine.hardware_id()
        machine.cache.write_bytes(b"!" * 32)
        again = await machine.hardware_id()
        assert again not in {first, "!" * 32}
        assert "made anew" in caplog.text
        assert await machine.hardware_id() == again


def _a_folder(machine: Machine) -> Path:
    machine.cache.mkdir()
    return machine.cache


def _below_a_file(machine: Machine) -> Path:
    (machine.folder / "file").touch()
    return machine.folder / "file" / "cache"


def _a_link(machine: Machine) -> Path:
    machine.cache.symlink_to(machine.folder / "elsewhere")
    return machine.cache


def _a_pipe(machine: Machine) -> Path:
    os.mkfifo(machine.cache)
    return machine.cache


def _too_long(machine: Machine) -> Path:
    return machine.folder / ("a" * 300)


@pytest.mark.parametrize("unusable", [_a_folder, _below_a_file, _a_link, _a_pipe, _too_long])
class TestUnusable:
    """A cache that cannot be used, in ways that stop root too."""

    @pytest.mark.requirement("M56", "M83")
    async def test_an_id_that_cannot_be_kept(
        self, machine: Machine, unusable: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        kept = await machine.hardware_id()
        machine.cache.unlink()
        provider = await started(machine.provider(cache_file=unusable(machine)))
        assert await asked(provider) == kept
        assert [(one.levelname, one.name) for one in caplog.records] == [("WARNING", "insession.tracking")]
        assert "cannot be kept" in caplog.text
        assert provider.get_status()["has_cached_id"] is False
        assert not (machine.folder / "elsewhere").exists()

    @pytest.mark.requirement("M56", "M83")
    async def test_no_facts_and_it_is_required(
        self, machine: Machine, unusable: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        machine.facts.unlink()
        provider = machine.provider(cache_file=unusable(machine))
        assert await provider.initialize() is False
        assert FAILED in caplog.text
        assert not provider.is_available
        assert not await provider.health_check()
        with pytest.raises(HardwareIDFailed, match=FAILED):
            await asked(provider)
        assert provider.get_metrics()["failed_requests"] == 1
        await provider.cleanup()
        with pytest.raises(NotInitialized):
            await asked(provider)

    @pytest.mark.requirement("M83")
    async def test_no_facts_and_none_is_required(self, machine: Machine, unusable: Any) -> None:
        machine.facts.unlink()
        provider = await started(machine.provider(cache_file=unusable(machine), require_hardware_id=False))
        assert [one async for one in provider.process(None)] == [None]
        assert await provider.health_check()
        assert provider.get_status()["source"] is None
        assert provider.get_metrics()["id_generated"] is False


@pytest.mark.requirement("M56", "M83")
@pytest.mark.processes
def test_a_folder_without_permission(machine: Machine) -> None:
    """As root, without the capability that lets root write everywhere."""
    command = [sys.executable, "-c", PROGRAM]
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("needs setpriv")
        command = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", *command]
    folder = machine.folder / "forbidden"
    folder.mkdir(mode=0o500)
    config = {"cache_file": str(folder / "cache")}
    asking = "".join(json.dumps([facts, config]) + "\n" for facts in (str(machine.facts), None))
    run = subprocess.run(command, input=asking, capture_output=True, text=True, check=False, timeout=30)
    if "Operation not permitted" in run.stderr:
        pytest.skip("capabilities cannot be dropped here")
    ready, made, none = run.stdout.split("\n", 2)
    assert ready == "ready"
    assert len(json.loads(made)) == 32
    assert json.loads(none) is None
    assert "Permission denied" in run.stderr
    assert FAILED in run.stderr
    assert not list(folder.iterdir())


class TestConfiguration:
    """What a provider can be told."""

    def test_nothing_and_the_defaults_are_fine(self, machine: Machine) -> None:
        assert HardwareIDProvider().problems() == []
        assert HardwareIDProvider({}).problems() == []
        assert HardwareIDProvider({"cache_file": Path("a"), "hardware_id": None, "length": 8}).problems() == []

    @pytest.mark.requirement("M52")
    @pytest.mark.parametrize(
        ("key", "value"),
        [
            *(("length", value) for value in (7, 65, 0, -1, True, 32.0, "32", None, float("nan"))),
            *(("charset", value) for value in ("", "a" * 62, "abcdefghi", "abcdefghi\n", "abc defghij", 62, None)),
            ("charset", "abcdefghij\ud800"),
            *(("cache_file", value) for value in ("", "a\0b", "\ud800", 5, b"cache")),
            *(("require_hardware_id", value) for value in (None, 1, "yes")),
            *(("app", value) for value in (None, "", b"app")),
            *(("hardware_id", value) for value in (5, "short", "!" * 32, "")),
        ],
    )
    async def test_a_bad_value_is_named(
        self, machine: Machine, key: str, value: object, caplog: pytest.LogCaptureFixture
    ) -> None:
        provider = HardwareIDProvider({key: value})
        [problem] = provider.problems()
        assert problem.startswith(f"{key}: ")
        assert await provider.initialize() is False
        assert problem in caplog.text
        assert not provider.regenerate_hardware_id()
        assert provider.get_metrics()["cache_file_exists"] is False
        assert not list(machine.folder.glob("*cache*"))

    def test_all_problems_at_once(self) -> None:
        config: dict[Any, Any] = {"lenght": 5, "length": 5, "charset": "a", "require_hardware_id": "no", 7: 7}
        problems = HardwareIDProvider(config).problems()
        assert len(problems) == 5
        assert "unknown key 'lenght'; did you mean 'length'?" in problems

    async def test_what_is_no_mapping(self) -> None:
        bad: Any = ["length"]
        assert HardwareIDProvider(bad).problems() == ["config: is a mapping of keys to values"]
        assert await HardwareIDProvider(bad).initialize() is False

    def test_a_change_of_the_mapping_changes_no_provider(self) -> None:
        config: dict[str, Any] = {"length": 16}
        provider = HardwareIDProvider(config)
        config["length"] = 5
        assert provider.problems() == []


class TestProvider:
    """What it shares with the other provider."""

    @pytest.mark.requirement("M57")
    async def test_exactly_one_item(self, machine: Machine) -> None:
        provider = machine.provider()
        assert isinstance(provider, Provider)
        with pytest.raises(NotInitialized, match="HardwareIDProvider not initialized"):
            await anext(provider.process(None))
        await started(provider)
        asking = provider.process(None)
        assert await anext(asking) == provider.hardware_id
        with pytest.raises(StopAsyncIteration):
            await anext(asking)
        await provider.cleanup()
        with pytest.raises(NotInitialized):
            await anext(provider.process(None))

    @pytest.mark.requirement("M50")
    async def test_health(self, machine: Machine) -> None:
        provider = machine.provider()
        assert not await provider.health_check()
        await started(provider)
        assert await provider.health_check()
        assert await provider.cleanup()
        assert await provider.cleanup()
        assert not await provider.health_check()
        assert provider.hardware_id is None

    @pytest.mark.requirement("M72")
    async def test_nothing_that_is_asked_makes_it_unhealthy(self, machine: Machine) -> None:
        provider = await started(machine.provider())
        for request in ("a client's id", {"hardware_id": 5}, object(), -1):
            assert [one async for one in provider.process(request)] == [provider.hardware_id]
        assert await provider.health_check()

    async def test_metrics(self, machine: Machine) -> None:
        provider = machine.provider(length=20)
        with pytest.raises(NotInitialized):
            await anext(provider.process(None))
        before = provider.get_metrics()
        assert not any(before[key] for key in ("id_length", "id_generated", "has_cached_id", "cache_file_exists"))
        await started(provider)
        for _ in range(3):
            await asked(provider)
        metrics = provider.get_metrics()
        expected = {
            "total_requests": 4,
            "failed_requests": 1,
            "success_rate": 0.75,
            "id_length": 20,
            "id_generated": True,
            "has_cached_id": True,
            "cache_file_exists": True,
        }
        assert {key: metrics[key] for key in expected} == expected
        provider.reset_metrics()
        assert provider.get_metrics()["total_requests"] == 0
        machine.cache.unlink()
        assert provider.get_metrics()["cache_file_exists"] is False

    async def test_neither_the_id_nor_its_beginning_is_said(
        self, machine: Machine, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        provider = await started(machine.provider())
        first = await asked(provider)
        machine.cache.write_text(first)
        assert provider.regenerate_hardware_id()
        await provider.cleanup()
        second = await asked(await started(provider))
        machine.cache.unlink()
        machine.cache.mkdir()
        await started(machine.provider())
        shown = f"{caplog.text} {provider!r} {provider.get_status()} {provider.get_metrics()}"
        shown += f"{provider._had!r} {HardwareIDProvider({'hardware_id': first + 'x'}).problems()}"
        assert caplog.records
        assert first[:6] not in shown
        assert second[:6] not in shown
        assert machine.facts.read_text()[:6] not in shown

"""The hardware id provider where something is wrong, and what it says of itself."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from insession.tracking.errors import HardwareIDFailed, NotInitialized
from insession.tracking.hardware import HardwareIDProvider
from insession.tracking.provider import Provider

from .machines import PROGRAM, Machine, asked, started

FAILED = "Hardware ID generation failed"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.delenv("INSESSION_HARDWARE_ID", raising=False)
    monkeypatch.chdir(tmp_path)
    return Machine(tmp_path)


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

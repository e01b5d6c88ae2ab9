"""The hardware id: how it is made, kept and renewed, on real files and in real processes."""

from __future__ import annotations

import stat
import string
from pathlib import Path

import pytest

from insession.tracking.hardware import HardwareIDProvider

from .machines import Machine, asked, started

LETTERS = string.ascii_letters + string.digits
DIGITS = "0123456789"


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

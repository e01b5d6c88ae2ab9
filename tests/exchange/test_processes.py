"""Real processes and real signals: what a program leaves behind when it is stopped, or killed."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from insession.testing.platform import PlatformDouble, PlatformRules
from tests.processes.running import ROOT

from .failing import right
from .storm import PING, settings, states

pytestmark = [pytest.mark.processes, pytest.mark.timeout(90)]
FILES = 20


class Command:
    """An ``insession exchange`` in a process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    async def end(self) -> tuple[int, str]:
        """Its exit code, and all that it said."""
        async with asyncio.timeout(30):
            out, _ = await self._process.communicate()
        assert self._process.returncode is not None
        return self._process.returncode, out.decode()


@asynccontextmanager
async def command(platform: PlatformDouble, root: Path, verb: str, *words: str) -> AsyncIterator[Command]:
    """Run it on this platform, with its settings in ``.env``."""
    wanted = settings(platform, root)
    lines = [f"TOKEN={wanted['token']}", f"HOST={wanted['host']}", f"INSESSION_STORE={wanted['store']}"]
    lines += [f"SESSION_{name.upper()}={wanted[name]}" for name in ("join_timeout", "retry_first", "retry_longest")]
    (root / ".env").write_text("\n".join(lines) + "\n", "utf-8")
    process = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("insession"), "exchange", verb, "--root", str(root), *words,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name not in {"TOKEN", "HOST", "DEBUG"}},
    )  # fmt: skip
    try:
        yield Command(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


@pytest.fixture
async def platform() -> AsyncIterator[PlatformDouble]:
    async with PlatformDouble(rules=PlatformRules(count=FILES, interval=0.05, **PING)) as double:
        yield double


async def until_results(platform: PlatformDouble, count: int) -> None:
    await asyncio.to_thread(platform.wait_until, lambda counters: counters.results >= count, 30)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.requirement("R2", "R16", "R30")
async def test_a_signal_leaves_the_session_to_who_reconnects(
    platform: PlatformDouble, tmp_path: Path, number: signal.Signals
) -> None:
    words = ("--solution", "tests.exchange.failing:steady")
    async with command(platform, tmp_path, "start", *words) as one:
        await until_results(platform, 5)
        one.signal(number)
        code, said = await one.end()
    assert code == 130, said
    assert "insession exchange reconnect" in said.strip().splitlines()[-1]
    counters = platform.counters()
    assert counters.closed == []
    assert counters.aborts == []
    # What was in hand is finished: nothing that the journal holds is without its answer.
    held = await states(f"sqlite:///{tmp_path / 'journal.db'}")
    assert set(held.values()) == {"acknowledged"}
    async with command(platform, tmp_path, "reconnect", *words) as other:
        code, said = await other.end()
    assert code == 0, said
    counters = platform.counters()
    assert [file.answer for file in counters.files] == [right(file.sha256) for file in counters.files]
    assert counters.repeats == 0
    assert len(counters.starts) == 1


@pytest.mark.requirement("R45")
async def test_after_kill_9_one_command_goes_on(platform: PlatformDouble, tmp_path: Path) -> None:
    words = ("--solution", "tests.exchange.failing:steady")
    async with command(platform, tmp_path, "start", *words) as one:
        await until_results(platform, 10)
        one.signal(signal.SIGKILL)
        code, _ = await one.end()
        assert code == -signal.SIGKILL
    solved_before = {file.id for file in platform.counters().files if file.answers}
    async with command(platform, tmp_path, "reconnect", *words) as other:
        code, said = await other.end()
    assert code == 0, said
    counters = platform.counters()
    assert [file.answer for file in counters.files] == [right(file.sha256) for file in counters.files]
    assert all(file.equal for file in counters.files)
    assert len(solved_before) >= 10
    # At most what was on its way when it was killed went twice.
    assert counters.repeats <= 5

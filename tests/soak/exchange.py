"""The parts on exchange sessions: the long storm, and what a long session keeps in memory."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from insession.testing.platform import Counters, PlatformProcess, PlatformRules
from tests.exchange.storm import MODULE, PING, judge_answers, judge_inputs, settings, storm
from tests.processes.running import Worker

from .part import Part, awaited

FILES: Final = 3_000
EARLY: Final = 300
MORE: Final = 1.10
"""So many times the memory after the early files the process may have at the end."""
MIXED: Final[Mapping[str, Any]] = {
    "solution": "tests.exchange.failing:rarely",
    "isolation": "process",
    "policy": {"concurrency": 4, "tries": 1, "margin": 12.0},
    "file_timeout": 20,
}


async def _storm(folder: Path, files: int) -> str:
    kills = (files // 10, files // 3, files // 2)
    seen = await storm(folder, files=files, drop_every=100, kills=kills, patience=60, **MIXED)
    sorts = judge_answers(seen)
    judge_inputs(seen.counters, folder)
    assert seen.counters.sent == files
    assert sorts["unknown"] == 0
    return f"{files:,} files, {len(seen.counters.drops)} drops, {seen.counters.repeats} repeats; {dict(sorts)}"


async def _memory(folder: Path) -> str:
    """A session of 3,000 files in one process; what it keeps does not grow with them."""
    rules = PlatformRules(count=FILES, interval=0.01, **PING)
    with PlatformProcess(rules=rules) as platform:
        async with Worker("start", json.dumps(settings(platform, folder)), module=MODULE) as worker:
            sizes = []
            for answered in (EARLY, FILES - 50):
                await asyncio.to_thread(platform.wait_until, _answered(answered), 240)
                sizes.append(_resident(worker.pid))
            assert [line for line in await worker.rest() if line[0] == "ended"] == [["ended", "finish"]]
        counters = platform.counters()
    assert counters.answered == FILES
    assert sizes[1] <= sizes[0] * MORE, f"{sizes[0]:,} bytes after {EARLY} files, {sizes[1]:,} at the end"
    return f"{sizes[0] / 2**20:.1f} MiB after {EARLY} files, {sizes[1] / 2**20:.1f} MiB after {FILES:,}"


def _answered(count: int) -> Callable[[Counters], bool]:
    return lambda counters: counters.answered >= count


def _resident(pid: int) -> int:
    """Bytes of a process that are in memory."""
    pages = int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


async def _long_storm(folder: Path) -> str:
    return await _storm(folder, FILES)


def exchange_parts() -> list[Part]:
    """All of them."""
    return [
        Part("exchange: 3,000 files in a storm", 90, awaited(_long_storm)),
        Part("exchange: memory over 3,000 files", 60, awaited(_memory)),
    ]

"""Many tasks in many processes change one session by compare-and-set: no change is lost."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import insession

from .running import sqlite_url, workers

PROCESSES, TASKS = 4, 16


async def count_up(folder: Path, increments: int) -> None:
    """64 tasks in 4 processes."""
    url = sqlite_url(folder)
    each = increments // (PROCESSES * TASKS)
    async with insession.connect(url) as engine:
        session = await engine.open(data={"number": 0})
        async with workers(PROCESSES, "increment", url, session.id, TASKS, each) as counters:
            await asyncio.gather(*(counter.until("ready") for counter in counters))
            for counter in counters:
                await counter.say("go")
            said = await asyncio.gather(*(counter.rest() for counter in counters))
        assert said == [[["done"]]] * PROCESSES
        await session.refresh()
        assert session.data == {"number": PROCESSES * TASKS * each}


@pytest.mark.processes
async def test_no_increment_is_lost(tmp_path: Path) -> None:
    await count_up(tmp_path, 2_000)

"""Many tasks in many processes change one session by compare-and-set: no change is lost."""

from __future__ import annotations

import asyncio

import pytest

import insession

from .running import workers

PROCESSES, TASKS = 4, 16


async def count_up(url: str, increments: int) -> None:
    """64 tasks in 4 processes."""
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
async def test_no_increment_is_lost(url: str) -> None:
    await count_up(url, 1_280)

"""Processes that are in each other's way all the time: every batch is answered, and the rules hold."""

from __future__ import annotations

import asyncio

import pytest

import insession

from . import tangling
from .checking import check_positions, most_live, whole_log
from .running import workers

PROCESSES = 4


async def tangle(url: str, batches: int, *, seed: int = 1) -> int:
    """4 processes send so many random batches each, over the same 200 ids; how many operations it were."""
    async with insession.connect(url) as engine, workers(PROCESSES, "tangle", url, seed, batches) as tanglers:
        await asyncio.gather(*(tangler.until("ready") for tangler in tanglers))
        for tangler in tanglers:
            await tangler.say("go")
        said = await asyncio.gather(*(tangler.rest() for tangler in tanglers))
        # Who met an error, a deadlock among them, did not come so far.
        assert [[line[0] for line in lines] for lines in said] == [["done"]] * PROCESSES
        events = await whole_log(engine)
        check_positions(events)
        for place in range(tangling.OWNERS):
            owner = f"owner{place}"
            own = [event for event in events if event.owner == owner]
            assert 0 < most_live(own, tangling.KIND) <= tangling.MOST
            assert await engine.count(kind=tangling.KIND, owner=owner) <= tangling.MOST
        return sum(int(lines[0][1]) for lines in said)


@pytest.mark.processes
async def test_no_deadlock_reaches_a_caller(server_url: str) -> None:
    assert await tangle(server_url, 100) > 4_000

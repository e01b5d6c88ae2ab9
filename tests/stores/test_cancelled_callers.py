"""Callers that break off before their operations leave take nobody else's along."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import insession
from insession.kernel.operations import Load
from insession.testing.clock import ManualClock

from .conftest import MAKERS, SHARED

NOBODY = "00" * 16


@pytest.mark.parametrize("name", sorted(SHARED - {"redis-scripts", "redis-plain"}))
async def test_who_waits_behind_a_crowd_that_broke_off_is_answered(name: str, tmp_path: Path) -> None:
    clock = ManualClock()
    store = MAKERS[name](tmp_path, clock)
    async with insession.Engine(store, clock=clock) as engine:
        await engine.count()
        # Enough for a second batch beside the first one, where a store takes two.
        *crowd, last = [engine.batcher.send(Load((NOBODY,))) for _ in range(40)]
        for one in crowd:
            one.cancel()
        async with asyncio.timeout(5.0):
            assert (await last).found == (None,)

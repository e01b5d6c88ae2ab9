"""Expiring many sessions beside many more live ones: how long the loop is held up."""

from __future__ import annotations

import asyncio
import gc
import time

import insession
from insession.testing.clock import ManualClock

from .measuring import Figure, Pauses, Run, Turns, collector_pauses
from .reporting import main

QUESTION = "Memory: expiring 100,000 sessions beside 1,000,000 live ones"
LIVE, DUE = 1_000_000, 100_000
KINDS = (
    insession.Kind("device", idle=1e7, keep=0.0),
    insession.Kind("visit", idle=10.0, keep=0.0),
)


async def _fall_due(engine: insession.Engine, clock: ManualClock, due: int) -> tuple[Turns, Pauses, float]:
    for number in range(due):
        await engine.open(kind="visit", owner=f"v{number}", data={"page": 1})
    gc.collect()
    turns = Turns()
    with collector_pauses() as pauses:
        watching = asyncio.create_task(turns.watch(pauses))
        await asyncio.sleep(0)
        begin = time.perf_counter()
        # The clock jumps; the reaper's alarm rings, and it sweeps as long as something is due.
        await clock.advance(11.0, turns=1)
        while await engine.count(kind="visit"):  # noqa: ASYNC110 - every turn counts, so none may be waited out
            await asyncio.sleep(0)
        seconds = time.perf_counter() - begin
        watching.cancel()
    assert await engine.count(kind="visit", state="expired") == due
    await engine.purge()
    return turns, pauses, seconds


async def _rounds(run: Run) -> list[Figure]:
    clock = ManualClock()
    live, due = run.count(LIVE), run.count(DUE)
    longest, paused, seconds = [], [], []
    async with insession.connect("memory:", kinds=KINDS, clock=clock) as engine:
        for number in range(live):
            await engine.open(kind="device", owner=f"d{number}", data={"lang": "en"})
        await _fall_due(engine, clock, due // 10)
        for _ in range(run.rounds):
            turns, pauses, took = await _fall_due(engine, clock, due)
            longest.append(turns.longest * 1e3)
            paused.append(pauses.longest * 1e3)
            seconds.append(took)
    return [
        Figure(
            name=f"expiring {due:,} beside {live:,}: longest slice",
            unit="ms",
            values=longest,
            bar=5.0,
            scale=run.scale,
            note="longest time between two turns of the loop, collector pauses taken off",
        ),
        Figure(name="longest collector pause meanwhile", unit="ms", values=paused),
        Figure(name="until all of them had expired", unit="s", values=seconds),
    ]


def measure(run: Run) -> list[Figure]:
    return asyncio.run(_rounds(run))


if __name__ == "__main__":
    raise SystemExit(main([("expiry", QUESTION, measure)]))

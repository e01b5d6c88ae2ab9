"""What an engine costs that has nothing to do."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path

import insession

from .measuring import Figure, Run
from .reporting import main

QUESTION = "An idle engine's share of a core"
SECONDS, QUICK = 60.0, 10.0
KINDS = (
    insession.Kind("device", idle=3600.0),
    insession.Kind("job", idle=3600.0, recovery="keep"),
)


async def _share(url: str, seconds: float) -> float:
    async with insession.connect(url, kinds=KINDS) as engine:
        for number in range(1_000):
            await engine.open(kind="device", owner=f"d{number}")
        # One that belongs to this process, so that its node is kept alive, with work that could be interrupted.
        job = await engine.open(kind="job", owner="ann")
        async with job.running():
            await asyncio.sleep(1.0)  # what the opens left behind is over
            begin = time.process_time(), time.perf_counter()
            await asyncio.sleep(seconds)
            busy, wall = time.process_time() - begin[0], time.perf_counter() - begin[1]
    return busy / wall * 100


def measure(run: Run) -> list[Figure]:
    seconds = QUICK if run.quick else SECONDS
    figures = []
    with tempfile.TemporaryDirectory() as folder:
        for name, url in (("memory", "memory:"), ("SQLite", f"sqlite:///{Path(folder) / 'idle.db'}")):
            figures.append(
                Figure(
                    name=f"idle engine on {name}",
                    unit="% of a core",
                    values=[asyncio.run(_share(url, seconds))],
                    bar=0.1,
                    note=f"process time over {seconds:g} s; 1,001 live sessions, one with work, the node kept alive",
                )
            )
    return figures


if __name__ == "__main__":
    raise SystemExit(main([("idle", QUESTION, measure)]))

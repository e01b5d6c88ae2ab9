"""The other processes of `interrupt_processes`: one that runs work, one that only writes."""

from __future__ import annotations

import asyncio
import itertools
import sys
import time

import insession


async def work(url: str, number: str) -> None:
    """Run work for so many sessions; print each id, ``ready``, and when each was cancelled."""
    async with insession.connect(url) as engine:
        await work_in(engine, int(number))


async def work_in(engine: insession.Engine, number: int) -> None:
    """The same in an engine that is open."""
    sessions = [await engine.open(kind="job", owner=f"o{n}") for n in range(number)]

    async def run(session: insession.Session) -> None:
        stopped = 0
        try:
            async with session.running():
                try:
                    await asyncio.get_running_loop().create_future()
                finally:
                    stopped = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        except insession.Interrupted:
            print(session.id, stopped, flush=True)

    async with asyncio.TaskGroup() as group:
        for session in sessions:
            print(session.id, flush=True)
            group.create_task(run(session))
        await asyncio.sleep(0.2)
        print("ready", flush=True)


async def load(url: str, _: str) -> None:
    """Write without a pause, four at a time, until killed."""
    async with insession.connect(url) as engine:
        print("ready", flush=True)

        async def write() -> None:
            session = await engine.open(kind="load", data={"step": 0})
            for step in itertools.count():
                await session.update({"step": step, "text": "x" * 400})

        await asyncio.gather(*(write() for _ in range(4)))


if __name__ == "__main__":
    asyncio.run({"work": work, "load": load}[sys.argv[1]](*sys.argv[2:4]))

"""The other processes of `shared_interrupts` and `shared_scaling`."""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
import time
from typing import Any, Final

import asyncpg
import redis.asyncio

import insession

from .interrupt_worker import work_in
from .shared_phases import DEVICE, EACH, VERBS, Counted, life

NAMESPACE: Final = "bench"
CHANNEL: Final = "bare"
CALLERS: Final = 32
WARM_UP: Final = 0.5


async def work(url: str, number: str) -> None:
    """Run work for so many sessions, see `interrupt_worker`."""
    async with insession.connect(Counted(url, NAMESPACE)) as engine:
        await work_in(engine, int(number))


def _heard(payload: object) -> None:
    print(payload, time.clock_gettime_ns(time.CLOCK_MONOTONIC), flush=True)


async def hear_valkey(url: str, _: str) -> None:
    """Subscribe to the bare changes; print each signal and when it came."""
    async with redis.asyncio.Redis.from_url(url.replace("valkey:", "redis:"), decode_responses=True) as client:
        signals = client.pubsub(ignore_subscribe_messages=True)
        await signals.subscribe(CHANNEL)
        print("ready", flush=True)
        async for message in signals.listen():
            _heard(message["data"])


async def hear_postgres(folder: str, _: str) -> None:
    """The same with a listener."""
    connection = await asyncpg.connect(host=folder, user="insession", database="postgres")

    def heard(_connection: Any, _pid: int, _channel: str, payload: object) -> None:
        _heard(payload)

    await connection.add_listener(CHANNEL, heard)
    print("ready", flush=True)
    await asyncio.get_running_loop().create_future()


async def lives(url: str, seconds: str) -> None:
    """Live sessions from opening to end, 32 at a time; print how many operations, and the processor's time of it."""
    numbers, mark = itertools.count(), os.getpid()
    async with insession.connect(Counted(url, NAMESPACE), kinds=[DEVICE]) as engine:

        async def caller(until: float) -> int:
            done = 0
            while time.monotonic() < until:
                await life(engine, f"{mark}-{next(numbers) // EACH}")
                done += 1
            return done

        async def all_callers(length: float) -> int:
            until = time.monotonic() + length
            return sum(await asyncio.gather(*(caller(until) for _ in range(CALLERS))))

        warm = await all_callers(WARM_UP)
        print(warm, "ready", flush=True)
        sys.stdin.readline()
        begin, busy = time.monotonic(), time.process_time()
        done = await all_callers(float(seconds))
        print(done, done * len(VERBS), time.monotonic() - begin, time.process_time() - busy, flush=True)
        # The server's processes for this one stay until they have been looked at.
        sys.stdin.readline()


if __name__ == "__main__":
    roles = {"work": work, "hear_valkey": hear_valkey, "hear_postgres": hear_postgres, "lives": lives}
    asyncio.run(roles[sys.argv[1]](*sys.argv[2:4]))

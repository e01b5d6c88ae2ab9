"""Locks between processes: one holder at a time, and no commit of a holder that is late."""

from __future__ import annotations

import asyncio
import signal

import pytest

import insession

from .running import Worker, workers

PROCESSES = 3


async def count_under_a_lock(url: str, callers: int, each: int) -> None:
    """A number that nothing guards but the lock is counted up without a loss, under rising tokens."""
    async with insession.connect(url) as engine, workers(PROCESSES, "count_locked", url, callers, each) as counters:
        await asyncio.gather(*(counter.until("ready") for counter in counters))
        for counter in counters:
            await counter.say("go")
        said = await asyncio.gather(*(counter.until("done") for counter in counters))
        counted = sorted((int(line[1]), int(line[2])) for lines in said for line in lines)
        assert [number for number, _ in counted] == list(range(1, PROCESSES * callers * each + 1))
        tokens = [token for _, token in counted]
        assert tokens == sorted(set(tokens))
        entry = await engine.items.get("count/one")
        assert entry is not None
        assert entry.data == len(counted)


async def stop_a_holder(url: str, ttl: float) -> None:
    """A holder sleeps past its lease (SIGSTOP), somebody else gets it: the late commit is refused."""
    async with insession.connect(url) as engine, Worker("hold", url, ttl) as holder:
        _, token = await holder.line()
        holder.signal(signal.SIGSTOP)
        async with engine.lock("report", ttl=30.0, wait=30.0) as lock:
            assert lock.fence.token > int(token)
            await engine.items.put("report/one", "in time", fence=lock.fence)
            await holder.say("commit")
            holder.signal(signal.SIGCONT)
            assert await holder.line() == ["lost", "LockLost"]
            assert await holder.line() == ["refused", "LockLost"]
        entry = await engine.items.get("report/one")
        assert entry is not None
        assert entry.data == "in time"


@pytest.mark.processes
async def test_one_process_at_a_time_holds_a_lock(url: str) -> None:
    await count_under_a_lock(url, callers=4, each=10)


@pytest.mark.processes
async def test_a_late_commit_is_fenced_off(url: str) -> None:
    await stop_a_holder(url, ttl=0.5)

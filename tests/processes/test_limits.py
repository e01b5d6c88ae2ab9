"""Limits hold exactly: 200 opens at once, and members that fall due in the same moment."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any, Literal

import pytest

import insession
from insession import EventType, LimitReached
from insession.testing.clock import ManualClock

from . import kinds
from .checking import most_live, whole_log
from .conftest import EMPTY
from .running import workers

OPENS = 200


async def _watch(engine: insession.Engine, opening: asyncio.Future[Any]) -> int:
    """The most that any read found live while others open."""
    most = 0
    while not opening.done():
        page = await engine.find(owner="ann", kind="limited")
        most = max(most, len(page.sessions), await engine.count(owner="ann", kind="limited"))
        await asyncio.sleep(0)
    await opening
    return most


async def _check(engine: insession.Engine, policy: str, opened: int) -> None:
    assert opened == (kinds.LIMIT if policy == "deny" else OPENS)
    assert await engine.count(owner="ann", kind="limited") == kinds.LIMIT
    events = await whole_log(engine)
    assert most_live(events, "limited") == kinds.LIMIT
    reasons = Counter(event.reason for event in events if event.type is EventType.INTERRUPTED)
    assert reasons == ({} if policy == "deny" else {"limit": OPENS - kinds.LIMIT})


async def crowd_of_processes(url: str, policy: str, processes: int = 2) -> None:
    """200 opens of one owner in several processes on one store."""
    arguments = (url, policy.replace(" ", "_"), OPENS // processes)
    async with (
        insession.connect(url, kinds=[kinds.limited(policy)]) as engine,
        workers(processes, "crowd", *arguments) as crowd,
    ):
        await asyncio.gather(*(worker.until("ready") for worker in crowd))
        for worker in crowd:
            await worker.say("go")
        done = asyncio.gather(*(worker.line() for worker in crowd))
        most = await _watch(engine, done)
        assert most <= kinds.LIMIT
        await _check(engine, policy, sum(int(line[1]) for line in done.result()))


@pytest.mark.processes
@pytest.mark.parametrize("policy", kinds.POLICIES)
async def test_a_crowd_in_two_processes_never_exceeds_the_limit(url: str, policy: str) -> None:
    await crowd_of_processes(url, policy)


@pytest.mark.parametrize("policy", kinds.POLICIES)
async def test_a_crowd_in_one_process_never_exceeds_the_limit(policy: str) -> None:
    async with insession.connect("memory:", kinds=[kinds.limited(policy)]) as engine:

        async def open_one() -> bool:
            try:
                await engine.open(kind="limited", owner="ann")
            except LimitReached:
                return False
            return True

        opening = asyncio.gather(*(open_one() for _ in range(OPENS)))
        assert await _watch(engine, opening) <= kinds.LIMIT
        await _check(engine, policy, sum(opening.result()))


DUE, RUSH = 20, 30
Over = Literal["owner", "kind"]
Then = Literal["deny", "oldest", "least recently used"]


class _Rush:
    """Two engines on one store, 20 members that fall due at once, and 30 opens in that moment."""

    def __init__(self, url: str, clock: ManualClock, over: Over, then: Then) -> None:
        kind = insession.Kind(
            "rushed", idle=10.0, window=0.0, limits=(insession.Limit(most=DUE, over=over, then=then),)
        )
        self._clock = clock
        self._one = insession.connect(url, kinds=[kind], clock=clock)
        # Memory is a store of one process: both engines are the same there.
        self._other = self._one if url == "memory:" else insession.connect(url, kinds=[kind], clock=clock)

    async def run(self) -> tuple[int, insession.Engine]:
        await self._one.__aenter__()
        if self._other is not self._one:
            await self._other.__aenter__()
        for _ in range(DUE):
            await self._one.open(kind="rushed", owner="ann")
        self._clock.set(self._clock.now() + 10.0)  # no alarm rings: nobody has swept
        engines = (self._one, self._other)
        opened = await asyncio.gather(*(self._open(engines[place % 2]) for place in range(RUSH)))
        return sum(opened), self._one

    async def close(self) -> None:
        if self._other is not self._one:
            await self._other.__aexit__(None, None, None)
        await self._one.__aexit__(None, None, None)

    async def _open(self, engine: insession.Engine) -> bool:
        try:
            await engine.open(kind="rushed", owner="ann")
        except LimitReached:
            return False
        return True


@pytest.mark.parametrize("over", ["owner", "kind"])
@pytest.mark.parametrize("then", kinds.POLICIES)
@pytest.mark.parametrize("store", ["memory", *EMPTY])
async def test_members_that_fall_due_at_once_make_room_exactly(
    tmp_path: Path, over: Over, then: Then, store: str
) -> None:
    url = "memory:" if store == "memory" else EMPTY[store](tmp_path)
    rush = _Rush(url, ManualClock(), over, then)
    try:
        opened, engine = await rush.run()
        assert opened == (DUE if then == "deny" else RUSH)
        assert await engine.count(kind="rushed") == DUE
        events = await whole_log(engine)
        assert most_live(events, "rushed") == DUE
        types = Counter(event.type for event in events)
        assert types[EventType.EXPIRED] == DUE
        assert types[EventType.INTERRUPTED] == (0 if then == "deny" else RUSH - DUE)
    finally:
        await rush.close()

"""A process that owns work dies: its sessions are ended or taken over as their kinds say, each once."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

import insession
from insession import EventType, State
from insession.kernel import recovery
from insession.kernel.operations import Count, Counted

from .checking import by_id, whole_log
from .running import DEADLINE, Worker, sqlite_url

WITHIN = 20.0
"""So many seconds after its process was killed a session has been ended or taken over."""
SOON = 1.0
"""Leases of recovery in the short form, so that nobody has to wait for them."""


class Recoverers:
    """Processes that recover what another one left. The second one hangs in a call, and the first two are killed."""

    def __init__(self, url: str, number: int, ttl: float) -> None:
        self._arguments = url, ttl
        self._most = (0, number // 10, 0)
        self._workers: list[Worker] = []
        self._listening: list[asyncio.Task[None]] = []
        self.called: list[str] = []
        self.hanging: asyncio.Event = asyncio.Event()
        self._ready = asyncio.Semaphore(0)

    async def start(self, stack: AsyncExitStack, number: int) -> None:
        """Start so many more."""
        url, ttl = self._arguments
        for place in range(len(self._workers), len(self._workers) + number):
            worker = await stack.enter_async_context(Worker("recover", url, self._most[place], ttl))
            self._workers.append(worker)
            self._listening.append(asyncio.create_task(self._listen(worker, self._most[place])))
        for _ in range(number):
            await self._ready.acquire()

    async def _listen(self, worker: Worker, most: int) -> None:
        mine = 0
        while line := await worker.line():
            if line[0] == "ready":
                self._ready.release()
            else:
                self.called.append(line[1])
                mine += 1
                if mine == most:
                    self.hanging.set()

    async def kill(self, place: int) -> None:
        """Kill one of them."""
        self._workers[place].kill()
        assert await self._workers[place].end() == -9

    async def leave(self) -> None:
        """Let the one that is left end, and hear all that they had to say."""
        await self._workers[-1].say("leave")
        await asyncio.gather(*self._listening)


async def lose_a_node(url: str, number: int, *, early: bool = False, ttl: float = recovery.RECOVERY_TTL) -> float:
    """Kill a process that owns sessions, and two of three others while they recover them; how long it took.

    ``early``: those are there before it dies, so that they hear of it when its node is due; else they look at start.
    """
    others = Recoverers(url, number, ttl)
    async with AsyncExitStack() as stack:
        owner = await stack.enter_async_context(Worker("own", url, number))
        owned = {line[1]: line[2] for line in await owner.until("ready")}
        await others.start(stack, 3 if early else 0)
        engine = await stack.enter_async_context(insession.connect(url))
        if early:
            # What they look for at their start is not to be found yet.
            await asyncio.sleep(1.0)
        owner.kill()
        assert await owner.end() == -9
        killed = time.monotonic()
        await others.start(stack, 0 if early else 2)
        async with asyncio.timeout(DEADLINE):
            # Those that are kept are taken over one by one, before any function is called.
            await _recovered(engine, number + number // 3)
            await others.kill(0)
            everything = asyncio.create_task(_recovered(engine, 3 * number))
            # Beside another one it may find too little to do.
            hanging = asyncio.create_task(others.hanging.wait())
            await asyncio.wait([hanging, everything], return_when=asyncio.FIRST_COMPLETED)
            hanging.cancel()
            await others.start(stack, 0 if early else 1)
            await others.kill(1)
            await everything
        took = time.monotonic() - killed
        await others.leave()
        called = Counter(others.called)
        assert called.keys() == {session_id for session_id, kind in owned.items() if kind == "calls"}
        # Once more at most for each call that was cut off.
        assert number <= called.total() <= number + 2 * recovery.ABREAST
        await _check(engine, owned)
        return took


async def _recovered(engine: insession.Engine, number: int) -> None:
    """Wait until so many sessions have been ended or taken over."""
    done = 0
    async for event in engine.events(after=insession.START, types={EventType.INTERRUPTED, EventType.ORPHANED}):
        done += event.kind in {"ends", "keeps", "calls"}
        if done >= number:
            return


async def _check(engine: insession.Engine, owned: dict[str, str]) -> None:
    found = by_id(await whole_log(engine))
    for session_id, kind in owned.items():
        session = await engine.get(session_id)
        types = [event.type for event in found[session_id]]
        reasons = [event.reason for event in found[session_id]]
        assert reasons == [None, "node_lost"]
        if kind == "ends":
            assert types == [EventType.OPENED, EventType.INTERRUPTED]
            assert session.state is State.INTERRUPTED
        else:
            assert types == [EventType.OPENED, EventType.ORPHANED]
            assert session.state is State.ACTIVE


@pytest.mark.processes
async def test_the_sessions_of_a_dead_process_are_recovered_once(one_log_url: str) -> None:
    assert await lose_a_node(one_log_url, 100, ttl=SOON) < WITHIN


@pytest.mark.processes
async def test_work_after_an_ending_survives_the_death_of_whoever_does_it(tmp_path: Path) -> None:
    await die_while_finishing(sqlite_url(tmp_path), ahead=recovery.FINISH_TTL + 1.0)


async def die_while_finishing(url: str, *, ahead: float) -> None:
    """Kill a process in the middle of work after an ending; the next one does it.

    ``ahead``: the clock of the next one shows so much more, so that nobody has to wait until the lease has run out.
    """

    async def nothing(session: insession.Session) -> None:
        """To be owed it has to be declared."""

    async with insession.connect(url, kinds=[insession.Kind("owed", finish=nothing)]) as engine:
        # Nobody here does it: the engine that opened them has left before they end.
        ids = {(await engine.open(kind="owed")).id for _ in range(3)}
    async with insession.connect(url) as engine:
        await engine.interrupt_all(kind="owed")
        said: list[list[str]] = []
        async with Worker("finish", url, 2, 0.0) as worker:
            while sum(line[0] == "begun" for line in said) < 2:
                said.append(await worker.line())
            worker.kill()
            said += await worker.rest()
        async with Worker("finish", url, 0, ahead) as worker:
            # The lease of who was killed has to run out.
            async with asyncio.timeout(recovery.FINISH_TTL + DEADLINE):
                await _finished(engine)
            await worker.say("leave")
            said += await worker.rest()
    assert {line[1] for line in said if line[0] == "done"} == ids
    # None is begun again that was marked as done.
    assert sum(line[0] == "begun" for line in said) <= 2 * len(ids)


async def _finished(engine: insession.Engine) -> None:
    owed = Count("finish", kind="owed", state=State.INTERRUPTED)
    while await engine.store.apply([owed]) != [Counted(0)]:  # noqa: ASYNC110
        # Nobody is told of a mark.
        await asyncio.sleep(0.02)

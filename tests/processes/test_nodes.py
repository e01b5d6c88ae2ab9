"""A process that owns work dies: its sessions are ended or taken over as their kinds say, each once."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

import insession
from insession import EventType, State

from . import kinds
from .checking import by_id, whole_log
from .running import DEADLINE, Worker, workers

SURVIVORS = 2


async def lose_a_node(url: str, number: int, *, ahead: float) -> None:
    """Kill a process that owns sessions; two others recover them.

    ``ahead``: the survivors' clocks show so much more, so that nobody has to wait until the node is due.
    """
    async with Worker("own", url, number) as owner:
        owned = {line[1]: line[2] for line in await owner.until("ready")}
        owner.kill()
        assert await owner.end() == -9
    async with (
        workers(SURVIVORS, "recover", url, ahead) as survivors,
        insession.connect(url, clock=kinds.clock_ahead(ahead)) as engine,
    ):
        await asyncio.gather(*(survivor.until("ready") for survivor in survivors))
        async with asyncio.timeout(DEADLINE):
            await _recovered(engine, 3 * number)
            # An orphan is written down before its hook is called.
            said = await _calls(survivors, number)
        for survivor in survivors:
            await survivor.say("leave")
        for lines in await asyncio.gather(*(survivor.rest() for survivor in survivors)):
            said += lines
        called = Counter(line[1] for line in said if line[0] == "called")
        assert called == Counter(session_id for session_id, kind in owned.items() if kind == "calls")
        await _check(engine, owned)


async def _recovered(engine: insession.Engine, number: int) -> None:
    """Wait until so many sessions have been ended or taken over."""
    types = {EventType.INTERRUPTED, EventType.ORPHANED}
    done = 0
    async for _ in engine.events(after=insession.START, types=types):
        done += 1
        if done == number:
            return


async def _calls(survivors: list[Worker], number: int) -> list[list[str]]:
    """What they say until so many calls have been made."""
    said: list[list[str]] = []
    full = asyncio.Event()

    async def listen(survivor: Worker) -> None:
        while True:
            said.append(await survivor.line())
            if sum(line[0] == "called" for line in said) >= number:
                full.set()

    listening = [asyncio.create_task(listen(survivor)) for survivor in survivors]
    await full.wait()
    for task in listening:
        task.cancel()
    await asyncio.gather(*listening, return_exceptions=True)
    return said


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
async def test_the_sessions_of_a_dead_process_are_recovered_once(url: str) -> None:
    await lose_a_node(url, 20, ahead=16.0)

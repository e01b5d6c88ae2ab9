"""One process loads, saves and touches sessions that another one is ending: none is revived."""

from __future__ import annotations

import asyncio
import random

import pytest

import insession
from insession import EventType, Interrupted, Session, State

from .checking import by_id, check_positions, whole_log
from .running import Worker

LANES = 100
KIND = insession.Kind("raced", window=0.0, keep_count=1_000_000)


async def _save_until_refused(session: Session, chance: random.Random, saved: asyncio.Event) -> int:
    """How many saves and touches were taken before the ending came; ``saved`` is set by the first."""
    taken, way = 0, chance.randrange(3)
    while True:
        try:
            if way == 0:
                await session.touch()
            elif way == 1:
                await session.update({"step": taken + 1})
            else:
                await session.update(lambda data: {"step": data["step"] + 1}, touch=True)
        except Interrupted:
            return taken
        taken += 1
        saved.set()


async def _refused(loaded: Session, chance: random.Random) -> None:
    """What was loaded before the ending cannot be saved or touched after it."""
    with pytest.raises(Interrupted):
        await (loaded.touch() if chance.randrange(2) else loaded.update({"step": -1}))


async def _lap(engine: insession.Engine, ender: Worker, chance: random.Random) -> dict[str, int]:
    """How many saves of each session came before its ending."""
    sessions = await asyncio.gather(
        *(engine.open(kind="raced", owner=f"o{lane}", data={"step": 0}) for lane in range(LANES))
    )
    loaded = await asyncio.gather(*(engine.get(session.id) for session in sessions))
    saved = asyncio.Event()
    saving = asyncio.gather(*(_save_until_refused(session, chance, saved) for session in sessions))
    if chance.randrange(2):
        # The savers are ahead; else the enders may well be.
        await saved.wait()
    await ender.say(" ".join(session.id for session in sessions))
    taken = await saving
    assert await ender.line() == ["ended", str(LANES)]
    await asyncio.gather(*(_refused(one, chance) for one in loaded))
    after = await asyncio.gather(*(engine.get(session.id) for session in sessions))
    for found, known in zip(after, sessions, strict=True):
        assert (found.state, found.reason, found.version) == (State.INTERRUPTED, "raced", known.version)
        assert found.data["step"] >= 0
    return {session.id: number for session, number in zip(sessions, taken, strict=True)}


async def race_endings(url: str, races: int, *, seed: int = 1) -> int:
    """So many races between saves, touches and endings; how many sessions there were."""
    chance = random.Random(seed)
    raced: dict[str, int] = {}
    async with insession.connect(url, kinds=[KIND]) as engine, Worker("end", url) as ender:
        assert await ender.line() == ["ready"]
        for _ in range(races // LANES):
            raced |= await _lap(engine, ender, chance)
        await ender.say("")
        assert await ender.end() == 0
        events = await whole_log(engine)
        check_positions(events)
        types = {session_id: [event.type for event in found] for session_id, found in by_id(events).items()}
        assert types == {session_id: [EventType.OPENED, EventType.INTERRUPTED] for session_id in raced}
        assert await engine.count(kind="raced", state=State.ACTIVE) == 0
    # Else it was no race.
    assert any(raced.values())
    return len(raced)


@pytest.mark.processes
async def test_no_save_and_no_touch_revives(url: str) -> None:
    assert await race_endings(url, 1_000) == 1_000

"""Round trips of a turn, counted on the wire."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest

from insession.dialogue import Dialogue
from insession.testing.clock import ManualClock
from tests.stores.test_trips import PATHS, Counting

from .samples import REGISTRY, Order, UserInfo, message


@pytest.fixture(params=list(PATHS))
async def counting(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Counting]:
    async with PATHS[cast("str", request.param)](tmp_path) as (proxy, url, namespace):
        one = Counting(proxy, url, namespace, ManualClock())
        async with one.engine:
            await one.warm()
            yield one


async def turn(dialogue: Dialogue, *, chat: str | None = None, quits: bool = False) -> None:
    async with dialogue.turn(message(chat_id=chat)) as session:
        (await session.get(Order)).lines.append("one")
        (await session.get(UserInfo)).seen += 1
        session.reply("heard")
        if quits:
            session.quit()


@pytest.mark.requirement("D52", "D65")
async def test_a_turn_that_nobody_waits_for_is_two_trips(counting: Counting) -> None:
    async with Dialogue(counting.engine, registry=REGISTRY, memories=[UserInfo], bot="counted") as dialogue:
        await turn(dialogue)
        await counting.begin()
        await turn(dialogue)
        assert await counting.trips() == 2
        await counting.begin()
        await turn(dialogue, quits=True)
        assert await counting.trips(events=1) == 2
        await counting.begin()
        await turn(dialogue)
        assert await counting.trips(events=1) == 2


@pytest.mark.requirement("D65")
async def test_a_memory_that_is_not_declared_is_read_when_it_is_wanted(counting: Counting) -> None:
    async with Dialogue(counting.engine, registry=REGISTRY, bot="counted") as dialogue:
        await turn(dialogue)
        await counting.begin()
        await turn(dialogue)
        assert await counting.trips() == 3


@pytest.mark.requirement("D52")
async def test_a_sneaky_turn_reads_once(counting: Counting) -> None:
    async with Dialogue(counting.engine, registry=REGISTRY, bot="counted") as dialogue:
        await turn(dialogue)
        await counting.begin()
        async with dialogue.turn(message()) as session:
            session.sneak()
        # Giving the lease back is waited for by nobody, and may travel with something else.
        assert await counting.trips() <= 2

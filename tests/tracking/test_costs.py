"""What a manager asks of its store and of the event loop, by count; time is the benchmarks'."""

from __future__ import annotations

import asyncio

import pytest

from insession.testing.clock import ManualClock, settle
from insession.testing.faulty import FaultyStore

from .conftest import Managers


class TestCost:
    """What is asked of the store, by count."""

    @pytest.mark.requirement("M74")
    async def test_a_create_asks_the_store_as_much_however_many_live(
        self, managers: Managers, faulty: FaultyStore
    ) -> None:
        manager = await managers({"max_concurrent_sessions": 2_000}, faulty)
        await manager.create_session()
        await settle()  # behind what an engine asks at its start
        costs = []
        for number in range(1, 1_001):
            before = faulty.trips, sum(faulty.operations.values())
            await manager.create_session()
            if number in {1, 10, 100, 1_000}:
                costs.append((faulty.trips - before[0], sum(faulty.operations.values()) - before[1]))
        assert costs == [(1, 1)] * 4

    @pytest.mark.requirement("M75")
    @pytest.mark.parametrize("sessions", [0, 50])
    async def test_an_idle_manager_hardly_wakes(
        self, sessions: int, managers: Managers, faulty: FaultyStore, clock: ManualClock
    ) -> None:
        day = 86_400
        manager = await managers({"session_timeout": 2 * day}, faulty)
        for _ in range(sessions):
            await manager.create_session()
        await clock.advance(1)
        before, reads = faulty.trips, faulty.reads
        await clock.advance(day, turns=5)
        # Once a minute what is due and what is over, once in five the history, each in a few questions; and once in
        # 5 s that this process lives, where it has sessions on a store that others may share.
        assert 0 < faulty.trips - before < 12 * day / 60 + (day / 5 if sessions else 0)
        assert faulty.reads - reads < day / 60
        assert (await manager.statistics())["active"] == sessions

    @pytest.mark.requirement("M75")
    async def test_between_its_intervals_it_does_nothing(
        self, managers: Managers, faulty: FaultyStore, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        manager = await managers(store=faulty)
        await manager.create_session()
        await clock.advance(61)
        before = faulty.trips
        loop, turns = asyncio.get_running_loop(), 0
        run_once = type(loop)._run_once  # type: ignore[attr-defined]

        def counted(self: asyncio.AbstractEventLoop) -> None:
            nonlocal turns
            turns += 1
            run_once(self)

        monkeypatch.setattr(type(loop), "_run_once", counted)
        woken = loop.create_future()
        loop.call_later(0.3, woken.set_result, None)
        await woken
        # Real time passes, the clock stands: whatever turned the loop now would be polling.
        assert turns <= 3
        assert faulty.trips == before

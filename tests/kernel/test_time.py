"""An engine judges by its store's time, and goes on following it."""

from __future__ import annotations

import time

import pytest

from insession import Engine, Kind, State
from insession.kernel.clock import Clock, monotonic
from insession.stores.memory import MemoryStore
from insession.testing.faulty import FaultyStore


class Elsewhere(FaultyStore):
    """A store on a machine with a clock of its own."""

    def __init__(self, ahead: float) -> None:
        super().__init__(MemoryStore())
        self.ahead = ahead

    async def now(self) -> float:
        return time.time() + self.ahead


@pytest.mark.parametrize("ahead", [-3600.0, 3600.0])
async def test_an_engine_shows_the_stores_time_and_is_never_ahead(ahead: float) -> None:
    async with Engine(Elsewhere(ahead)) as engine:
        shown = engine.clock.now()
        assert time.time() + ahead - 1.0 < shown <= time.time() + ahead


@pytest.mark.parametrize("step", [-3600.0, 3600.0])
async def test_a_stores_clock_that_was_set_is_followed(step: float) -> None:
    store = Elsewhere(0.0)
    async with Engine(store) as engine:
        store.ahead = step
        await engine._measure()
        assert time.time() + step - 1.0 < engine.clock.now() <= time.time() + step


async def test_a_process_whose_clock_is_an_hour_off_ends_nothing_early(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Elsewhere(0.0)
    async with Engine(store, kinds=[Kind("device", idle=60.0)]) as engine:
        session = await engine.open(kind="device")
        right = time.time
        with monkeypatch.context() as patched:
            patched.setattr(time, "time", lambda: right() + 3600.0)
            store.ahead = -3600.0  # the store's own clock is right: this process's is an hour ahead
            async with Engine(store, kinds=[Kind("device", idle=60.0)]) as wrong:
                assert (await wrong.get(session.id)).state is State.ACTIVE


def test_a_distance_that_may_be_right_stays() -> None:
    clock = Clock(100.0)
    clock.correct(99.0, 101.0)
    assert clock.now() == pytest.approx(100.0 + monotonic(), abs=0.5)
    clock.correct(200.0, 201.0)
    assert clock.now() == pytest.approx(200.0 + monotonic(), abs=0.5)
    clock.correct(50.0, 60.0)
    assert clock.now() == pytest.approx(50.0 + monotonic(), abs=0.5)

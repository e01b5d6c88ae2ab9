"""Leases by the server's own clock: the topics of the contract that are about them, in real time."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from insession.kernel.contract import Store
from insession.kernel.operations import Acquire, Granted
from insession.testing.clock import ManualClock
from insession.testing.contract.fences import Displacement, Fences
from insession.testing.contract.leases import Leases, Notes
from insession.testing.contract.samples import ask
from tests.servers.leases import lease_unit

from .conftest import redis


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = redis(tmp_path, None)
    await store.open()
    yield store
    await store.close()


@pytest.mark.server_clock
class TestLeasesInRealTime(Leases, Notes, Displacement, Fences):
    leases_by_clock = False

    @pytest.fixture(autouse=True)
    def unit(self) -> None:
        self.lease_unit = lease_unit() / 2

    @pytest.fixture
    def store(self, store: Store) -> Store:
        return store


async def test_it_tells_the_servers_time(store: Store) -> None:
    assert abs(await store.now() - time.time()) < 1.0


@pytest.mark.parametrize("ahead", [-3600.0, 3600.0])
async def test_a_lease_lasts_as_long_for_a_process_whose_clock_is_an_hour_off(store: Store, ahead: float) -> None:
    wrong = ManualClock(time.time() + ahead)
    before = await store.now()
    granted = await ask(store, Acquire("l", "a", wrong.now(), 10.0), Granted)
    assert before + 10.0 <= granted.until <= await store.now() + 10.0

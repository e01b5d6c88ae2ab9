"""What the topics of the contract suite have in common: the fixtures that a store's tests give."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from insession.kernel.contract import Store
from insession.kernel.operations import Counted, Purge
from insession.testing.clock import ManualClock

from .samples import ask


class Suite:
    """One topic of the contract.

    Inherit `StoreContract` and override `store`, and `other_store` where two instances can share their
    data. The tests are asynchronous: let anyio's pytest plugin run them (``anyio_mode = "auto"``), on asyncio.
    """

    lease_unit: float = 10.0
    """Leases of the suite live for one such unit: with a clock of the server's own, at most 0.1."""
    retention: float = 86_400.0
    """So long the store keeps events."""
    leases_by_clock = True
    """Whether leases go by the `clock`; else the suite waits for real."""

    @pytest.fixture
    def clock(self) -> ManualClock:
        """The clock that the tests drive."""
        return ManualClock()

    @pytest.fixture
    def store(self, clock: ManualClock) -> Any:
        """An open, empty store that goes by `clock`; closed after the test."""
        raise NotImplementedError("override the fixture `store`")

    @pytest.fixture
    def other_store(self, store: Store, clock: ManualClock) -> Any:
        """A second open instance on the data of `store`."""
        pytest.skip("this store lies in one instance")

    async def trim(self, store: Store, clock: ManualClock) -> None:
        """Make the log forget what it holds now; override it where retention does not go by time."""
        clock.set(clock.now() + self.retention + 1)
        while (await ask(store, Purge(clock.now()), Counted)).more:
            pass

    async def age_leases(self, clock: ManualClock, units: float) -> None:
        """Let so many units of leases' time pass."""
        if self.leases_by_clock:
            clock.set(clock.now() + units * self.lease_unit)
        else:
            await asyncio.sleep(units * self.lease_unit)

"""What stores on servers do of the most frequent operations by a shorter way: against memory, which has one way."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest

from insession.kernel.operations import Operation
from insession.testing.clock import ManualClock
from tests.stores.beside_memory import Pair, some_operation
from tests.stores.conftest import MAKERS

NAMES: Final = 12
STORES: Final = ("postgres", "redis", "redis-plain")


@pytest.fixture(params=STORES)
async def pair(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Pair]:
    clock = ManualClock()
    stores = [MAKERS[name](tmp_path, clock) for name in (request.param, "memory")]
    for store in stores:
        await store.open()
    yield Pair(clock, stores)
    for store in stores:
        await store.close()


@pytest.mark.parametrize("seed", range(2))
async def test_a_lone_operation_means_what_it_means_on_memory(pair: Pair, seed: int) -> None:
    chance, sent = random.Random(f"short {seed}"), list[Operation]()
    for _ in range(300):
        pair.clock.set(pair.clock.now() + chance.choice((0.0, 0.0, 0.5, 2.0)))
        if sent and chance.random() < 0.1:
            operation = chance.choice(sent[-5:])  # sent again: its change id is known, or another's came after it
        else:
            operation = some_operation(chance, chance.randrange(NAMES), pair.clock.now())
        sent.append(operation)
        await pair.both([operation])
    await pair.compare()

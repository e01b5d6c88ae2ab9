"""Dialogues over every store, and a second one, as another process has it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final, cast

import pytest

from insession import Store
from insession.dialogue import Dialogue
from insession.testing.clock import ManualClock
from tests.stores.conftest import MAKERS

from .samples import REGISTRY

STORES: Final = ("memory", "sqlite", "redis", "postgres")
Make = Callable[..., Any]
REAL_CLOCK: Final[dict[str, Any]] = {"engine_options": {}}
"""Leases of shared servers follow the servers' own clocks."""


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=STORES)
def store_name(request: pytest.FixtureRequest) -> str:
    return cast("str", request.param)


@pytest.fixture
def new_store(store_name: str, clock: ManualClock, tmp_path: Path) -> Callable[[], Store]:
    """Makes a store on this test's data; on memory there is one."""
    made = MAKERS[store_name](tmp_path, clock)

    def make() -> Store:
        nonlocal made
        found, made = made, made if store_name == "memory" else MAKERS[store_name](tmp_path, clock)
        return found

    return make


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
def opened(new_store: Callable[[], Store], clock: ManualClock, stack: AsyncExitStack) -> Make:
    """Opens a dialogue over the test's store; each is what another process would have."""

    async def open_one(**options: Any) -> Dialogue:
        options = {"registry": REGISTRY, "engine_options": {"clock": clock}, **options}
        return await stack.enter_async_context(Dialogue(new_store(), **options))

    return open_one


@pytest.fixture
async def dialogue(opened: Make) -> Dialogue:
    return cast("Dialogue", await opened())

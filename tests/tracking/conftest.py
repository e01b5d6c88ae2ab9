"""Managers of every test: on memory or SQLite, by a clock of the test's own, in folders that are gone afterwards."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from insession import Store
from insession.stores.memory import MemoryStore
from insession.testing.clock import ManualClock
from insession.testing.faulty import FaultyStore
from insession.tracking import SessionManager
from insession.tracking.logs import NAME

Managers = Callable[..., Awaitable[SessionManager]]
"""Makes an initialized manager: ``await managers(config, store=..., namespace=..., clock=..., ...)``."""


@pytest.fixture(autouse=True)
def state_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep each test out of the user's folders, and away from stores and keys of the environment."""
    monkeypatch.chdir(tmp_path)  # a cache of the hardware id is named from there
    folder = tmp_path / "state"
    monkeypatch.setenv("INSESSION_STATE_DIR", str(folder))
    for name in ("INSESSION_STORE", "INSESSION_KEYS", "INSESSION_HARDWARE_ID"):
        monkeypatch.delenv(name, raising=False)
    return folder


@pytest.fixture(autouse=True)
def level_of_the_log() -> Iterator[None]:
    """Put the level of the face's logger back: a configuration may set it."""
    logger = logging.getLogger(NAME)
    before = logger.level
    yield
    logger.setLevel(before)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def managers(clock: ManualClock) -> AsyncIterator[Managers]:
    """A factory of initialized managers, on memory and the test's clock where nothing else is said."""
    async with AsyncExitStack() as stack:

        async def make(config: object = None, store: str | Store | None = None, **options: Any) -> SessionManager:
            manager = SessionManager(config, store, **{"clock": clock, **options})
            assert await manager.initialize()
            stack.push_async_callback(manager.cleanup)
            return manager

        yield make


@pytest.fixture
async def manager(managers: Managers) -> SessionManager:
    """A manager with the defaults, on memory."""
    return await managers()


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """A database of this test's own, that several managers may share."""
    return f"sqlite:///{tmp_path / 'sessions.db'}"


@pytest.fixture
async def sqlite_manager(managers: Managers, sqlite_url: str) -> SessionManager:
    """A manager with the defaults, on SQLite."""
    return await managers(store=sqlite_url)


@pytest.fixture(params=["memory", "sqlite"])
async def any_manager(request: pytest.FixtureRequest, managers: Managers, sqlite_url: str) -> SessionManager:
    """A manager with the defaults, on each store in turn."""
    return await managers(store=None if request.param == "memory" else sqlite_url)


@pytest.fixture
def faulty(clock: ManualClock) -> FaultyStore:
    """A store that counts its operations and fails when it is told; hand it to a manager."""
    return FaultyStore(MemoryStore(clock=clock))


@pytest.fixture(params=["memory", "sqlite"])
def any_store(request: pytest.FixtureRequest, sqlite_url: str) -> str | None:
    """What to hand to a manager for each store in turn; on memory a manager has one of its own."""
    return None if request.param == "memory" else sqlite_url

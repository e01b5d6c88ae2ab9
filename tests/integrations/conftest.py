"""Managers of the tests, on memory and on SQLite, and their folders."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from insession.tracking import SessionManager

from .serving import Managers


@pytest.fixture(autouse=True)
def state_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep each test out of the user's state folder, and away from stores and keys of the environment."""
    folder = tmp_path / "state"
    monkeypatch.setenv("INSESSION_STATE_DIR", str(folder))
    for name in ("INSESSION_STORE", "INSESSION_KEYS", "INSESSION_HARDWARE_ID"):
        monkeypatch.delenv(name, raising=False)
    return folder


@pytest.fixture
async def managers() -> AsyncIterator[Managers]:
    """A factory of initialized managers."""
    async with AsyncExitStack() as stack:

        async def make(config: object = None, store: str | None = None, **options: Any) -> SessionManager:
            manager = SessionManager(config, store, **options)
            assert await manager.initialize()
            stack.push_async_callback(manager.cleanup)
            return manager

        yield make


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """A database of this test's own."""
    return f"sqlite:///{tmp_path / 'sessions.db'}"


@pytest.fixture(params=["memory", "sqlite"])
async def manager(request: pytest.FixtureRequest, managers: Managers, sqlite_url: str) -> SessionManager:
    """A manager on each store in turn."""
    return await managers(store=None if request.param == "memory" else sqlite_url)

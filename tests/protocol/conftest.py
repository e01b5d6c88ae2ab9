"""Storages of every test: over each store, by a clock of the test's own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, cast

import pytest

from insession.protocol import SessionStorage, SessionSubject
from insession.testing.clock import ManualClock
from tests.stores.conftest import MAKERS

from .samples import Key, Seen

Storages = Callable[..., SessionStorage]
"""Makes a storage on the test's store; on all but memory a second one shares its sessions."""
Subjects = Callable[..., SessionSubject]


@pytest.fixture(autouse=True)
def state_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep each test out of the user's folders, and away from stores of the environment."""
    monkeypatch.setenv("INSESSION_STATE_DIR", str(tmp_path / "state"))
    for name in ("INSESSION_STORE", "INSESSION_KEYS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=["memory", "sqlite", "redis", "postgres"])
def store(request: pytest.FixtureRequest) -> str:
    """Each store in turn."""
    return cast("str", request.param)


@pytest.fixture
def shared() -> str:
    """A store that two storages share, where it does not matter which."""
    return "sqlite"


@pytest.fixture
async def storages(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Storages]:
    """A factory of storages; all are closed in the end."""
    async with AsyncExitStack() as stack:

        def make(name: str = "memory", **options: Any) -> SessionStorage:
            made = SessionStorage(MAKERS[name](tmp_path, clock), clock=clock, **options)
            stack.push_async_callback(made.close)
            return made

        yield make


@pytest.fixture
async def storage(store: str, storages: Storages) -> SessionStorage:
    """A storage on each store."""
    return storages(store)


@pytest.fixture
async def subjects(storages: Storages, clock: ManualClock) -> AsyncIterator[Subjects]:
    """A factory of subjects on a store, or over a storage's class."""
    async with AsyncExitStack() as stack:

        def make(over: Any = "memory", *, seen: Seen | None = None, **options: Any) -> SessionSubject:
            factory = (lambda: storages(over)) if isinstance(over, str) else over
            made = SessionSubject(session_storage_factory=factory, **{"clock": clock, **options})
            stack.push_async_callback(made.close)
            if seen is not None:
                made.subscribe(seen)
            return made

        yield make


@pytest.fixture
def key() -> Key:
    return Key(2**2047 + 12_345)

"""What the tests of this face share: a place of their own, a double of the service, and contexts on it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from insession.remote.sankhya import AsyncSankhyaContext, SankhyaSettings
from insession.testing import SankhyaDouble

Opened = Callable[..., Awaitable[AsyncSankhyaContext]]
"""Opens a context on the double: ``await opened(store=..., max_sessions=..., ...)``, settings and options mixed."""
OPTIONS = ("store", "namespace", "keys", "on_renewal", "clock")


@pytest.fixture(autouse=True)
def place_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep each test out of the user's folders, and away from settings and stores of the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("INSESSION_STATE_DIR", str(tmp_path / "state"))
    for name in list(os.environ):
        if name.startswith("SANKHYA_") or name == "INSESSION_KEYS":
            monkeypatch.delenv(name)
    monkeypatch.setenv("INSESSION_STORE", "memory:")


@pytest.fixture
def double() -> Iterator[SankhyaDouble]:
    with SankhyaDouble(answers={"Own.service": "<resultado>1</resultado>"}) as double:
        yield double


def settings_for(double: SankhyaDouble, **settings: Any) -> SankhyaSettings:
    """Settings with which the double lets one in."""
    return SankhyaSettings(**{"base_url": double.url, "username": "SUP", "password": "secret", **settings})


def gateway_settings(double: SankhyaDouble, **settings: Any) -> SankhyaSettings:
    """Settings for the double's gateway."""
    secrets = {"client_id": "client", "client_secret": "client-secret", "token": "x-token"}
    return SankhyaSettings(**{"auth_base_url": double.url, **secrets, **settings})


@pytest.fixture
async def opened(double: SankhyaDouble) -> AsyncIterator[Opened]:
    async with AsyncExitStack() as stack:

        async def make(**given: Any) -> AsyncSankhyaContext:
            options = {name: given.pop(name) for name in list(given) if name in OPTIONS}
            return await stack.enter_async_context(AsyncSankhyaContext(settings_for(double, **given), **options))

        yield make

"""A service of our own for each module, and one in this process for what only a test can arrange."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from insession import Engine
from insession.service import create_app
from insession.service.server import _listen, _Server, _url
from tests.programs import INSESSION, Process, started

TOKENS = "full-token-of-the-tests read-only:reading-token-of-the-tests"


def bearer(token: str = TOKENS.partition(" ")[0]) -> str:
    """The header Authorization with a token."""
    return f"Bearer {token}"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    folder: Path = tmp_path_factory.mktemp("service")
    with started(*INSESSION, "serve", "--store", "memory:", "--port", "0", cwd=folder) as process:
        yield process
        code, errors = process.stop()
        # The one line that a test brings about on purpose.
        rest = [line for line in errors.splitlines() if not line.endswith("Invalid HTTP request received.")]
        assert (code, rest) == (0, [])


@pytest.fixture
def http(service: Process) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=service.url, trust_env=False, timeout=10.0) as client:
        yield client


@contextlib.asynccontextmanager
async def served(engine: Engine | str, **options: Any) -> AsyncIterator[httpx2.AsyncClient]:
    """An application on a real socket of this process's loop, and a client of it."""
    listening = asyncio.Event()
    with _listen("127.0.0.1", 0) as listener:
        app = options.pop("app", None) or create_app(engine, **options)
        server = _Server(app, listening.set)
        task = asyncio.create_task(server.serve([listener]))
        try:
            async with asyncio.timeout(10.0):
                await listening.wait()
            async with httpx2.AsyncClient(base_url=_url(listener), trust_env=False, timeout=10.0) as client:
                yield client
        finally:
            server.should_exit = True
            await task

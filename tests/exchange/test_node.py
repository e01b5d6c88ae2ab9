"""Against the reference implementation's servers: npm's socket.io on Node.js, not only python-socketio's."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Any

import pytest

from insession.exchange.errors import AuthRefused, UnsupportedServer
from insession.exchange.options import SessionStarterOptions
from insession.exchange.outcomes import Outcome
from insession.exchange.session import Session
from insession.exchange.settings import ExchangeSettings

from .failing import right, steady
from .node.running import NodePlatform, packages, serving

pytestmark = [pytest.mark.processes, pytest.mark.timeout(90)]
SERVER: dict[str, Any] = {"transports": ["websocket"], "pingInterval": 500, "pingTimeout": 500}
OPTIONS = SessionStarterOptions(file_count=10, file_timeout=60)


@pytest.fixture(scope="session")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where npm's packages lie; one folder for all workers of a run."""
    return packages(tmp_path_factory.getbasetemp().parent / "npm")


def session(platform: NodePlatform, root: Path, **given: Any) -> Session:
    wanted: dict[str, Any] = {
        "token": "participant",
        "host": platform.url,
        "root": root,
        "store": f"sqlite:///{root / 'journal.db'}",
        "join_timeout": 0.5,
        "retry_first": 0.05,
        "retry_longest": 0.2,
        **given,
    }
    return Session(ExchangeSettings(**wanted), solution=steady)


@pytest.mark.requirement("R3", "R21", "R22", "R33")
@pytest.mark.parametrize("drop_every", [0, 5])
async def test_a_session_with_socket_io_4(modules: Path, tmp_path: Path, drop_every: int) -> None:
    with serving(modules / "socket.io4", SERVER, count=20, interval=10, dropEvery=drop_every) as platform:
        async with session(platform, tmp_path) as client:
            assert await client.run(OPTIONS) is Outcome.FINISH
        answers = dict(await asyncio.to_thread(platform.until, "answers"))
        contents = dict(await asyncio.to_thread(platform.until, "contents"))
        said = await asyncio.to_thread(platform.rest)
    assert [value for what, value in said if what == "start"] == [OPTIONS.prepare_to_command()]
    assert not [value for what, value in said if what == "violation"]
    # Engine.IO 4: the first line, and one more for each that was lost.
    lines = [value for what, value in said if what == "connection"]
    assert set(lines) == {4}
    assert len(lines) == 1 if drop_every == 0 else len(lines) > 3
    for name, content in contents.items():
        saved = next(path for path in _saved(tmp_path) if path.read_text("utf-8") == content)
        assert answers[name] == right(_digest(saved))
    assert len(_saved(tmp_path)) == len(contents) == 20


def _saved(root: Path) -> list[Path]:
    return list((root / "files/sessions/4711/input").iterdir())


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.requirement("R5")
async def test_a_token_that_socket_io_4_refuses(modules: Path, tmp_path: Path) -> None:
    with serving(modules / "socket.io4", SERVER, count=1, interval=10, dropEvery=0) as platform:
        async with session(platform, tmp_path, token="other") as client:
            with pytest.raises(AuthRefused, match="unknown token"):
                await client.start(OPTIONS)
        assert [what for what, _ in await asyncio.to_thread(platform.rest)].count("connection") == 1


@pytest.mark.requirement("R15", "R32")
async def test_an_abort_that_socket_io_4_confirms(modules: Path, tmp_path: Path) -> None:
    with serving(modules / "socket.io4", SERVER, count=100, interval=50, dropEvery=0) as platform:
        async with session(platform, tmp_path) as client:
            await client.start(OPTIONS)
            await client.abort("enough")
            assert client.outcome is Outcome.CLIENT_ABORT
        said = dict(await asyncio.to_thread(platform.rest))
    assert said["abort"] == {"sessionId": "4711", "message": "enough"}


@pytest.mark.requirement("R38")
async def test_socket_io_2_is_named_in_one_sentence(modules: Path, tmp_path: Path) -> None:
    with serving(modules / "socket.io2", SERVER, count=1, interval=10, dropEvery=0) as platform:
        async with session(platform, tmp_path) as client:
            with pytest.raises(UnsupportedServer, match=r"socket\.io 2 .* allowEIO3"):
                await client.start(OPTIONS)


@pytest.mark.requirement("R38")
async def test_a_server_that_takes_both_is_served_with_the_newer(modules: Path, tmp_path: Path) -> None:
    both = {**SERVER, "allowEIO3": True}
    with serving(modules / "socket.io4", both, count=3, interval=10, dropEvery=0) as platform:
        async with session(platform, tmp_path) as client:
            assert await client.run(OPTIONS) is Outcome.FINISH
        said = await asyncio.to_thread(platform.rest)
    assert [value for what, value in said if what == "connection"] == [4]

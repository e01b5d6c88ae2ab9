"""Real processes on one store: what one does the other knows, hears, and finds again after a restart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.servers import valkey
from tests.servers.postgres import fresh_schema, shared_server

from .samples import Key
from .worker import Neighbour

pytestmark = pytest.mark.processes
KEY = 2**2047 + 99


@pytest.fixture(params=["sqlite", "redis", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """A store's URL and namespace."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'sessions.db'}", "default"
    if request.param == "redis":
        return valkey.shared().url, valkey.namespace_of(tmp_path)
    return shared_server().url(fresh_schema()), "default"


@pytest.fixture
async def pair(place: tuple[str, str]) -> AsyncIterator[list[Neighbour]]:
    """Two processes."""
    async with AsyncExitStack() as stack:
        both = [await stack.enter_async_context(Neighbour(*place)) for _ in range(2)]
        for one in both:
            await one.until("ready")
        yield both


async def ask(process: Neighbour, call: str, session_id: int = 1) -> tuple[bool, list[list[str]]]:
    """What a process answers, and what it was told before."""
    await process.say(f"{call} {KEY} {session_id}")
    told: list[list[str]] = []
    while (line := await process.line())[0] != "answer":
        told.append(line)
    return line[1] == "True", told


@pytest.mark.requirement("P27", "P28", "P29", "P39")
async def test_two_processes_and_a_restart(place: tuple[str, str], pair: list[Neighbour]) -> None:
    first, second = pair
    key_id = str(Key(KEY).id)
    # Both meet the new session at the same moment: one creates it, and each is told once.
    answers = await asyncio.gather(ask(first, "create"), ask(second, "create"))
    assert sorted(answer for answer, _ in answers) == [False, True]
    for process, (_, told) in zip(pair, answers, strict=True):
        line = (told or [await process.line()])[0]
        assert line[:4] == ["told", "created", "1", key_id]
    assert (await ask(first, "has"))[0]
    assert (await ask(second, "has"))[0]
    # Destroyed there, it is gone here, and told.
    answer, told = await ask(second, "destroy")
    assert answer
    assert [line[1] for line in told] == ["destroyed"]
    assert await first.line() == ["told", "destroyed", "1", key_id, "None"]
    assert not (await ask(first, "has"))[0]
    # A restart forgets nothing.
    assert (await ask(first, "create", 2))[0]
    first.kill()
    second.kill()
    async with Neighbour(*place) as third:
        await third.until("ready")
        assert (await ask(third, "has", 2)) == (True, [])
        assert (await ask(third, "create", 2)) == (False, [])

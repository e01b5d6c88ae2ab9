"""`kill -9` of a process that writes: what it had acknowledged is there, and nothing is there by half."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import pytest

import insession
from insession import State

from . import kinds
from .checking import all_sessions, by_id, check_events, check_file, check_positions, whole_log
from .running import Worker, sqlite_url

Acknowledged = list[list[str]]


async def _killed(url: str, seed: str, lines: int) -> Acknowledged:
    """What a process said before it was killed, in the middle of its work."""
    async with Worker("churn", url, 8, seed) as worker:
        said = [await worker.line() for _ in range(lines)]
        assert all(said), "the process has died by itself"
        worker.kill()
        return said + await worker.rest()


def _check_acknowledged(said: Acknowledged, sessions: dict[str, insession.Session]) -> None:
    for word, session_id, what in said:
        session = sessions[session_id]  # every acknowledged open
        if word == "opened":
            assert session.version >= int(what)
        elif word == "updated":
            assert session.data["step"] >= int(what)
        else:
            assert (session.state, session.reason) == (State.CLOSED, what)


async def kill_repeatedly(
    urls: Sequence[str], kills: int, *, file: Path | None = None, seed: int = 1, lines: tuple[int, int] = (50, 400)
) -> int:
    """Kill a process under load again and again, on one store; how many acknowledgements were checked.

    All ``urls`` are of the same store. ``file``: where an embedded one lies.
    """
    chance = random.Random(seed)
    said: Acknowledged = []
    for turn in range(kills):
        said += await _killed(chance.choice(urls), f"{seed}-{turn}", chance.randint(*lines))
        if file is not None:
            await check_file(file)
    async with insession.connect(urls[0], kinds=[kinds.CHURN]) as engine:
        sessions = await all_sessions(engine, "churn")
        events = await whole_log(engine)
        check_positions(events)
        _check_acknowledged(said, sessions)
        found = by_id(events)
        assert found.keys() == sessions.keys()
        for session_id, session in sessions.items():
            check_events(session, found[session_id])
    return len(said)


def of_file(folder: Path) -> list[str]:
    """The URLs of one file, as safe as may be, and as fast."""
    return [sqlite_url(folder, synchronous) for synchronous in ("full", "normal")]


@pytest.mark.processes
async def test_what_was_acknowledged_outlives_kill_9(tmp_path: Path) -> None:
    assert await kill_repeatedly(of_file(tmp_path), 5, file=tmp_path / "sessions.db") > 250


@pytest.mark.processes
async def test_what_a_server_acknowledged_outlives_kill_9_of_its_client(server_url: str) -> None:
    assert await kill_repeatedly([server_url], 3) > 150

"""The storm: a session whose line is lost in every way, whose solutions fail in every way, whose process is killed."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from insession.exchange.files import SessionFiles
from insession.exchange.holding import exchange_engine
from insession.exchange.looking import newest, see
from insession.exchange.names import safe_name
from insession.testing.platform import Counters, FileCount, PlatformDouble, PlatformFaults, PlatformRules
from insession.testing.platform.rules import FileId
from insession.testing.platform.watching import Watched
from tests.processes.running import Worker

from .failing import right

MODULE = "tests.exchange.participating"
PING: Final[Mapping[str, Any]] = {"ping_interval": 1, "ping_timeout": 1.0}


def settings(platform: Watched, root: Path, **given: Any) -> dict[str, Any]:
    """Settings of a participant of this platform, all of its files below a folder."""
    return {
        "token": "participant",
        "host": platform.url,
        "root": str(root),
        "store": f"sqlite:///{root / 'journal.db'}",
        "join_timeout": 1.0,
        "retry_first": 0.1,
        "retry_longest": 1.0,
        **given,
    }


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen from both sides."""

    counters: Counters
    states: Mapping[FileId, str]
    """What the journal says of each file at the end."""


async def storm(
    root: Path,
    *,
    files: int,
    drop_every: int,
    kills: Sequence[int],
    patience: float = 90,
    **options: Any,
) -> Seen:
    """Serve a session through it; the process is killed each time that results of so many files have come.

    Where answers may stay unknown the platform waits for them in vain: it is told to abort when nothing is left to do.
    """
    rules = PlatformRules(count=files, interval=0.01, patience=patience, **PING)
    faults = PlatformFaults(drop_every=drop_every, duplicate_every=13, swap_every=17, foreign_every=50)
    async with PlatformDouble(rules=rules, faults=faults) as platform:
        given = settings(platform, root, **options)
        for kill in kills:
            await _killed_at(kill, platform, given)
        async with Worker(*_role(platform, given), module=MODULE) as worker:
            if options.get("resend") == "never":
                await _all_told(files, given["store"])
                await asyncio.to_thread(platform.abort)
            await worker.rest()
        return Seen(platform.counters(), await states(given["store"]))


async def _all_told(files: int, store: str) -> None:
    """Wait until the journal knows of each file what became of its answer."""
    async with asyncio.timeout(90):
        while _told(await states(store)) < files:  # noqa: ASYNC110 - another process writes it
            await asyncio.sleep(0.2)


def _told(seen: Mapping[FileId, str]) -> int:
    return sum(state in {"acknowledged", "unknown"} for state in seen.values())


async def states(store: str, participant: str = "participant") -> dict[FileId, str]:
    """What the journal of the newest session says of its files."""
    async with exchange_engine(store) as engine:
        session = await newest(engine, participant)
        assert session is not None
        return {file.id: file.state for file in (await see(session)).report.files.values()}


def _role(platform: PlatformDouble, given: dict[str, Any]) -> tuple[str, str]:
    return ("reconnect" if platform.counters().starts else "start"), json.dumps(given)


async def _killed_at(results: int, platform: PlatformDouble, given: dict[str, Any]) -> None:
    async with Worker(*_role(platform, given), module=MODULE) as worker:
        await asyncio.to_thread(
            platform.wait_until, lambda counters: counters.results >= results or bool(counters.closed), 60
        )
        worker.kill()


def judge_inputs(counters: Counters, root: Path) -> None:
    """Every file that was sent lies on the disk, byte for byte, and nothing else does."""
    for file in counters.files:
        path = SessionFiles(root, file.session).received(safe_name(file.id))
        assert path.stat().st_size == file.size
        assert _sha256(path) == file.sha256
    folder = SessionFiles(root, counters.sessions[0]).input
    assert sorted(path.suffix for path in folder.iterdir()) == [".xml"] * len(counters.files)


def judge_answers(seen: Seen) -> Counter[str]:
    """Every file has exactly one answer, and it is its own; how many have a solution's, and how many a fallback."""
    assert seen.counters.violations == []
    sorts: Counter[str] = Counter()
    for file in seen.counters.files:
        state = seen.states[file.id]
        if state == "unknown":
            assert file.results <= 1, "it went again, though that was never to be"
            sorts["unknown"] += 1
            continue
        assert state == "acknowledged", f"{file.id} is {state}, sent {file.sent} times, with {file.results} results"
        assert file.answers == 1, f"{file.id} has {file.answers} answers"
        assert file.equal, f"{file.id} was answered with different bytes"
        sorts[_sort(file)] += 1
    return sorts


def _sort(file: FileCount) -> str:
    if file.answer == right(file.sha256):
        return "solved"
    assert file.answer is not None
    assert json.loads(file.answer) == [{"instead": file.id}], f"{file.id} has the answer of another file"
    return "fallback"


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()

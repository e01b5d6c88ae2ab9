"""The storm: a session whose line is lost in every way, whose solutions fail in every way, whose process is killed."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from insession.exchange.files import SessionFiles
from insession.exchange.names import safe_name
from insession.testing.platform import Counters, FileCount, PlatformDouble, PlatformFaults, PlatformRules
from insession.testing.platform.watching import Watched
from tests.processes.running import Worker

from .solving import right, spoilt

MODULE = "tests.exchange.participating"
PING = {"ping_interval": 1, "ping_timeout": 1.0}


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
    told: list[list[str]]
    """What the participants said, one after another."""

    def ids(self, what: str) -> set[str]:
        """The files of which it was said."""
        return {line[1] for line in self.told if line[0] == what}


async def storm(
    root: Path, *, files: int, drop_every: int, kills: Sequence[int], resend: str = "always", **options: Any
) -> Seen:
    """Serve a session through it; the process is killed each time that so many files are answered."""
    rules = PlatformRules(count=files, interval=0.01, patience=40, **PING)
    faults = PlatformFaults(drop_every=drop_every, duplicate_every=13, swap_every=17, foreign_every=50)
    told: list[list[str]] = []
    async with PlatformDouble(rules=rules, faults=faults) as platform:
        given = settings(platform, root, resend=resend, **options)
        for kill in kills:
            told += await _killed_at(kill, platform, given)
        async with Worker(*_role(platform, given), module=MODULE) as worker:
            told += await worker.rest()
        return Seen(platform.counters(), told)


def _role(platform: PlatformDouble, given: dict[str, Any]) -> tuple[str, str]:
    return ("reconnect" if platform.counters().starts else "start"), json.dumps(given)


async def _killed_at(answered: int, platform: PlatformDouble, given: dict[str, Any]) -> list[list[str]]:
    async with Worker(*_role(platform, given), module=MODULE) as worker:
        await asyncio.to_thread(platform.wait_until, lambda counters: counters.answered >= answered, 60)
        worker.kill()
        return await worker.rest()


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
    for place, file in enumerate(seen.counters.files, 1):
        if str(file.id) in seen.ids("unknown"):
            assert file.results <= 1, "it went again, though that was never to be"
            sorts["unknown"] += 1
            continue
        assert file.answers == 1, f"{file.id} has {file.answers} answers"
        assert file.equal, f"{file.id} was answered with different bytes"
        sorts[_sort(file, place)] += 1
    return sorts


def _sort(file: FileCount, place: int) -> str:
    if file.answer == right(file.sha256):
        assert not spoilt(place)
        return "solved"
    assert file.answer is not None
    assert json.loads(file.answer) == [{"instead": file.id}], f"{file.id} has the answer of another file"
    return "fallback"


def _sha256(path: Path) -> str:
    import hashlib

    return hashlib.sha256(path.read_bytes()).hexdigest()

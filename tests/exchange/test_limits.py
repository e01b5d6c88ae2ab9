"""The edges of sizes and names: nothing large is lost, nothing large is sent for ever, and no id leaves its folder."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from insession.exchange.contracts import ExchangeEvent, What
from insession.exchange.epicrisis import Epicrisis
from insession.exchange.options import SessionStarterOptions
from insession.exchange.outcomes import Outcome
from insession.exchange.session import Session
from insession.exchange.settings import ExchangeSettings
from insession.testing.platform import Counters, PlatformDouble, PlatformFaults, PlatformFile, PlatformRules

from .failing import right, steady
from .storm import settings, states

LARGE = 32 << 20
OPTIONS = SessionStarterOptions(file_count=10, file_timeout=60)
EVIL = ("../../../../evil", "..", "/etc/evil", "x" * 10_000, "a/b", "a\\b", "CON", "файл", ".hidden", "a\x00b")


async def served(
    root: Path,
    files: tuple[PlatformFile, ...],
    solution: Any = steady,
    faults: PlatformFaults | None = None,
    **rules: Any,
) -> tuple[Outcome, Counters, list[ExchangeEvent]]:
    """One session of these files, to its end."""
    events: list[ExchangeEvent] = []
    made = PlatformRules.of({"interval": 0.0, "patience": 20} | rules)
    async with PlatformDouble(rules=made, faults=faults, files=files) as platform:
        given = ExchangeSettings(**settings(platform, root))
        async with Session(given, solution=solution, on_event=events.append) as session:
            outcome = await session.run(OPTIONS)
        return outcome, platform.counters(), events


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.requirement("R23", "R26")
async def test_content_of_32_mib_arrives(tmp_path: Path) -> None:
    file = PlatformFile(id="large", content="я" * (LARGE // 2))
    outcome, counters, _ = await served(tmp_path, (file,))
    assert outcome is Outcome.FINISH
    assert counters.files[0].size == LARGE
    assert counters.files[0].answer == right(file.sha256)
    assert (tmp_path / "files/sessions/1001/input/large.xml").stat().st_size == LARGE


async def test_an_answer_above_the_servers_limit_is_reported_once(tmp_path: Path) -> None:
    async def too_large(epicrisis: Epicrisis) -> str:
        return "x" * 100_000 if epicrisis.id == "poison" else await steady(epicrisis)

    files = tuple(PlatformFile(id=name, content=name) for name in ("first", "poison", "last"))
    outcome, counters, events = await served(
        tmp_path, files, too_large, max_http_buffer_size=50_000, ending="time", patience=3
    )
    assert outcome is Outcome.FINISH
    assert [file.answers for file in counters.files] == [1, 0, 1]
    refused = [event for event in events if event.what is What.REFUSED]
    assert [event.file_id for event in refused] == ["poison"]
    assert "50000" in refused[0].message
    # It never went over the line, which was therefore never cut.
    assert counters.connections == 1
    assert (await states(f"sqlite:///{tmp_path / 'journal.db'}"))["poison"] == "refused"


@pytest.mark.requirement("R33", "R37")
async def test_evil_ids_harm_nothing(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    files = tuple(PlatformFile(id=evil, content=f"content of {place}") for place, evil in enumerate(EVIL))
    outcome, counters, _ = await served(root, (*files, PlatformFile(id="good", content="good")))
    assert outcome is Outcome.FINISH
    assert counters.violations == []
    assert [file.answer for file in counters.files] == [right(file.sha256) for file in counters.files]
    inside = sorted(path.name for path in (root / "files/sessions/1001/input").iterdir())
    assert len(inside) == len(files) + 1
    assert all(len(name.encode()) <= 130 for name in inside)
    assert [path for path in files_below(tmp_path) if root not in path.parents] == []
    assert {path.name for path in root.iterdir()} <= {"files", "journal.db", "journal.db-wal", "journal.db-shm"}


@pytest.mark.requirement("R35")
async def test_foreign_and_empty_ids_are_refused_and_reported(tmp_path: Path) -> None:
    files = (PlatformFile(id="", content="nobody's"), PlatformFile(id="good", content="good"))
    faults = PlatformFaults(foreign_every=2)
    outcome, counters, events = await served(tmp_path, files, faults=faults, ending="time", patience=2)
    assert outcome is Outcome.FINISH
    assert counters.violations == []
    assert [file.answers for file in counters.files] == [0, 1]
    reported = Counter(event.what for event in events)[What.REPORTED]
    assert reported == 2
    assert [path.name for path in (tmp_path / "files/sessions/1001/input").iterdir()] == ["good.xml"]
    assert not [path for path in files_below(tmp_path) if "9000" in path.parts]


@pytest.mark.requirement("R35")
async def test_a_file_without_a_session_is_of_this_one(tmp_path: Path) -> None:
    outcome, counters, _ = await served(tmp_path, (PlatformFile(id=7, content={"a": "ё"}),), names_session=False)
    assert outcome is Outcome.FINISH
    assert counters.violations == []
    assert counters.files[0].answer == right(PlatformFile(id=7, content='{"a":"ё"}').sha256)

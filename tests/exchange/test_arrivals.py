"""Files that come while nobody knows yet which session is served, say because a killed process left a lease behind."""

from __future__ import annotations

from typing import Any, cast

import pytest

from insession.exchange.connector import arrivals
from insession.exchange.connector.arrivals import Arrivals
from insession.exchange.connector.results import Results
from insession.exchange.contracts import Id, Received, WorkDesk
from insession.exchange.dialects import FileCame


class Taking:
    """A desk and results that only say what came."""

    def __init__(self) -> None:
        self.files: list[tuple[Id, bytes | None]] = []
        self.reports: list[str] = []

    def know(self, file_id: Id, raw: Any) -> None:
        """See `Results`."""

    async def take_in(self, file: Received) -> None:
        self.files.append((file.file_id, file.content))

    def report(self, problem: str, file_id: Id | None) -> None:
        self.reports.append(problem)


def made() -> tuple[Arrivals, Taking]:
    taking = Taking()
    return Arrivals(cast("WorkDesk", taking), cast("Results", taking), taking.report), taking


def came(number: int, content: bytes = b"") -> FileCame:
    return FileCame(session_id="s", file_id=f"{number:05}", content=content)


@pytest.mark.requirement("R45")
async def test_each_waits_once_however_often_new_lines_bring_it() -> None:
    early, taking = made()
    for line in range(3):
        for number in range(3_000):
            early.came(came(number, b"%d" % line))
    early.open("s")
    await early.settled(10.0)
    assert [file_id for file_id, _ in taking.files] == [f"{number:05}" for number in range(3_000)]
    assert {content for _, content in taking.files} == {b"2"}
    assert taking.reports == []


async def test_what_does_not_fit_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrivals, "MOST_EARLY", 2)
    early, taking = made()
    for number in (1, 2, 3, 2):
        early.came(came(number))
    early.open("s")
    await early.settled(10.0)
    assert [file_id for file_id, _ in taking.files] == ["00001", "00002"]
    assert len(taking.reports) == 1

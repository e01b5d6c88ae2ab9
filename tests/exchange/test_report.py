"""The report: a verdict on each file, counts, and JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from insession.exchange.contracts import ExchangeEvent, Id, What
from insession.exchange.outcomes import Outcome
from insession.exchange.report import FileReport, Report


def told(*events: tuple[What, Id | None], **detail: Any) -> Report:
    report = Report()
    for at, (what, file) in enumerate(events):
        report.tell(ExchangeEvent(what=what, at=float(at), session_id=12, file_id=file, detail=detail))
    return report


WAY = (What.RECEIVED, What.SAVED, What.SOLVING, What.SOLVED, What.SENT, What.ACKNOWLEDGED)


def test_the_way_of_a_file() -> None:
    report = told(*((what, "7") for what in WAY))
    (file,) = report.files.values()
    assert (file.state, file.received, file.solved, file.sent, file.settled) == ("acknowledged", 0.0, 3.0, 4.0, 5.0)
    assert file.done
    assert report.session_id == 12


def test_a_number_and_its_digits_are_one_file() -> None:
    assert [file.id for file in told((What.RECEIVED, 7), (What.RECEIVED, "7")).files.values()] == [7]


def test_what_is_acknowledged_stays_that() -> None:
    report = told(*((what, 7) for what in WAY), (What.SENT, 7), (What.REPEATED, 7))
    assert report.files["7"].state == "acknowledged"
    assert (report.totals().resent, report.totals().repeated) == (1, 1)


def test_counts() -> None:
    report = told(
        (What.CONNECTED, None),
        (What.RECEIVED, 1),
        (What.FAILED, 1),
        (What.RECEIVED, 2),
        (What.FALLBACK, 2),
        (What.SENT, 2),
        (What.REFUSED, 2),
        (What.RECEIVED, 3),
        (What.DISCONNECTED, None),
        (What.REPORTED, "stranger"),
    )
    totals = report.totals()
    assert totals.states == {"received": 1, "refused": 1, "failed": 1}
    assert (totals.files, totals.fallbacks, totals.disconnects, totals.reported) == (3, 1, 1, 1)
    assert [file.id for file in report.lost] == [1, 2]
    assert [file.id for file in report.open] == [3]
    assert not report.connected


@pytest.mark.requirement("R31")
@pytest.mark.parametrize("outcome", Outcome)
def test_an_outcome_has_its_own_exit_code(outcome: Outcome) -> None:
    for said in (outcome, outcome.value):
        report = told((What.ENDED, None), outcome=said)
        assert report.outcome is outcome
        assert report.as_dict()["exit_code"] == outcome.exit_code
    assert len({one.exit_code for one in Outcome}) == len(Outcome)


def test_the_nearest_deadline_is_first() -> None:
    files = [FileReport(id=1), FileReport(id=2, deadline=9.0), FileReport(id=3, deadline=5.0)]
    assert [file.id for file in Report.of_journal("s", files).open] == [3, 2, 1]


def test_it_is_written_as_json(tmp_path: Path) -> None:
    report = told(*((what, "7") for what in WAY), (What.ENDED, None), outcome=Outcome.FINISH)
    path = tmp_path / "deep" / "report.json"
    report.write(path)
    read = json.loads(path.read_text())
    assert (read["session"], read["outcome"], read["exit_code"]) == (12, "finish", 0)
    assert read["files"][0]["state"] == "acknowledged"
    assert read["totals"]["states"] == {"acknowledged": 1}
    assert [one.name for one in path.parent.iterdir()] == ["report.json"]

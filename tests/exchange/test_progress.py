"""What a person sees of a session."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from insession.exchange.contracts import ExchangeEvent, What
from insession.exchange.progress import ProgressDisplay, line, summary
from insession.exchange.report import FileReport, Report


def shown(picture: Any, width: int = 100) -> str:
    stream = io.StringIO()
    Console(file=stream, width=width).print(picture)
    return stream.getvalue()


def report_of(*files: FileReport) -> Report:
    return Report.of_journal("s-1", files)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_display_says_how_far_it_is() -> None:
    report = report_of(FileReport(id=1, state="acknowledged"), FileReport(id=2, state="solving", deadline=130.0))
    report.connected, report.began = True, 40.0
    text = shown(ProgressDisplay(report, clock=lambda: 100.0).picture())
    assert text.strip() == ("session s-1 · connected · 1 solving, 1 acknowledged · next deadline in 0:30 · 1:00")
    assert "━" in shown(ProgressDisplay(report, total=4, clock=lambda: 100.0).picture())


def test_it_moves_on_a_terminal_and_is_silent_elsewhere() -> None:
    terminal, pipe = Terminal(), io.StringIO()
    for stream in (terminal, pipe):
        with ProgressDisplay(Report(), stream=stream):
            pass
    assert "no session yet" in terminal.getvalue()
    assert pipe.getvalue() == ""


def test_what_went_wrong_is_in_the_table_however_many_files_there_are() -> None:
    files = [FileReport(id=number, state="acknowledged") for number in range(1_000)]
    files[3] = FileReport(id=3, state="refused", message="late")
    text = shown(summary(report_of(*files)))
    assert "late" in text
    assert " 999 " in text
    assert " 500 " not in text
    assert "and 970 more" in text
    assert "1000 files, 999 acknowledged, 1 refused" in text


def test_a_platform_s_text_moves_no_cursor() -> None:
    file = FileReport(id="\x1b[2J", state="refused", message="\x1b]0;x\x07[red]no[/red]")
    text = shown(summary(report_of(file)))
    assert "\x1b" not in text
    assert "[red]no[/red]" in text
    assert "\x1b" not in line(file).partition(":")[0]


@pytest.mark.parametrize(
    ("file", "says"),
    [
        (FileReport(id=1, state="acknowledged", received=1.0, settled=2.5), "file 1 acknowledged after 1.5 s"),
        (FileReport(id=1, state="acknowledged", fallback=True), "file 1 acknowledged, by the fallback"),
        (FileReport(id="x" * 90, state="failed", message="late"), f"file {'x' * 39}… failed: late"),
    ],
)
def test_a_verdict_in_a_line(file: FileReport, says: str) -> None:
    assert line(file) == says


def test_counts_of_a_hard_day() -> None:
    report = Report()
    for what in (What.RECEIVED, What.REPEATED, What.FALLBACK, What.SENT, What.SENT):
        report.tell(ExchangeEvent(what=what, at=1.0, file_id=1))
    report.tell(ExchangeEvent(what=What.DISCONNECTED, at=2.0))
    report.tell(ExchangeEvent(what=What.REPORTED, at=2.0))
    text = " ".join(shown(summary(report), 200).split())
    assert text.endswith(
        "1 files, 1 sent, 1 by the fallback, 1 sent again, 1 came twice, 1 times the line was lost, 1 not taken"
    )

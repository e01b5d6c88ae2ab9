"""A session as a person sees it: a display that moves while it runs, and a table at its end. Needs rich."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self, TextIO

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from .report import FAILED, FileReport, Report

__all__ = ["ProgressDisplay", "line", "summary"]
_STYLES: Final = {"acknowledged": "green", "refused": "red", "failed": "red", "unknown": "yellow"}
_SHOWN: Final = 30
"""So many files are in the table of a session that has more: those that went wrong, then the last ones."""
_A_SECOND: Final = 4
_BAR: Final = 40
_LONGEST: Final = 40
_MINUTE: Final = 60


class ProgressDisplay:
    """Shows a report while the block runs, on a terminal; elsewhere it shows nothing.

    Args:
        report: What is shown; it is looked at four times a second, from a thread of rich's.
        total: How many files the session was asked for, if that is known.
        stream: The terminal; else standard error.
        clock: Wall clock time (s).
    """

    def __init__(
        self,
        report: Report,
        *,
        total: int | None = None,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.total: int | None = total
        self._report: Report = report
        self._clock: Callable[[], float] = clock
        stream = stream or sys.stderr
        self._live: Live | None = None
        if stream.isatty():
            self._live = Live(
                console=Console(file=stream),
                get_renderable=self.picture,
                refresh_per_second=_A_SECOND,
                transient=True,
                # What goes into a pipe is not to be drawn on the terminal.
                redirect_stdout=sys.stdout.isatty(),
                redirect_stderr=sys.stderr.isatty(),
            )

    def picture(self) -> RenderableType:
        """What is shown now."""
        now, report = self._clock(), self._report
        states = report.totals().states
        parts = [f"session {_short(report.session_id)}" if report.session_id is not None else "no session yet"]
        parts.append("connected" if report.connected else "not connected")
        parts.append(", ".join(f"{count} {state}" for state, count in states.items()) or "no file yet")
        waiting = next((file for file in report.open if file.deadline is not None), None)
        if waiting is not None and waiting.deadline is not None:
            parts.append(f"next deadline in {_span(waiting.deadline - now)}")
        if report.began is not None:
            parts.append(_span(now - report.began))
        text = Text(" · ".join(parts), overflow="ellipsis")
        if not self.total:
            return text
        return Group(ProgressBar(self.total, states.get("acknowledged", 0), _BAR), text)

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()


def line(file: FileReport) -> str:
    """The verdict on a file, in a line."""
    took = "" if file.settled is None or file.received is None else f" after {file.settled - file.received:.1f} s"
    how = ", by the fallback" if file.fallback else ""
    said = f": {file.message}" if file.message else ""
    return f"file {_short(file.id)} {file.state}{took}{how}{said}"


def summary(report: Report) -> RenderableType:
    """The table at the end: files, those that went wrong first, and the counts."""
    files = list(report.files.values())
    lost = report.lost[:_SHOWN]
    others = [file for file in files if file.state not in FAILED]
    shown = lost + others[max(0, len(others) + len(lost) - _SHOWN) :]
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in ("file", "state", "answered after", "sent", "remark"):
        table.add_column(name, overflow="fold")
    for file in shown:
        table.add_row(*_row(file))
    parts: list[RenderableType] = [table] if files else []
    if len(files) > len(shown):
        parts.append(Text(f"and {len(files) - len(shown)} more; the report holds all of them", "dim"))
    return Group(*parts, counts(report))


def counts(report: Report) -> Text:
    """The counts of a report, in a line."""
    totals = report.totals()
    said = [f"{totals.files} files", *(f"{count} {state}" for state, count in totals.states.items())]
    more = {
        "by the fallback": totals.fallbacks,
        "sent again": totals.resent,
        "came twice": totals.repeated,
        "times the line was lost": totals.disconnects,
        "not taken": totals.reported,
    }
    return Text(", ".join([*said, *(f"{count} {what}" for what, count in more.items() if count)]))


def _row(file: FileReport) -> list[Text]:
    answered = file.solved if file.sent is None else file.sent
    took = "" if answered is None or file.received is None else f"{answered - file.received:.1f} s"
    remark = "; ".join([*(["fallback"] if file.fallback else []), *([file.message] if file.message else [])])
    return [
        Text(_short(file.id)),
        Text(file.state, _STYLES.get(file.state, "")),
        Text(took),
        Text(str(file.sendings or "")),
        Text(_printable(remark)),
    ]


def _short(value: object) -> str:
    text = _printable(str(value))
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _printable(text: str) -> str:
    """A platform's or a solution's text: none of it moves a cursor."""
    return "".join(one if one.isprintable() else "�" for one in text)


def _span(seconds: float) -> str:
    whole = int(max(0.0, seconds))
    minutes, rest = divmod(whole, _MINUTE)
    hours, minutes = divmod(minutes, _MINUTE)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"

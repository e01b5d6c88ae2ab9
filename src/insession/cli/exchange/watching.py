"""Whoever looks at a session that is served here: report, display, lines for programs, recording."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from insession.cli.codes import tell
from insession.cli.display import Display
from insession.cli.text import printable
from insession.exchange.contracts import ExchangeEvent, What, WireMessage
from insession.exchange.progress import ProgressDisplay, line, summary
from insession.exchange.recording import Recorder
from insession.exchange.report import Report
from insession.exchange.settings import ExchangeSettings

_VERDICTS: Final = frozenset({What.ACKNOWLEDGED, What.REFUSED, What.FAILED, What.UNKNOWN})
_SAID: Final = {
    What.CONNECTED: "connected",
    What.DISCONNECTED: "the line was lost",
    What.STARTED: "started session",
    What.JOINED: "joined session",
    What.REPORTED: "not taken",
    What.NOTICE: "note",
}


class Watching:
    """Takes what happens in a session and shows it as the command was asked to.

    People get a line for what is decided, and on a terminal a display that moves; programs get every event as a JSON
    object on a line, and the report as the last.

    Args:
        display: Where the answer goes.
        settings: Those of the session.
        record: A file to record the session in.
        report: A file for the report.
        total: How many files the session was asked for.
    """

    def __init__(
        self,
        display: Display,
        settings: ExchangeSettings,
        *,
        record: Path | None = None,
        report: Path | None = None,
        total: int | None = None,
    ) -> None:
        self.report: Report = Report()
        self._display: Display = display
        self._file: Path | None = report
        self._progress: ProgressDisplay = ProgressDisplay(self.report, total=total)
        self._recorder: Recorder | None = None if record is None else Recorder(record, settings, began=time.time())
        self._stack: contextlib.ExitStack = contextlib.ExitStack()
        self._gone: bool = False

    def tell(self, event: ExchangeEvent) -> None:
        """Something happened."""
        self.report.tell(event)
        if self._gone:
            return
        try:
            self._show(event)
        except BrokenPipeError:
            # Whoever read has left; the session goes on, and what would be shown goes nowhere.
            self._gone = True
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    def wire(self, message: WireMessage) -> None:
        """A message went over the wire."""
        if self._recorder is not None:
            self._recorder.wire(message)

    def end(self, **more: Any) -> None:
        """Show the report, and write it where it was asked for; ``more`` is added for programs."""
        if self._file is not None:
            try:
                self.report.write(self._file)
            except OSError as error:
                # The session is over, and what else is to be said of it is still said.
                tell(f"the report could not be written to {self._file}: {error.strerror}")
        if self._gone:
            return
        if self._display.as_json:
            self._display.lines([{"what": "report", **self.report.as_dict(), **more}])
        else:
            self._display.picture(summary(self.report))

    def __enter__(self) -> Self:
        if self._recorder is not None:
            self._stack.enter_context(self._recorder)
        if not self._display.as_json:
            self._stack.enter_context(self._progress)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    def _show(self, event: ExchangeEvent) -> None:
        if self._display.as_json:
            self._display.lines([_event(event)])
        elif event.what in _VERDICTS and event.file_id is not None:
            if (file := self.report.files.get(str(event.file_id))) is not None:
                self._say(line(file))
        elif (said := _SAID.get(event.what)) is not None:
            session = f" {event.session_id}" if event.what in {What.STARTED, What.JOINED} else ""
            file_said = "" if event.file_id is None else f" file {event.file_id}"
            self._say(f"{said}{session}{file_said}{f': {event.message}' if event.message else ''}")

    def _say(self, text: str) -> None:
        # Through sys.stdout as it is now: rich draws its display below what is written there.
        sys.stdout.write(printable(text) + "\n")
        sys.stdout.flush()


def _event(event: ExchangeEvent) -> dict[str, Any]:
    said = {"session": event.session_id, "file": event.file_id, "message": event.message or None}
    known = {name: value for name, value in said.items() if value is not None}
    detail = {name: getattr(value, "value", value) for name, value in event.detail.items()}
    return {"what": event.what.value, "at": event.at, **known, **detail}

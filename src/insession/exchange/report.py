"""What became of each file, and of the session: counted as it happens, and read from a journal afterwards.

One report serves the lines that are shown while files come, the table at the end, the JSON for programs, and the exit
code of a command.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from .contracts import ExchangeEvent, Id, What
from .outcomes import Outcome

__all__ = ["FAILED", "STATES", "FileReport", "Report", "Totals"]
STATES: Final = ("received", "saved", "solving", "solved", "sent", "acknowledged", "refused", "failed", "unknown")
"""Where a file can be, in the order of its way; the last four are ends."""
FAILED: Final = frozenset({"refused", "failed", "unknown"})
"""Ends that are no success."""
_STATE_OF: Final = {
    What.RECEIVED: "received",
    What.SAVED: "saved",
    What.SOLVING: "solving",
    What.SOLVED: "solved",
    What.SENT: "sent",
    What.ACKNOWLEDGED: "acknowledged",
    What.REFUSED: "refused",
    What.FAILED: "failed",
    What.UNKNOWN: "unknown",
}


class FileReport(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One file: where it is, since when, and what was said of it. Times are wall clock time (s)."""

    id: Id
    state: str = "received"
    received: float | None = None
    solved: float | None = None
    sent: float | None = None
    settled: float | None = None
    """When the platform answered, or nothing more could be done."""
    deadline: float | None = None
    sendings: int = 0
    repeated: int = 0
    """How often the platform sent it again."""
    fallback: bool = False
    message: str = ""

    @property
    def done(self) -> bool:
        """Whether nothing more will happen to it by itself."""
        return self.state == "acknowledged" or self.state in FAILED


class Totals(msgspec.Struct, kw_only=True, frozen=True):
    """How many files there are, in each state, and what the line went through."""

    files: int
    states: Mapping[str, int]
    fallbacks: int
    resent: int
    repeated: int
    disconnects: int
    reported: int


class Report:
    """The report of one session.

    ``tell`` takes what happens; `Report.of_journal` makes one from what a journal knows. ``session_id`` and
    ``outcome`` are those of the session, as far as they are known.
    """

    def __init__(self) -> None:
        self.session_id: Id | None = None
        self.outcome: Outcome | None = None
        self.message: str = ""
        """What the platform said at the end."""
        self.began: float | None = None
        self.ended: float | None = None
        self.connected: bool = False
        self.files: dict[str, FileReport] = {}
        """By the text of their ids: a number and its digits are one."""
        self._disconnects: int = 0
        self._reported: int = 0

    @classmethod
    def of_journal(cls, session_id: Id, entries: Iterable[FileReport], outcome: Outcome | None = None) -> Report:
        """A report of what a journal holds."""
        report = cls()
        report.session_id, report.outcome = session_id, outcome
        report.files = {str(entry.id): entry for entry in entries}
        return report

    def tell(self, event: ExchangeEvent) -> None:
        """Take what happened into account."""
        self.began = event.at if self.began is None else self.began
        if event.session_id is not None:
            self.session_id = event.session_id
        if event.file_id is not None:
            self._file(event)
        elif event.what is What.ENDED:
            self._end(event)
        self.connected = {What.CONNECTED: True, What.DISCONNECTED: False}.get(event.what, self.connected)
        self._disconnects += event.what is What.DISCONNECTED
        self._reported += event.what is What.REPORTED

    def totals(self) -> Totals:
        """The counts."""
        files = self.files.values()
        states = Counter(one.state for one in files)
        return Totals(
            files=len(self.files),
            states={state: states[state] for state in STATES if states[state]},
            fallbacks=sum(one.fallback for one in files),
            resent=sum(max(0, one.sendings - 1) for one in files),
            repeated=sum(one.repeated for one in files),
            disconnects=self._disconnects,
            reported=self._reported,
        )

    @property
    def open(self) -> list[FileReport]:
        """Files that something is still to happen to, the nearest deadline first."""
        return sorted(
            (one for one in self.files.values() if not one.done), key=lambda one: one.deadline or float("inf")
        )

    @property
    def lost(self) -> list[FileReport]:
        """Files that ended without an acknowledged answer."""
        return [one for one in self.files.values() if one.state in FAILED]

    def as_dict(self) -> dict[str, Any]:
        """The report for programs: JSON-able."""
        return {
            "session": self.session_id,
            "outcome": None if self.outcome is None else self.outcome.value,
            "exit_code": None if self.outcome is None else self.outcome.exit_code,
            "message": self.message,
            "began": self.began,
            "ended": self.ended,
            "totals": msgspec.to_builtins(self.totals()),
            "files": [msgspec.to_builtins(one) for one in self.files.values()],
        }

    def write(self, path: Path) -> None:
        """Write it as JSON, by a temporary file beside it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        temporary.write_text(json.dumps(self.as_dict(), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        temporary.replace(path)

    def _file(self, event: ExchangeEvent) -> None:
        assert event.file_id is not None  # noqa: S101 - the caller has looked
        known = self.files.get(str(event.file_id))
        state = _STATE_OF.get(event.what)
        if known is None:
            # A verdict on a file that nobody knows is reported, and makes none.
            if state is None:
                return
            known = self.files[str(event.file_id)] = FileReport(id=event.file_id)
        known.repeated += event.what is What.REPEATED
        known.sendings += event.what is What.SENT
        known.fallback |= event.what is What.FALLBACK
        known.message = event.message or known.message
        if isinstance(deadline := event.detail.get("deadline"), int | float):
            known.deadline = deadline
        if state is not None:
            self._reach(known, state, event.at)

    @staticmethod
    def _reach(file: FileReport, state: str, at: float) -> None:
        """A file got somewhere. What is acknowledged stays that, whatever is told late."""
        if file.state == "acknowledged":
            return
        file.state = state
        moment = "settled" if file.done else state
        if moment in {"received", "solved", "sent", "settled"} and getattr(file, moment) is None:
            setattr(file, moment, at)

    def _end(self, event: ExchangeEvent) -> None:
        self.ended, self.message = event.at, event.message
        outcome = event.detail.get("outcome")
        self.outcome = outcome if isinstance(outcome, Outcome) else None if outcome is None else Outcome(outcome)

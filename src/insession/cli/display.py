"""How sessions and events look: tables for people, one JSON object on a line for programs."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

import msgspec
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from insession.kernel.events import Event
from insession.service.log import Logged
from insession.service.wire import SessionView

PIPE_WIDTH: Final = 240
"""A table that no terminal bounds is so wide that nothing in it is folded."""
_STYLES: Final = {"active": "green", "interrupted": "red", "expired": "yellow", "closed": "dim", "opened": "green"}


class _Console(Console):
    """A console that leaves it to the command what a reader's leaving means."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


class Display:
    """Where a command's answer goes."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self.console: Console = _Console(width=None if sys.stdout.isatty() else PIPE_WIDTH, highlight=False)

    def line(self, value: Any) -> None:
        """One JSON object on a line, at once."""
        sys.stdout.write(msgspec.json.encode(value).decode() + "\n")
        sys.stdout.flush()

    def say(self, text: str) -> None:
        """A plain line."""
        self.console.print(plain(text))

    def interrupted(self, number: int) -> None:
        """How many sessions were ended at once."""
        self.line({"interrupted": number}) if self.as_json else self.say(f"interrupted {number}")

    def sessions(self, sessions: Iterable[SessionView]) -> None:
        """Sessions, one below the other."""
        if self.as_json:
            for session in sessions:
                self.line(session)
            return
        table = Table(box=SIMPLE_HEAD, pad_edge=False)
        table.add_column("id", no_wrap=True)
        for name in ("kind", "owner", "state", "reason", "opened", "ends"):
            table.add_column(name, overflow="fold")
        now = time.time()
        for session in sessions:
            table.add_row(
                session.id,
                plain(session.kind),
                plain(session.owner or ""),
                styled(session.state.value),
                plain(session.reason or ""),
                moment(session.opened),
                ends(session, now),
            )
        self.console.print(table)

    def session(self, session: SessionView, history: Iterable[Event]) -> None:
        """One session: everything that is known of it."""
        if self.as_json:
            self.line(session)
            return
        table = Table.grid(padding=(0, 2))
        table.add_column(style="bold")
        table.add_column(overflow="fold")
        for name, value in _facts(session):
            table.add_row(name, value)
        self.console.print(table)
        for event in history:
            self.event(Logged("", event))

    def event(self, logged: Logged) -> None:
        """One event of the log, or a gap."""
        event = logged.event
        if self.as_json:
            fields = {"type": "trimmed"} if event is None else msgspec.structs.asdict(event)
            self.line({"cursor": logged.cursor, **fields})
            return
        if event is None:
            self.console.print(Text(f"(events before {logged.cursor} are gone)", "yellow"))
            return
        line = Text.assemble(
            moment(event.time), "  ", styled(f"{event.type.value:<11}"), "  ", event.id, "  ", plain(event.kind)
        )
        for name in ("owner", "reason"):
            if value := getattr(event, name):
                line.append(f"  {name}=").append_text(plain(value))
        self.console.print(line, soft_wrap=True)


def plain(text: str) -> Text:
    """Text of somebody else's, on a terminal: no markup, no control characters."""
    return Text("".join(one if one.isprintable() else f"\\u{ord(one):04x}" for one in text))


def styled(state: str) -> Text:
    """A state or a type of event, in its colour."""
    return Text(state, _STYLES.get(state.strip(), ""))


def moment(at: float) -> str:
    """A time on this host's clock."""
    return datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def ends(session: SessionView, now: float) -> str:
    """When a session ended, or will by itself."""
    if session.ended is not None:
        return moment(session.ended)
    deadlines = [one for one in (session.deadlines.idle, session.deadlines.absolute) if one is not None]
    return f"in {max(0.0, min(deadlines) - now):.0f} s" if deadlines else "never"


def _facts(session: SessionView) -> list[tuple[str, Text | str]]:
    facts: list[tuple[str, Text | str]] = [
        ("id", session.id),
        ("kind", plain(session.kind)),
        ("owner", plain(session.owner or "")),
        ("state", styled(session.state.value)),
        ("reason", plain(session.reason or "")),
        ("version", str(session.version)),
        ("opened", moment(session.opened)),
        ("touched", moment(session.touched)),
        ("ends" if session.ended is None else "ended", ends(session, time.time())),
        ("stopped", session.stopped or ""),
        ("data", plain(msgspec.json.encode(session.data).decode())),
    ]
    return [(name, value) for name, value in facts if str(value)]

"""Where a command's answer goes: tables for people, one JSON object on a line for programs."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import msgspec

from insession.kernel.events import Event
from insession.service.log import Logged
from insession.service.wire import Ending, SessionView

from . import tables
from .text import printable

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

PIPE_WIDTH: Final = 240
"""A table that no terminal bounds is so wide that nothing in it is folded."""


class Display:
    """Where a command's answer goes."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json: bool = as_json

    @cached_property
    def _console(self) -> Console:
        from rich.console import Console

        class Ours(Console):
            """A console that leaves it to the command what a reader's leaving means."""

            def on_broken_pipe(self) -> None:
                raise BrokenPipeError

        return Ours(width=None if sys.stdout.isatty() else PIPE_WIDTH, highlight=False)

    def lines(self, values: Iterable[Any]) -> None:
        """JSON objects, each on a line, and at once."""
        sys.stdout.writelines(msgspec.json.encode(value).decode() + "\n" for value in values)
        sys.stdout.flush()

    def picture(self, picture: RenderableType, *, soft_wrap: bool = False) -> None:
        """A table, or a text of ours."""
        self._console.print(picture, soft_wrap=soft_wrap)

    def say(self, text: str) -> None:
        """A plain line: it need not wait for rich."""
        sys.stdout.write(printable(text) + "\n")
        sys.stdout.flush()

    def number(self, word: str, number: int) -> None:
        """How many it were."""
        self.lines([{word: number}]) if self.as_json else self.say(f"{word} {number}")

    def sessions(self, sessions: Iterable[SessionView]) -> None:
        """Sessions, one below the other."""
        self.lines(sessions) if self.as_json else self.picture(tables.sessions(sessions))

    def session(self, session: SessionView, history: Iterable[Event]) -> None:
        """One session: everything that is known of it."""
        if self.as_json:
            self.lines([session])
            return
        self.picture(tables.session(session))
        for event in history:
            self.event(Logged("", event))

    def touched(self, session: SessionView) -> None:
        """A session after a touch."""
        if self.as_json:
            self.lines([session])
        else:
            self.say(f"{session.id} touched: ends {tables.ends(session, session.touched)}")

    def ending(self, ending: Ending) -> None:
        """How a session ended."""
        if self.as_json:
            self.lines([ending])
            return
        session = ending.session
        stopped = f", {session.stopped}" if session.stopped else ""
        before = "" if ending.won else ", ended before"
        self.say(f"{session.id} {session.state.value}: {session.reason}{before}{stopped}")

    def event(self, logged: Logged) -> None:
        """One event of the log, or a gap."""
        if self.as_json:
            event = logged.event
            fields = {"type": "trimmed"} if event is None else msgspec.structs.asdict(event)
            self.lines([{"cursor": logged.cursor, **fields}])
        else:
            self.picture(tables.event(logged), soft_wrap=True)

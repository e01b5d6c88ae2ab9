"""How things look to people. rich is imported where it is needed: programs ask for JSON, and need not wait for it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import UNSET

from insession.kernel.record import State
from insession.kernel.sealing import Verified
from insession.kernel.upkeep import Stats
from insession.service.log import Logged
from insession.service.wire import LockView, SessionView

from .text import printable

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

_STYLES: Final = {"active": "green", "interrupted": "red", "expired": "yellow", "closed": "dim", "opened": "green"}


def plain(text: str) -> Text:
    """Text of somebody else's: no markup either."""
    from rich.text import Text

    return Text(printable(text))


def styled(state: str) -> Text:
    """A state or a type of event, in its colour."""
    from rich.text import Text

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


def columns(names: Sequence[str], rows: Iterable[Sequence[Text | str]]) -> Table:
    """A table. The first column is what the next command is given: it is never folded."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in names:
        table.add_column(name, no_wrap=name == names[0], overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def facts(pairs: Iterable[tuple[str, Text | str]]) -> Table:
    """What is known of one thing; what is empty is left out."""
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in pairs:
        if str(value):
            table.add_row(name, value)
    return table


def sessions(found: Iterable[SessionView]) -> Table:
    """Sessions, one below the other."""
    now = time.time()
    return columns(
        ("id", "kind", "owner", "state", "reason", "opened", "ends"),
        [
            (
                session.id,
                plain(session.kind),
                plain(session.owner or ""),
                styled(session.state.value),
                plain(session.reason or ""),
                moment(session.opened),
                ends(session, now),
            )
            for session in found
        ],
    )


def session(one: SessionView) -> Table:
    """Everything that is known of a session."""
    return facts(
        [
            ("id", one.id),
            ("kind", plain(one.kind)),
            ("owner", plain(one.owner or "")),
            ("node", one.node or ""),
            ("state", styled(one.state.value)),
            ("reason", plain(one.reason or "")),
            ("version", str(one.version)),
            ("opened", moment(one.opened)),
            ("touched", moment(one.touched)),
            ("ends" if one.ended is None else "ended", ends(one, time.time())),
            ("stopped", one.stopped or ""),
            ("data", plain(msgspec.json.encode(one.data).decode() if one.unreadable is UNSET else "")),
            ("unreadable", plain("" if one.unreadable is UNSET else one.unreadable)),
        ]
    )


def event(logged: Logged) -> Text:
    """One event of the log, or a gap."""
    from rich.text import Text

    event = logged.event
    if event is None:
        return Text(f"(events before {logged.cursor} are gone)", "yellow")
    line = Text.assemble(
        moment(event.time), "  ", styled(f"{event.type.value:<11}"), "  ", event.id, "  ", plain(event.kind)
    )
    for name in ("owner", "reason"):
        if value := getattr(event, name):
            line.append(f"  {name}=").append_text(plain(value))
    return line


def counts(stats: Stats) -> Table:
    """How many sessions of each kind are in each state."""
    states = [state.value for state in State]
    return columns(
        ("kind", *states),
        [(plain(kind), *(str(by.get(state, 0)) for state in states)) for kind, by in sorted(stats.sessions.items())],
    )


def numbers(stats: Stats) -> Table:
    """What the process that answered knows of itself."""
    others = {name: value for name, value in msgspec.to_builtins(stats).items() if name != "sessions"}
    return facts((name.replace("_", " "), plain(str(value))) for name, value in others.items())


def locks(found: Iterable[LockView]) -> Table:
    """Locks, with the tickets of those who hold and wait."""
    return columns(
        ("lock", "holders", "waiting"),
        [(plain(lock.name), plain(", ".join(lock.holders)), plain(", ".join(lock.waiting))) for lock in found],
    )


def nodes(found: Iterable[SessionView]) -> Table:
    """Processes that own work, with what they say of themselves."""
    now = time.time()
    return columns(
        ("node", "host", "pid", "since", "seen", "ends"),
        [
            (
                node.id,
                plain(_fact(node.data, "host")),
                plain(_fact(node.data, "pid")),
                moment(node.opened),
                moment(node.touched),
                ends(node, now),
            )
            for node in found
        ],
    )


def keys(found: Verified, current: int) -> Table:
    """How many values each key sealed."""
    rows = sorted({current: 0, **found.keys}.items(), reverse=True)
    return columns(
        ("key", "values", ""),
        [(str(number), str(values), "current" if number == current else "older") for number, values in rows],
    )


def _fact(data: Any, name: str) -> str:
    """What a node says of itself; a node of another version may say less."""
    if isinstance(data, msgspec.Raw):
        data = msgspec.json.decode(data)
    return str(data.get(name, "")) if isinstance(data, dict) else ""

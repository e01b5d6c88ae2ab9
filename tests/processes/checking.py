"""What has to be true of a store, whatever happened to the processes that used it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import insession
from insession import EventType, State
from insession.kernel.events import ENDINGS, START, Event
from insession.kernel.streams import PAGE


async def whole_log(engine: insession.Engine) -> list[Event]:
    """Every event that the log still holds."""
    events: list[Event] = []
    cursor, more = START, True
    while more:
        page = await engine.store.events(cursor, PAGE, None)
        assert not page.trimmed
        events += page.events
        cursor, more = page.cursor, page.more
    return events


def by_id(events: Iterable[Event]) -> dict[str, list[Event]]:
    """Events by session, in their order."""
    found: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        found[event.id].append(event)
    return found


def check_positions(events: list[Event]) -> None:
    """No event comes twice, and in each partition their order is that of the log."""
    for partition in {event.partition for event in events}:
        positions = [event.position for event in events if event.partition == partition]
        assert positions == sorted(set(positions))


def most_live(events: Iterable[Event], kind: str) -> int:
    """The most sessions of a kind that lived at once: the log's order is that of the changes."""
    live = most = 0
    for event in events:
        if event.kind == kind:
            live += (event.type is EventType.OPENED) - (event.type in ENDINGS)
            most = max(most, live)
    return most


async def all_sessions(engine: insession.Engine, kind: str) -> dict[str, insession.Session]:
    """Every session of a kind, in any state, by pages."""
    found: dict[str, insession.Session] = {}
    cursor: str | None = None
    while True:
        page = await engine.find(kind=kind, state=None, cursor=cursor, limit=500)
        found |= {session.id: session for session in page.sessions}
        cursor = page.cursor
        if cursor is None:
            return found


def check_events(session: insession.Session, events: list[Event]) -> None:
    """A session that counts its updates has exactly its events."""
    types = Counter(event.type for event in events)
    assert events[0].type is EventType.OPENED
    assert types[EventType.OPENED] == 1
    assert types[EventType.UPDATED] == session.data["step"]
    endings = [event for event in events if event.type in ENDINGS]
    if session.state is State.ACTIVE:
        assert not endings
    else:
        assert [(str(one.type), one.reason) for one in endings] == [(str(session.state), session.reason)]
    assert [event.version for event in events] == sorted(event.version for event in events)


async def check_file(path: Path) -> None:
    """The file itself is whole."""

    def check() -> list[tuple[str]]:
        with closing(sqlite3.connect(path)) as connection:
            return connection.execute("PRAGMA integrity_check").fetchall()

    assert await asyncio.to_thread(check) == [("ok",)]

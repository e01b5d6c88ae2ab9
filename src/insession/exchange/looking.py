"""Looking at exchange sessions from outside: what their journals know, whoever serves them, or nobody."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from insession.kernel.engine import Engine
from insession.kernel.record import State
from insession.kernel.session import Session

from .contracts import Id
from .holding import KIND, is_served
from .journal import FileEntry, Journal
from .outcomes import Outcome
from .report import FileReport, Report

__all__ = ["Seen", "is_served", "newest", "see"]
_OUTCOMES: Final = {outcome.value: outcome for outcome in Outcome}


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """A session as its journal knows it."""

    key: str
    """Its id in the store."""
    live: bool
    """Whether it is not over, as far as the journal knows."""
    served: bool
    """Whether a process serves it now."""
    data: Mapping[str, Any]
    """What it was opened with: host, dialect, parameters, the platform's id."""
    report: Report


async def newest(engine: Engine, participant: str, wanted: Id | None = None, *, live: bool = False) -> Session | None:
    """The participant's newest session, a live one before those that are over; or the one that the platform named so.

    Args:
        engine: An engine that declares the kind of exchange sessions.
        participant: Whose.
        wanted: The platform's id; a number and its digits are one.
        live: Only one that is not over.
    """
    found: Session | None = None
    cursor = None
    while True:
        page = await engine.find(kind=KIND, owner=participant, state=State.ACTIVE if live else None, cursor=cursor)
        for session in page.sessions:
            if wanted is not None and str(session.data.get("session_id")) != str(wanted):
                continue
            if found is None or _rank(session) > _rank(found):
                found = session
        if (cursor := page.cursor) is None:
            return found


async def see(session: Session) -> Seen:
    """What is known of a session now."""
    entries = [_of(entry) async for entry in Journal(session).entries()]
    record = session.record
    outcome = None if record.live else _OUTCOMES.get(record.reason or "")
    report = Report.of_journal(session.data["session_id"], entries, outcome)
    report.began, report.ended = record.opened, record.ended
    return Seen(key=session.id, live=record.live, served=await is_served(session), data=session.data, report=report)


def _rank(session: Session) -> tuple[bool, float]:
    return session.record.live, session.record.opened


def _of(entry: FileEntry) -> FileReport:
    return FileReport(
        id=entry.file_id,
        state=entry.state.value,
        received=entry.received,
        deadline=entry.deadline,
        sendings=entry.sends,
        fallback=entry.fallback,
        message=entry.message,
    )

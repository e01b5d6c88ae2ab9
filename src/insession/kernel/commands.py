"""What a caller's verb becomes: the operation that asks for the change. Pure, like `rules`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from insession.kernel.events import EventType
from insession.kernel.kinds import Kind, Limit
from insession.kernel.operations import Cap, Commit, End, Ending, Guard, Patch, Pick, Touch
from insession.kernel.record import NEVER, Record, State
from insession.kernel.rules import due_at, state_of

SLICE: Final = 200
"""So many sessions one picked ending takes at a time, so that others do not wait long."""
NODE_LOST: Final = "node_lost"
LIMIT: Final = "limit"


def open_session(record: Record, node: str, caps: tuple[Cap, ...]) -> Commit:
    """Open a session; its limits are checked in the same atom."""
    patch = Patch(record.id, Guard.ABSENT, 0, record, None, None, EventType.OPENED)
    return Commit(record.opened, record.change, node, (patch,), caps)


def new_record(
    session_id: str,
    kind: Kind,
    owner: str | None,
    holder: str | None,
    now: float,
    deadlines: tuple[float | None, float | None, float],
    data: bytes,
    change: str,
) -> Record:
    """The record of a session that begins now; ``deadlines`` are idle, absolute and the touch window."""
    idle, absolute, window = deadlines
    reach = NEVER if idle is None else idle + window
    end = NEVER if absolute is None else now + absolute
    return Record(
        session_id,
        kind.name,
        owner,
        holder,
        State.ACTIVE,
        0,
        change,
        now,
        now,
        window,
        reach,
        end,
        due_at(now, reach, end),
        0.0,
        None,
        kind.keep,
        kind.finish is not None,
        None,
        data,
    )


def caps_of(limits: Sequence[Limit], now: float, change: str, node: str) -> tuple[Cap, ...]:
    """The limits of a kind as a commit carries them."""
    return tuple(
        Cap(
            limit.over,
            limit.most,
            expiry(now, change, node),
            None if limit.then == "deny" else ending(now, State.INTERRUPTED, LIMIT, change, node),
            limit.then == "least recently used",
        )
        for limit in limits
    )


def ending(now: float, state: State, reason: str | None, change: str, node: str) -> Ending:
    """An ending by somebody; the reason ``completed`` closes."""
    return Ending(now, state_of(reason, state), reason, Guard.LIVE, change, node)


def expiry(now: float, change: str, node: str) -> Ending:
    """The ending of whatever is due."""
    return Ending(now, State.EXPIRED, "expired", Guard.DUE, change, node)


def end_one(session_id: str, how: Ending) -> End:
    """End one session."""
    return End(Pick("id", session_id), how)


def update(
    record: Record, data: bytes, now: float, change: str, node: str, *, touch: bool, event: bool
) -> Commit:
    """Write new data over the version that was read. It is a touch only if asked."""
    patch = Patch(
        record.id,
        Guard.VERSION,
        record.version,
        None,
        {"touched": now} if touch else None,
        data,
        EventType.UPDATED if event else None,
    )
    return Commit(now, change, node, (patch,))


def touch(record: Record, now: float) -> Touch | None:
    """Proof of activity; None within the window, where nothing is to be written."""
    if record.window and now - record.touched <= record.window:
        return None
    return Touch(record.id, now, record.window)


def stopped(session_id: str, version: int, outcome: str, now: float, change: str, node: str) -> Commit:
    """Write down how the work of an ended session stopped."""
    fields = {"stopped": outcome}
    patch = Patch(session_id, Guard.ENDED, version, None, fields, None, EventType.STOPPED, outcome)
    return Commit(now, change, node, (patch,))


def orphan(record: Record, now: float, change: str, node: str) -> Commit:
    """Take a session from a process that died."""
    fields = {"node": None}
    patch = Patch(record.id, Guard.VERSION, record.version, None, fields, None, EventType.ORPHANED, NODE_LOST)
    return Commit(now, change, node, (patch,))


def finished(record: Record, now: float, change: str, node: str) -> Commit:
    """Mark the work after an ending as done."""
    return Commit(now, change, node, (Patch(record.id, Guard.ENDED, record.version, None, {"finish": False}),))

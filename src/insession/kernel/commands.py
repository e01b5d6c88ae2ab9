"""What a caller's verb becomes: the operation that asks for the change. Pure, like `rules`."""

from __future__ import annotations

from typing import Final

from insession.kernel.events import EventType
from insession.kernel.kinds import Kind
from insession.kernel.limits import Limit
from insession.kernel.operations import Commit, End, Ending, Guard, Patch, Pick, Touch
from insession.kernel.record import NEVER, Record, State
from insession.kernel.rules import ENDING_EVENT, due_at, life_before

SLICE: Final = 200
"""So many sessions one picked ending takes at a time, so that others do not wait long."""
SLICE_NOW: Final = 340
"""The same for a store that never waits: some 2 ms of the loop's time."""
NODE_LOST: Final = "node_lost"
# Reading a member of an enumeration costs more than all else that these lines do.
_ACTIVE: Final = State.ACTIVE
_ABSENT: Final = Guard.ABSENT
_VERSION: Final = Guard.VERSION
_OPENED: Final = EventType.OPENED


def open_session(record: Record, node: str, limits: tuple[Limit, ...]) -> Commit:
    """Open a session; its limits are checked in the same atom."""
    patch = Patch(record.id, _ABSENT, 0, record, None, None, _OPENED)
    return Commit(record.opened, record.change, node, (patch,), limits)


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
    # Without a window all sessions share the kind's own number: 24 bytes of each.
    reach = NEVER if idle is None else idle + window if window else idle
    end = NEVER if absolute is None else now + absolute
    return Record(
        session_id,
        kind.name,
        owner,
        holder,
        _ACTIVE,
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


def end_one(session_id: str, how: Ending, before: float = NEVER) -> End:
    """End one session, of one id that life which was opened before."""
    return End(Pick("id", session_id, before=before), how)


def update(record: Record, data: bytes, now: float, change: str, node: str, *, touch: bool, event: bool) -> Commit:
    """Write new data over the version that was read. It is a touch only if asked."""
    patch = Patch(
        record.id,
        _VERSION,
        record.version,
        None,
        {"touched": now} if touch else None,
        data,
        EventType.UPDATED if event else None,
        None,
        record.kind,
    )
    return Commit(now, change, node, (patch,))


def closing(record: Record, how: Ending, data: bytes) -> Patch:
    """End the session in the same atom as the last change of its data: a part of a commit, under its version."""
    fields = {"state": how.state, "ended": how.at, "reason": how.reason}
    event = ENDING_EVENT[how.state]
    return Patch(record.id, _VERSION, record.version, None, fields, data, event, how.reason, record.kind)


def touch(record: Record, now: float) -> Touch | None:
    """Proof of activity; None within the window, where nothing is to be written.

    What is due by now is asked for all the same: the store says how it ended.
    """
    if record.window and now - record.touched <= record.window and record.due > now:
        return None
    return Touch(record.id, now, record.window, life_before(record))


def stopped(session_id: str, version: int, outcome: str, now: float, change: str, node: str) -> Commit:
    """Write down how the work of an ended session stopped."""
    fields = {"stopped": outcome}
    patch = Patch(session_id, Guard.ENDED, version, None, fields, None, EventType.STOPPED, outcome)
    return Commit(now, change, node, (patch,))


def orphan(record: Record, now: float, change: str, node: str) -> Commit:
    """Take a session from a process that died."""
    fields = {"node": None}
    patch = Patch(record.id, _VERSION, record.version, None, fields, None, EventType.ORPHANED, NODE_LOST)
    return Commit(now, change, node, (patch,))


def finished(record: Record, now: float, change: str, node: str) -> Commit:
    """Mark the work after an ending as done."""
    return Commit(now, change, node, (Patch(record.id, Guard.ENDED, record.version, None, {"finish": False}),))

"""The life cycle of a session: the only place where a state changes.

Pure functions on records and items: no I/O, no clock, no async. `judge` says whether a change may be made,
`opened`, `patched`, `ended` and `touched` make it. What a caller's verb becomes is in `commands`.
"""

from __future__ import annotations

from math import inf, nextafter
from typing import Final

from msgspec.structs import force_setattr, replace

from insession.kernel.events import Event, EventType
from insession.kernel.operations import Commit, Ending, Guard, Patch, Put, Refused, Touch, Why
from insession.kernel.record import Item, Outcome, Record, State

# Reading a member of an enumeration costs more than all else that these lines do.
_ACTIVE: Final = State.ACTIVE
_ANY: Final = Guard.ANY
_ABSENT: Final = Guard.ABSENT
_VERSION: Final = Guard.VERSION
_LIVE: Final = Guard.LIVE
_DUE: Final = Guard.DUE
_ENDED: Final = Guard.ENDED
_SAME: Final = Guard.SAME

ENDING_EVENT: Final = {
    State.INTERRUPTED: EventType.INTERRUPTED,
    State.EXPIRED: EventType.EXPIRED,
    State.CLOSED: EventType.CLOSED,
}
KEPT_CHANGES: Final = 8
"""So many changes an item remembers, to know one that is sent again."""
LIMIT: Final = "limit"
COMPLETED: Final = "completed"
"""The reason that closes a session, whoever says it."""


def due_at(touched: float, reach: float, absolute: float) -> float:
    """When a session last touched at ``touched`` is due."""
    return min(touched + reach, absolute)


def ending(now: float, state: State, reason: str | None, change: str, node: str) -> Ending:
    """An ending by somebody; the reason ``completed`` closes."""
    return Ending(now, State.CLOSED if reason == COMPLETED else state, reason, _LIVE, change, node)


def expiry(now: float, change: str, node: str) -> Ending:
    """The ending of whatever is due."""
    return Ending(now, State.EXPIRED, "expired", _DUE, change, node)


def eviction(now: float, change: str, node: str) -> Ending:
    """The ending of a session that makes room under a limit."""
    return Ending(now, State.INTERRUPTED, LIMIT, _LIVE, change, node)


def judge(guard: Guard, version: int, record: Record | None, at: float) -> Refused | None:
    """Whether a change under this guard may be made of this record at time ``at``; None: it may."""
    if guard is _ABSENT:
        if record is None or (record.state is not _ACTIVE and not record.finish):
            return None
        past = record.state is _ACTIVE and record.due <= at
        return Refused(Why.PAST_DUE if past else Why.STALE, record)
    if record is None:
        return Refused(Why.MISSING)
    if guard is _SAME:
        return None if record.version == version else Refused(Why.STALE, record)
    if guard is _ENDED:
        right = record.state is not _ACTIVE and record.version == version
        return None if right else Refused(Why.STALE, record)
    return _judge_live(guard, version, record, at)


def _judge_live(guard: Guard, version: int, record: Record, at: float) -> Refused | None:
    if record.state is not _ACTIVE:
        return Refused(Why.ENDED, record)
    past = record.due <= at
    if guard is _DUE:
        return None if past else Refused(Why.STALE, record)
    if past:
        return Refused(Why.PAST_DUE, record)
    if guard is _VERSION and record.version != version:
        return Refused(Why.STALE, record)
    return None


def judge_item(put: Put, item: Item | None, at: float) -> Refused | None:
    """Whether an item may be written or deleted; an expired one counts as absent, but for `Guard.SAME`."""
    if put.guard is _ANY:
        return None
    there = item if item is not None and item.expires > at else None
    if put.guard is _ABSENT:
        return None if there is None else Refused(Why.STALE, there)
    if put.guard is _SAME:
        there = item
    if put.guard is _VERSION or put.guard is _SAME:
        if there is None:
            return Refused(Why.MISSING)
        return None if there.version == put.version else Refused(Why.STALE, there)
    return None


def life_before(record: Record) -> float:
    """What a pick or touch says to mean this life of an id, and no later one."""
    return nextafter(record.opened, inf)


def opened(record: Record, version: int) -> Record:
    """Give a new record its first version.

    A store owns the record that it is handed, so it is numbered in place: a copy costs more than all
    the rest of an open.
    """
    force_setattr(record, "version", version)
    return record


def patched(record: Record, patch: Patch, change: str, version: int) -> Record:
    """The record after the patch. Under `Guard.SAME` its version and change stay."""
    fields = dict(patch.fields) if patch.fields else {}
    if patch.data is not None:
        fields["data"] = patch.data
    if patch.guard is not _SAME:
        fields["version"] = version
        fields["change"] = change
    if "touched" in fields:
        fields["touched"] = max(fields["touched"], record.touched)
        fields["due"] = max(due_at(fields["touched"], record.reach, record.absolute), record.due)
    return replace(record, **fields)


def ended(record: Record, ending: Ending, version: int) -> Record:
    """The record after an ending. What was due keeps the reason of its ending, whoever found it."""
    return replace(
        record,
        state=ending.state,
        version=version,
        change=ending.change,
        ended=ending.at,
        reason=ending.reason,
    )


def touched(record: Record, touch: Touch) -> Record | Refused | None:
    """The record after a touch; None: the last one is younger than the window, nothing is to be written."""
    if record.opened >= touch.before:
        return Refused(Why.STALE, record)
    if record.state is not _ACTIVE:
        return Refused(Why.ENDED, record)
    if record.due <= touch.at:
        return Refused(Why.PAST_DUE, record)
    if touch.at - record.touched <= touch.window:
        return None
    due = due_at(touch.at, record.reach, record.absolute)
    return replace(record, touched=touch.at, due=max(due, record.due))


def item_after(put: Put, item: Item | None, change: str, version: int) -> Item | None:
    """The item after a put; None: deleted. Under `Guard.SAME` its changes stay; ``version`` is the one it has."""
    if put.data is None:
        return None
    if put.guard is _SAME and item is not None:
        return Item(put.key, put.data, version, item.changes, put.owner, put.expires)
    before = item.changes[1 - KEPT_CHANGES :] if item is not None else ()
    return Item(put.key, put.data, version, (*before, change), put.owner, put.expires)


def event_of_patch(record: Record, patch: Patch, commit: Commit) -> Event:
    """The event that a patch writes about the record as it is now. Call it only where the patch has one."""
    assert patch.event is not None
    return Event(
        patch.event,
        commit.at,
        record.id,
        record.kind,
        record.owner,
        record.version,
        patch.reason,
        commit.change,
        commit.node,
    )


def event_of_ending(record: Record, ending: Ending) -> Event:
    """The one terminal event of a session."""
    return Event(
        ENDING_EVENT[ending.state],
        ending.at,
        record.id,
        record.kind,
        record.owner,
        record.version,
        ending.reason,
        ending.change,
        ending.node,
    )


def worse(one: str | None, other: str) -> bool:
    """Whether ``other`` is a worse outcome of work than ``one``."""
    order = list(Outcome)
    return one is None or order.index(Outcome(other)) > order.index(Outcome(one))

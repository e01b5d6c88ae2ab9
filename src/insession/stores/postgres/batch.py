"""A batch as it travels: operations become the arguments of the function ``apply``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final
from zlib import crc32

import msgspec

from insession.errors import InvalidInput
from insession.kernel.operations import (
    Acquire,
    Commit,
    Count,
    End,
    Find,
    Guard,
    Import,
    Load,
    Mark,
    Operation,
    Patch,
    Purge,
    Put,
    Release,
    Renew,
    Touch,
)
from insession.kernel.pages import place_of
from insession.kernel.record import NEVER, Record, State

from .places import beyond

STATES: Final = tuple(State)
CODES: Final = {state: code for code, state in enumerate(STATES)}
_GUARDS: Final = {guard: code for code, guard in enumerate(Guard)}
_PLAIN: Final = frozenset({Guard.VERSION, Guard.LIVE})
_INDEXES: Final = {
    name: code
    for code, name in enumerate(
        ("id", "owner", "kind", "node", "all", "due", "finish", "item", "item owner", "lease"),
    )
}
_THEN: Final = {"deny": 0, "oldest": 1, "least recently used": 2}
_to_json: Final = msgspec.json.Encoder().encode
Row = Sequence[Any]


class Batch:
    """The arguments of one call, in the making.

    ``space`` is the number of the namespace among the database's advisory locks.
    """

    def __init__(self, operations: Sequence[Operation], space: int, retention: float) -> None:
        self._space = space
        self._retention = retention
        self.operations: Sequence[Operation] = operations
        self.writes: bool = False
        """Whether it may change anything: else it can be sent again without harm."""
        self._alone = False
        self._together = True
        """Whether its order means nothing, as far as can be seen from here."""
        self._names: set[int] = set()
        self._ids: set[str] = set()
        self._named = 0
        self._read: set[str] = set()
        self._members: dict[tuple[str, str], int] = {}
        """Owners and kinds under a limit: how many there may be,"""
        self._openings: Counter[tuple[str | None, str]] = Counter()
        """and how many more the batch opens, also without a limit."""
        self._plan: list[int] = []
        self._loads: list[Row] = []
        self._commits: list[Row] = []
        self._parts: list[Row] = []
        self._endings: list[Row] = []
        self._touches: list[Row] = []
        self._asks: list[Row] = []
        self._pages: list[Row] = []
        self._purges: list[Row] = []
        self.apart: bool = False
        """Whether it holds what is not sent like this: see `moving`."""
        for operation in operations:
            _ADDING[type(operation)](self, operation)

    def set_apart(self, _: Mark | Import) -> None:
        """It holds something about moving."""
        self.apart = True

    def arguments(self) -> tuple[Any, ...]:
        """What follows the clock in the arguments of ``apply``."""
        apart = self._named == len(self._ids) and self._ids.isdisjoint(self._read)
        return (
            self._space if self.writes else None,
            self._alone,
            self._together and apart and self._named > 1 and not self._alone,
            sorted(self._names),
            list(self._ids),
            [owner for owner, _ in self._members],
            [kind for _, kind in self._members],
            [most - self._openings[members] for members, most in self._members.items()],
            self._plan,
            self._loads,
            self._commits,
            self._parts,
            self._endings,
            self._touches,
            self._asks,
            self._pages,
            self._purges,
        )

    def _lock(self, *name: str) -> None:
        """Something that may not be there yet."""
        self._names.add(lock_number(self._space, *name))

    def _name(self, session_id: str) -> None:
        """A session that is changed."""
        self._ids.add(session_id)
        self._named += 1

    def load(self, ask: Load) -> None:
        """Add one, as do all of these."""
        self._plan.append(1)
        # An item goes with the session below which it lies.
        self._read.update(key.partition("/")[0] for key in ask.keys)
        under = None
        if ask.under is not None:
            self._together = False
            under = f"{ask.under}/"
        self._loads.append((ask.keys, under, None if under is None else beyond(under)))

    def commit(self, ask: Commit) -> None:
        self.writes = True
        self._plan.append(2)
        parts = ask.patches
        if len(parts) > 1 and len({part.key if isinstance(part, Put) else part.id for part in parts}) < len(parts):
            raise InvalidInput("patches", "name one record or item twice")
        for part in parts:
            if isinstance(part, Put):
                self._put(part)
            else:
                self._patch(part, ask)
        fence = ask.fence
        if fence is not None:
            self._lock("lease", fence.lease)
        if len(parts) > 1 or fence is not None or ask.again:
            self._together = False
        self._commits.append(
            (
                ask.at,
                ask.change,
                ask.node,
                len(parts),
                limits_of(ask),
                None if fence is None else fence.lease,
                None if fence is None else fence.ticket,
                None if fence is None else fence.token,
                ask.again,
            )
        )

    def _put(self, part: Put) -> None:
        self._together = False
        self._lock("item", part.key)
        self._parts.append(
            (
                *(True, part.key, _GUARDS[part.guard], part.version, None, None, part.data, None, None),
                *(part.owner, part.expires),
            )
        )

    def _patch(self, part: Patch, ask: Commit) -> None:
        self._name(part.id)
        record = part.record
        if record is not None:
            self._lock("session", part.id)
            self._openings[record.owner, record.kind] += 1
            for one in ask.limits:
                if one.over == "kind":
                    self._alone = True
                elif record.owner is not None:
                    self._lock("owner", record.kind, record.owner)
                    members = (record.owner, record.kind)
                    self._members[members] = min(self._members.get(members, one.most), one.most)
        elif part.guard not in _PLAIN or part.fields:
            self._together = False
        self._parts.append(
            (
                False,
                part.id,
                _GUARDS[part.guard],
                part.version,
                None if record is None else row_of(record),
                _fields(part.fields.items()) if part.fields else None,
                part.data,
                None if part.event is None else part.event.value,
                part.reason,
                None,
                None,
            )
        )

    def end(self, ask: End) -> None:
        self.writes = True
        self._plan.append(3)
        pick, how = ask.pick, ask.ending
        if pick.index == "id":
            self._name(pick.value or "")
        else:
            self._alone = True
        self._endings.append(
            (
                *(_INDEXES[pick.index], pick.value, pick.kind, pick.most, pick.before),
                *(how.at, CODES[how.state], how.reason, how.guard is Guard.DUE, how.change, how.node),
            )
        )

    def touch(self, ask: Touch) -> None:
        self.writes = True
        self._plan.append(4)
        self._name(ask.id)
        self._touches.append((ask.id, ask.at, ask.window, ask.before))

    def acquire(self, ask: Acquire) -> None:
        self._ask(
            (
                *(0, ask.lease, ask.ticket, ask.at, ask.ttl, ask.permits, ask.queue, ask.note, ask.displace),
                *(ask.grace, ask.take, ask.again, ask.node, None),
            )
        )

    def renew(self, ask: Renew) -> None:
        fence = ask.fence
        self._ask(
            (
                *(1, fence.lease, fence.ticket, ask.at, ask.ttl),
                *(None, None, None, None, None, ask.take, None, None, fence.token),
            )
        )

    def release(self, ask: Release) -> None:
        self._ask((2, ask.lease, ask.ticket, ask.at, *(None,) * 7, ask.unless_waited, None, None))

    def _ask(self, row: Row) -> None:
        self.writes = True
        self._together = False
        self._plan.append(5)
        self._lock("lease", row[1])
        self._asks.append(row)

    def find(self, ask: Find) -> None:
        self._together = False
        self._plan.append(6)
        value, kind = ask.value, ask.kind
        if ask.index in {"item", "item owner", "lease"}:
            bound = beyond(value or "") if ask.index != "item owner" else None
            self._pages.append((_INDEXES[ask.index], value, bound, None, None, ask.most, None, None, None, ask.after))
            return
        place = place_of(ask.after)
        after = (None, None, None, None) if place is None else (*place[0], *place[1])
        state = None if ask.state is None else CODES[ask.state]
        self._pages.append((_INDEXES[ask.index], value, None, kind, state, ask.most, *after))

    def count(self, ask: Count) -> None:
        self._together = False
        self._plan.append(7)
        state = None if ask.state is None else CODES[ask.state]
        self._pages.append((_INDEXES[ask.index], ask.value, None, ask.kind, state, *(None,) * 5))

    def purge(self, ask: Purge) -> None:
        self.writes = self._alone = True
        self._plan.append(8)
        self._purges.append((ask.before, ask.kind, ask.count, ask.owner, ask.most, ask.before - self._retention))


def lock_number(space: int, *name: str) -> int:
    """The advisory lock of a name, never that of the namespace; names with the same number wait for each other."""
    return (space ^ 1 << 62) & ~0xFFFFFFFF | crc32("\0".join(name).encode())


_ADDING: Final[dict[type[Any], Callable[[Batch, Any], None]]] = {
    Load: Batch.load,
    Commit: Batch.commit,
    End: Batch.end,
    Touch: Batch.touch,
    Acquire: Batch.acquire,
    Renew: Batch.renew,
    Release: Batch.release,
    Find: Batch.find,
    Count: Batch.count,
    Purge: Batch.purge,
    Mark: Batch.set_apart,
    Import: Batch.set_apart,
}


def limits_of(ask: Commit) -> list[int] | None:
    """Its limits, three numbers each."""
    return [number for one in ask.limits for number in (one.over == "kind", one.most, _THEN[one.then])] or None


def _fields(fields: Iterable[tuple[str, Any]]) -> str:
    """Changed fields as JSON, which has no infinity."""
    return _to_json({name: _plain(value) for name, value in fields}).decode()


def _plain(value: Any) -> Any:
    if isinstance(value, State):
        return CODES[value]
    return "Infinity" if value == NEVER else value


def row_of(record: Record) -> Row:
    """A record in the order of its table's columns; the last two are the store's own."""
    return (
        record.id,
        record.kind,
        record.owner,
        record.node,
        CODES[record.state],
        record.version,
        record.change,
        record.opened,
        record.touched,
        record.window,
        record.reach,
        record.absolute,
        record.due,
        record.ended,
        record.reason,
        record.keep,
        record.finish,
        record.stopped,
        record.data,
        None,
        None,
    )

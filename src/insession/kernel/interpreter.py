"""What every operation means, written once over rows: the reference of the store contract.

An embedded store gives rows (`Rows`) and gets `apply`. A store on a server interprets the same
operations beside its data; the contract suite and the state machine hold it to the same answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from insession.errors import InvalidInput
from insession.kernel import leases, rules
from insession.kernel.events import Event
from insession.kernel.leases import Lease
from insession.kernel.operations import (
    Acquire,
    Answer,
    Cap,
    Commit,
    Count,
    Counted,
    Done,
    End,
    Ending,
    Ends,
    Fence,
    Find,
    Found,
    Guard,
    Index,
    Load,
    Loaded,
    Operation,
    Patch,
    Pick,
    Purge,
    Put,
    Refused,
    Release,
    Renew,
    Touch,
    Touched,
    Why,
)
from insession.kernel.record import NEVER, Item, Record, State

UNDER_LIMIT = 1 << 20
"""So many bytes of items `Load` gives below an id."""
Place = tuple[float, str]
"""Rank and id: where a record stands in an index, within its kind and state."""


class Rows(Protocol):
    """What an embedded store keeps, as the interpreter needs it. Everything happens within one atom."""

    def next_number(self) -> int:
        """The next number of the partition's counter: versions and fencing tokens."""

    def record(self, session_id: str) -> Record | None:
        """The record under an id."""

    def write(self, record: Record, old: Record | None) -> None:
        """Put a record in place of ``old``, in every index."""

    def drop(self, record: Record) -> None:
        """Remove a record from everywhere."""

    def item(self, key: str) -> Item | None:
        """The item under a key."""

    def put(self, item: Item, old: Item | None) -> None:
        """Put an item in place of ``old``."""

    def remove(self, item: Item) -> None:
        """Remove an item."""

    def lease(self, name: str) -> Lease | None:
        """A lease that somebody holds or waits for."""

    def keep_lease(self, name: str, lease: Lease | None) -> None:
        """Put a lease; None: nobody holds it or waits."""

    def log(self, event: Event) -> None:
        """Append an event; it gets its position."""

    def walk(
        self, pick: Pick | Find, kind: str, state: State, after: Place | None, most: int
    ) -> Sequence[Record]:
        """The first records of an index of one kind and state, after a place, in the order of rank and id."""

    def due(self, kind: str, before: float, most: int) -> Sequence[Record]:
        """Live records of a kind with ``due <= before``, in the order of due and id."""

    def next_due(self, kinds: Iterable[str]) -> float:
        """The earliest due time of a live record of these kinds."""

    def count(self, index: Index, value: str | None, kind: str, state: State) -> int:
        """How many records of a kind and state an index holds."""

    def kinds(self) -> Iterable[str]:
        """Names of the kinds that have records, in order."""

    def items(self, prefix: str, after: str, most: int) -> Sequence[Item]:
        """Items whose key begins with a prefix, after a key, in key order."""

    def items_of(self, owner: str, after: str, most: int) -> Sequence[Item]:
        """Items of an owner, after a key, in key order."""

    def items_expired(self, before: float, most: int) -> Sequence[Item]:
        """Items with ``expires <= before``, in that order."""

    def leases(self, prefix: str, after: str, most: int) -> Sequence[Lease]:
        """Leases whose name begins with a prefix, after a name, in order."""

    def trim(self, before: float, most: int) -> int:
        """Forget up to ``most`` of the oldest events older than ``before`` less the retention; how many it were."""

    def forget(self, owner: str, most: int) -> int:
        """Forget up to ``most`` events of an owner; cursors pass the gap."""


class Interpreter:
    """Applies operations to rows, one after another."""

    __slots__ = ("_meaning", "_rows", "handed_on")

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self.handed_on = False
        """Whether a lease was given back while somebody waited, since the store last looked."""
        self._meaning: dict[type[Any], Callable[[Any], Answer]] = {
            Load: self._load,
            Commit: self._commit,
            End: self._end,
            Touch: self._touch,
            Acquire: self._acquire,
            Renew: self._renew,
            Release: self._release,
            Find: self._find,
            Count: self._count,
            Purge: self._purge,
        }

    def apply(self, operations: Sequence[Operation]) -> list[Answer]:
        """The answers to the operations, in their order."""
        meaning = self._meaning
        return [meaning[type(operation)](operation) for operation in operations]

    def _load(self, load: Load) -> Loaded:
        rows = self._rows
        found = tuple([rows.item(key) if "/" in key else rows.record(key) for key in load.keys])
        if load.under is None:
            return Loaded(found)
        return Loaded(found, *self._under(load.under))

    def _under(self, session_id: str) -> tuple[tuple[Item, ...], bool]:
        size, under, after = 0, list[Item](), ""
        while page := self._rows.items(f"{session_id}/", after, 64):
            for item in page:
                size += len(item.data)
                if size > UNDER_LIMIT and under:
                    return tuple(under), True
                under.append(item)
            after = page[-1].key
        return tuple(under), False

    # ------------------------------------------------------------------ changes

    def _commit(self, commit: Commit) -> Done | Refused:
        rows, patches = self._rows, commit.patches
        now: list[Any] = [
            rows.item(part.key) if isinstance(part, Put) else rows.record(part.id) for part in patches
        ]
        if _repeated(commit, now):
            return Done(tuple([0 if one is None else one.version for one in now]))
        now = _without_replaced(patches, now)
        if commit.fence is not None and leases.fenced(
            rows.lease(commit.fence.lease), commit.fence, commit.at
        ):
            return Refused(Why.FENCED)
        for part, one in zip(patches, now, strict=True):
            refused = (
                rules.judge_item(part, one, commit.at)
                if isinstance(part, Put)
                else rules.judge(part.guard, part.version, one, commit.at)
            )
            if refused is not None:
                return refused
            if commit.again and _ended_since(part, one, commit.at):
                return Refused(Why.ENDED, one)
        if commit.caps and not self._room(commit):
            return Refused(Why.LIMIT)
        for part, one in zip(patches, now, strict=True):
            # Before anything is put, so that an item put below the new record is not taken along.
            if one is not None and isinstance(part, Patch) and part.record is not None:
                self._remove(one)
        return Done(tuple([self._change(part, one, commit) for part, one in zip(patches, now, strict=True)]))

    def _change(self, part: Patch | Put, one: Record | Item | None, commit: Commit) -> int:
        rows = self._rows
        if isinstance(part, Put):
            assert not isinstance(one, Record)
            return self._put(part, one, commit)
        assert not isinstance(one, Item)
        if part.record is not None:
            record = rules.opened(part.record, rows.next_number())
            rows.write(record, None)
        else:
            assert one is not None
            version = one.version if part.guard is Guard.SAME else rows.next_number()
            record = rules.patched(one, part, commit.change, version)
            rows.write(record, one)
        if part.event is not None:
            rows.log(rules.event_of_patch(record, part, commit))
        return record.version

    def _put(self, put: Put, one: Item | None, commit: Commit) -> int:
        item = rules.item_after(put, one, commit.change, self._rows.next_number())
        if item is not None:
            self._rows.put(item, one)
            return item.version
        if one is not None:
            self._rows.remove(one)
        return 0

    def _remove(self, record: Record) -> None:
        """Remove a record with what lies under it."""
        while page := self._rows.items(f"{record.id}/", "", 64):
            for item in page:
                self._rows.remove(item)
        self._rows.drop(record)

    def _room(self, commit: Commit) -> bool:
        """Make room for one more under every limit; False: one of them refuses, and nobody was evicted."""
        new = next(
            part.record for part in commit.patches if not isinstance(part, Put) and part.record is not None
        )
        evicted: dict[str, tuple[Record, Ending]] = {}
        for cap in commit.caps:
            value = new.owner if cap.over == "owner" else new.kind
            if value is None:
                continue
            leaving = sum(1 for record, _ in evicted.values() if cap.over == "kind" or record.owner == value)
            surplus = self._surplus(cap, value, new.kind, commit.at)
            if surplus <= leaving:
                continue
            if cap.ending is None:
                return False
            first = [one for one in self._victims(cap, value, new.kind, surplus) if one.id not in evicted]
            evicted |= {one.id: (one, cap.ending) for one in first[: surplus - leaving]}
        for record, ending in evicted.values():
            self._end_one(record, ending)
        return True

    def _surplus(self, cap: Cap, value: str, kind: str, at: float) -> int:
        """How many have to go to make room for one more, once those that are due have expired."""
        members = self._rows.count(cap.over, value, kind, State.ACTIVE)
        if members < cap.most:
            return 0
        if cap.over == "kind":
            due = self._rows.due(kind, at, members)
        else:
            due = [record for record in self._members(cap, value, kind, members) if record.due <= at]
        for record in due:
            self._end_one(record, cap.expiry)
        return max(0, members - len(due) - cap.most + 1)

    def _members(self, cap: Cap, value: str, kind: str, most: int) -> Sequence[Record]:
        return self._rows.walk(Pick(cap.over, value), kind, State.ACTIVE, None, most)

    def _victims(self, cap: Cap, value: str, kind: str, needed: int) -> Sequence[Record]:
        if not cap.by_touch:
            return self._members(cap, value, kind, needed)
        if cap.over == "kind":
            return self._rows.due(kind, NEVER, needed)
        members = self._members(cap, value, kind, self._rows.count("owner", value, kind, State.ACTIVE))
        return sorted(members, key=lambda record: (record.touched, record.id))[:needed]

    # ------------------------------------------------------------------ endings and touches

    def _end(self, end: End) -> Ends | Refused:
        pick, ending = end.pick, end.ending
        if pick.index == "id":
            return self._end_by_id(pick.value or "", ending)
        chosen = self._picked(pick, ending)
        more = len(chosen) > pick.most
        ended = [self._end_one(record, ending) for record in chosen[: pick.most]]
        look = self._rows.next_due(self._kinds_of(pick)) if pick.index == "due" else NEVER
        return Ends(
            tuple([record.id for record in ended]), tuple([record.version for record in ended]), more, look
        )

    def _end_by_id(self, session_id: str, ending: Ending) -> Ends | Refused:
        record = self._rows.record(session_id)
        if record is not None and record.change == ending.change:
            return Ends((record.id,), (record.version,))
        refused = rules.judge(ending.guard, 0, record, ending.at)
        if refused is not None:
            return refused
        assert record is not None
        return Ends((record.id,), (self._end_one(record, ending).version,))

    def _picked(self, pick: Pick, ending: Ending) -> list[Record]:
        """What the pick names and the ending's guard lets through, and one more if there is one."""
        chosen: list[Record] = []
        for kind in self._kinds_of(pick):
            chosen += self._picked_of(kind, pick, ending, pick.most + 1 - len(chosen))
            if len(chosen) > pick.most:
                break
        return chosen

    def _picked_of(self, kind: str, pick: Pick, ending: Ending, most: int) -> list[Record]:
        if pick.index == "due":
            return list(self._rows.due(kind, ending.at, most))
        # What is due is left to its expiry by an ending of somebody, here as by id.
        at, expiry = ending.at, ending.guard is Guard.DUE
        chosen: list[Record] = []
        after: Place | None = None
        while page := self._rows.walk(pick, kind, State.ACTIVE, after, most):
            early = [record for record in page if record.opened < pick.before]
            chosen += [record for record in early if (record.due <= at) is expiry][: most - len(chosen)]
            if len(chosen) >= most or len(early) < len(page):
                break
            after = (page[-1].rank, page[-1].id)
        return chosen

    def _kinds_of(self, ask: Pick | Find | Count) -> Iterable[str]:
        if ask.index == "kind":
            return (ask.value or "",) if ask.kind in {None, ask.value} else ()
        if ask.kind is not None:
            return (ask.kind,)
        return [name for name in self._rows.kinds() if ask.index == "due" or not name.startswith("~")]

    def _end_one(self, record: Record, ending: Ending) -> Record:
        after = rules.ended(record, ending, self._rows.next_number())
        self._rows.write(after, record)
        self._rows.log(rules.event_of_ending(after, ending))
        return after

    def _touch(self, touch: Touch) -> Touched | Refused:
        record = self._rows.record(touch.id)
        if record is None:
            return Refused(Why.MISSING)
        after = rules.touched(record, touch)
        if type(after) is Refused:
            return after
        if after is None:
            return Touched(record.due)
        assert type(after) is Record
        self._rows.write(after, record)
        return Touched(after.due)

    # ------------------------------------------------------------------ leases

    def _acquire(self, ask: Acquire) -> Answer:
        decision = leases.acquire(self._rows.lease(ask.lease), ask, self._rows.next_number)
        # The next in the queue may have asked before this one, which stood in its way.
        self.handed_on = self.handed_on or leases.free(decision, ask.permits)
        return self._decided(ask.lease, decision)

    def _renew(self, ask: Renew) -> Answer:
        fence: Fence = ask.fence
        return self._decided(fence.lease, leases.renew(self._rows.lease(fence.lease), ask))

    def _release(self, ask: Release) -> Answer:
        decision = leases.release(self._rows.lease(ask.lease), ask)
        self.handed_on = self.handed_on or bool(decision.lease is not None and decision.lease.queue)
        return self._decided(ask.lease, decision)

    def _decided(self, name: str, decision: leases.Decision) -> Answer:
        self._rows.keep_lease(name, decision.lease)
        for event in decision.events:
            self._rows.log(event)
        return decision.answer

    # ------------------------------------------------------------------ pages and purges

    def _find(self, find: Find) -> Found:
        if find.index in {"item", "item owner", "lease"}:
            return self._find_by_key(find)
        records: list[Record] = []
        start = _place(find.after)
        for kind in self._kinds_of(find):
            for state in State if find.state is None else (find.state,):
                where = (kind, _ORDER[state])
                if start is not None and where < start[0]:
                    continue
                after = start[1] if start is not None and where == start[0] else None
                records += self._rows.walk(find, kind, state, after, find.most + 1 - len(records))
                if len(records) > find.most:
                    page = records[: find.most]
                    return Found(tuple(page), _cursor(page[-1]))
        return Found(tuple(records))

    def _find_by_key(self, find: Find) -> Found:
        rows, value, after, most = self._rows, find.value or "", find.after or "", find.most + 1
        entries: list[Any]
        if find.index == "lease":
            entries = [lease.view() for lease in rows.leases(value, after, most)]
            keys = [view.name for view in entries]
        else:
            entries = list((rows.items if find.index == "item" else rows.items_of)(value, after, most))
            keys = [item.key for item in entries]
        more = len(entries) > find.most
        return Found(tuple(entries[: find.most]), keys[find.most - 1] if more else None)

    def _count(self, count: Count) -> Counted:
        states = State if count.state is None else (count.state,)
        pairs = [(kind, state) for kind in self._kinds_of(count) for state in states]
        return Counted(sum(self._rows.count(count.index, count.value, kind, state) for kind, state in pairs))

    def _purge(self, purge: Purge) -> Counted:
        if purge.owner is not None:
            return self._purge_owner(purge, purge.owner)
        if purge.kind is not None:
            return self._purge_kind(purge, purge.kind)
        expired = self._rows.items_expired(purge.before, purge.most)
        for item in expired:
            self._rows.remove(item)
        events = self._rows.trim(purge.before, purge.most)
        return Counted(len(expired) + events, max(len(expired), events) >= purge.most)

    def _purge_kind(self, purge: Purge, kind: str) -> Counted:
        rows, over = self._rows, 0
        states = [state for state in State if state is not State.ACTIVE]
        if purge.count is not None:
            over = max(0, sum(rows.count("kind", kind, kind, state) for state in states) - purge.count)
        heads = [
            one for state in states for one in rows.walk(Pick("kind", kind), kind, state, None, purge.most)
        ]
        heads.sort(key=lambda record: (record.gone, record.id))
        old = [
            record
            for place, record in enumerate(heads[: purge.most])
            if not record.finish and (record.gone <= purge.before or place < over)
        ]
        for record in old:
            self._remove(record)
        return Counted(len(old), len(old) >= purge.most)

    def _purge_owner(self, purge: Purge, owner: str) -> Counted:
        rows, number = self._rows, 0
        find = Find("owner", owner)
        for kind in list(rows.kinds()):
            for state in State:
                page = (
                    rows.walk(find, kind, state, None, purge.most - number)
                    if state is not State.ACTIVE
                    else ()
                )
                for record in page:
                    self._remove(record)
                number += len(page)
        items = rows.items_of(owner, "", purge.most - number)
        for item in items:
            rows.remove(item)
        number += len(items)
        number += rows.forget(owner, purge.most - number)
        return Counted(number, number >= purge.most)


_ORDER = {state: place for place, state in enumerate(State)}


def _repeated(commit: Commit, now: Sequence[Record | Item | None]) -> bool:
    """Whether this change was done before: whatever it changed last still remembers it."""
    for one in now:
        if type(one) is Record:
            if one.change == commit.change:
                return True
        elif type(one) is Item and commit.change in one.changes:
            return True
    return False


def _without_replaced(patches: Sequence[Patch | Put], now: list[Any]) -> list[Any]:
    """What a commit finds: below an ended record that it replaces, nothing."""
    replaced = [
        f"{part.id}/"
        for part, one in zip(patches, now, strict=True)
        if one is not None and isinstance(part, Patch) and part.record is not None
    ]
    if not replaced or len(patches) == 1:
        return now
    below = tuple(replaced)
    return [
        None if isinstance(part, Put) and part.key.startswith(below) else one
        for part, one in zip(patches, now, strict=True)
    ]


def _ended_since(part: Patch | Put, one: Record | Item | None, at: float) -> bool:
    return (
        isinstance(part, Patch) and part.guard is Guard.ABSENT and isinstance(one, Record) and one.ended >= at
    )


def _cursor(record: Record) -> str:
    return f"{record.kind}|{_ORDER[record.state]}|{record.rank!r}|{record.id}"


def _place(cursor: str | None) -> tuple[tuple[str, int], Place] | None:
    if cursor is None:
        return None
    try:
        kind, state, rank, session_id = cursor.split("|", 3)
        return (kind, int(state)), (float(rank), session_id)
    except ValueError:
        raise InvalidInput("after", "is not one that a page gave out") from None

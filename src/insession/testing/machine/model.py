"""What a store should answer, found out by scanning plain lists.

Naive on purpose: no index, no page, no atom. Only the decisions on single records are the kernel's
own rules; which records an operation means, limits, leases and the log are written here once more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, Final

from msgspec.structs import replace

from insession.kernel import rules
from insession.kernel.events import Event
from insession.kernel.limits import Limit
from insession.kernel.operations import (
    Acquire,
    Answer,
    Commit,
    Count,
    Counted,
    Done,
    End,
    Ending,
    Ends,
    Find,
    Found,
    Guard,
    LeaseView,
    Load,
    Loaded,
    Operation,
    Patch,
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

from .locks import Lock

ORDER: Final = {state: place for place, state in enumerate(State)}


def place_of(record: Record) -> tuple[str, int, float, str]:
    """Where a record stands in every index."""
    return record.kind, ORDER[record.state], record.rank, record.id


class Model:
    """All that a store holds. ``seen`` counts what has happened; ``log`` holds None where an event was erased."""

    def __init__(self, seen: Counter[str]) -> None:
        self.records: dict[str, Record] = {}
        self.items: dict[str, Item] = {}
        self.locks: dict[str, Lock] = {}
        self.log: list[Event | None] = []
        self.seen = seen
        self.number: int = 0
        self.now: float = 0.0
        self.lives: set[str] = set()
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

    def apply(self, operation: Operation, now: float) -> Answer:
        """The answer that a store should give."""
        self.now = now
        answer = self._meaning[type(operation)](operation)
        if type(answer) is Refused:
            self.seen[f"refused: {answer.why.value}"] += 1
        return answer

    def next_number(self) -> int:
        """Versions and fencing tokens."""
        self.number += 1
        return self.number

    def _load(self, load: Load) -> Loaded:
        found = tuple(self.items.get(key) if "/" in key else self.records.get(key) for key in load.keys)
        below = () if load.under is None else tuple(self._prefixed(f"{load.under}/"))
        return Loaded(found, below)

    def _prefixed(self, prefix: str) -> list[Item]:
        return [item for key, item in sorted(self.items.items()) if key.startswith(prefix)]

    def _commit(self, commit: Commit) -> Done | Refused:
        there: list[Any] = [
            self.items.get(part.key) if isinstance(part, Put) else self.records.get(part.id) for part in commit.patches
        ]
        if any(self._remembers(one, commit.change) for one in there):
            self.seen["replay_done"] += 1
            return Done(tuple(one.version if _wrote_last(one, commit.change) else 0 for one in there))
        if commit.fence is not None:
            lock = self.locks.get(commit.fence.lease)
            if lock is None or not lock.proves(commit.fence, self.now):
                return Refused(Why.FENCED)
            self.seen["fence_passed"] += 1
        replaced = [part.id for part in commit.patches if isinstance(part, Patch) and part.record is not None]
        for part, one in zip(commit.patches, there, strict=True):
            refused = self._refused(part, one, commit, replaced)
            if refused is not None:
                return refused
        if not self._make_room(commit):
            return Refused(Why.LIMIT)
        for session_id in replaced:
            self.seen["reopened"] += session_id in self.records
            self.seen["life_after_purge"] += session_id in self.lives and session_id not in self.records
            self._drop(session_id)
        return Done(tuple(self._change(part, commit) for part in commit.patches))

    def _remembers(self, one: Record | Item | None, change: str) -> bool:
        return one is not None and change in (one.changes if isinstance(one, Item) else (one.change,))

    def _refused(self, part: Patch | Put, one: Any, commit: Commit, replaced: list[str]) -> Refused | None:
        if isinstance(part, Put):
            gone = part.key.partition("/")[0] in replaced
            return rules.judge_item(part, None if gone else one, commit.at)
        refused = rules.judge(part.guard, part.version, one, commit.at)
        opens_again = commit.again and part.record is not None and one is not None
        if refused is None and opens_again and max(one.opened, one.ended) >= commit.at:
            self.seen["again_refused"] += 1
            return Refused(Why.ENDED, one)
        return refused

    def _drop(self, session_id: str) -> None:
        if self.records.pop(session_id, None) is not None:
            for item in self._prefixed(f"{session_id}/"):
                self.seen["items_gone_with_record"] += 1
                del self.items[item.key]

    def _change(self, part: Patch | Put, commit: Commit) -> int:
        if isinstance(part, Put):
            old = self.items.pop(part.key, None)
            version = old.version if part.guard is Guard.SAME and old is not None else self.next_number()
            item = rules.item_after(part, old, commit.change, version)
            if item is None:
                return 0
            self.items[item.key] = item
            return item.version
        if part.record is not None:
            record = replace(part.record, version=self.next_number())
            self.lives.add(record.id)
        else:
            before = self.records[part.id]
            version = before.version if part.guard is Guard.SAME else self.next_number()
            record = rules.patched(before, part, commit.change, version)
        self.records[record.id] = record
        if part.event is not None:
            self.log.append(rules.event_of_patch(record, part, commit))
        return record.version

    def _make_room(self, commit: Commit) -> bool:
        if not commit.limits:
            return True
        new = next(part.record for part in commit.patches if isinstance(part, Patch) and part.record)
        evicted: list[Record] = []
        for limit in commit.limits:
            if limit.over == "owner" and new.owner is None:
                continue
            live = self._members(limit, new)
            if len(live) >= limit.most:
                for record in [one for one in live if one.due <= commit.at]:  # in the order of their index
                    self.seen["expired_by_limit"] += 1
                    self._end_one(record, rules.expiry(commit.at, commit.change, commit.node))
            live = [one for one in self._members(limit, new) if one not in evicted]
            needed = len(live) - limit.most + 1
            if needed > 0 and limit.then == "deny":
                self.seen["limit_denied"] += 1
                return False
            evicted += self._by_fate(limit, live)[: max(needed, 0)]
        for record in evicted:
            self.seen["limit_evicted"] += 1
            self._end_one(record, rules.eviction(commit.at, commit.change, commit.node))
        return True

    def _members(self, limit: Limit, new: Record) -> list[Record]:
        live = [one for one in self.records.values() if one.live and one.kind == new.kind]
        if limit.over == "kind":
            return sorted(live, key=lambda one: (one.due, one.id))
        return sorted((one for one in live if one.owner == new.owner), key=place_of)

    def _by_fate(self, limit: Limit, live: list[Record]) -> list[Record]:
        if limit.then == "oldest":
            return sorted(live, key=lambda one: (one.opened, one.id))
        if limit.over == "kind":
            return sorted(live, key=lambda one: (one.due, one.id))
        return sorted(live, key=lambda one: (one.touched, one.id))

    def _end(self, end: End) -> Ends | Refused:
        pick, ending = end.pick, end.ending
        if pick.index == "id":
            record = self.records.get(pick.value or "")
            if record is not None and record.change == ending.change:
                self.seen["replay_done"] += 1
                return Ends((record.id,), (record.version,))
            refused = rules.judge(ending.guard, 0, record, ending.at)
            if refused is not None or record is None:
                return refused or Refused(Why.MISSING)
            return Ends((record.id,), (self._end_one(record, ending).version,))
        if pick.index == "due":
            return self._expire(end)
        picked = [
            one
            for one in self._indexed(pick.index, pick.value, pick.kind, State.ACTIVE)
            if one.opened < pick.before and one.due > ending.at
        ]
        self.seen["slice_with_more"] += len(picked) > pick.most
        self.seen["picked_several"] += len(picked[: pick.most]) > 1
        over = [self._end_one(one, ending) for one in picked[: pick.most]]
        return Ends(tuple(one.id for one in over), tuple(one.version for one in over), len(picked) > pick.most)

    def _expire(self, end: End) -> Ends:
        kind, most = end.pick.kind, end.pick.most
        mine = [one for one in self.records.values() if one.live and kind in {None, one.kind}]
        due = sorted((one for one in mine if one.due <= end.ending.at), key=lambda one: (one.kind, one.due, one.id))
        over = [self._end_one(one, end.ending) for one in due[:most]]
        self.seen["expired"] += len(over)
        self.seen["expired_together"] += len({one.due for one in over}) < len(over)
        look = min((one.due for one in self.records.values() if one.live and kind in {None, one.kind}), default=NEVER)
        return Ends(tuple(one.id for one in over), tuple(one.version for one in over), len(due) > most, look)

    def _end_one(self, record: Record, ending: Ending) -> Record:
        over = self.records[record.id] = rules.ended(record, ending, self.next_number())
        self.log.append(rules.event_of_ending(over, ending))
        return over

    def _touch(self, touch: Touch) -> Touched | Refused:
        record = self.records.get(touch.id)
        if record is None:
            return Refused(Why.MISSING)
        after = rules.touched(record, touch)
        if isinstance(after, Refused):
            return after
        self.seen["touch_in_window"] += after is None
        self.seen["touched"] += after is not None
        self.records[touch.id] = after or record
        return Touched((after or record).due)

    def _lock(self, name: str) -> Lock:
        return self.locks.setdefault(name, Lock(name, self.seen))

    def _acquire(self, ask: Acquire) -> Answer:
        answer, events = self._lock(ask.lease).acquire(ask, self.next_number)
        self.log += events
        return answer

    def _renew(self, ask: Renew) -> Answer:
        return self._lock(ask.fence.lease).renew(ask)

    def _release(self, ask: Release) -> Answer:
        return self._lock(ask.lease).release(ask)

    def _indexed(self, index: str, value: str | None, kind: str | None, state: State | None) -> list[Record]:
        """The records that an index holds, in its order."""

        def belongs(record: Record) -> bool:
            if state not in {None, record.state} or kind not in {None, record.kind}:
                return False
            if kind is None and index != "kind" and record.kind.startswith("~"):
                return False
            if index in {"owner", "node", "kind"}:
                return bool(getattr(record, index) == value)
            return index == "all" or record.finish

        return sorted(filter(belongs, self.records.values()), key=place_of)

    def _find(self, find: Find) -> Found:
        """The whole of an index; who compares takes a page of it."""
        value = find.value or ""
        if find.index == "item":
            return Found(tuple(self._prefixed(value)))
        if find.index == "item owner":
            return Found(tuple(item for _, item in sorted(self.items.items()) if item.owner == find.value))
        if find.index == "lease":
            return Found(tuple(self.views(value)))
        return Found(tuple(self._indexed(find.index, find.value, find.kind, find.state)))

    def views(self, prefix: str) -> Iterable[LeaseView]:
        """Leases that somebody holds or waits for."""
        views = [lock.view(self.now) for name, lock in sorted(self.locks.items()) if name.startswith(prefix)]
        return [view for view in views if view.holders or view.waiting]

    def tickets(self, name: str) -> set[str]:
        """Everybody who had a part in a lease when somebody last asked."""
        lock = self.locks.get(name)
        if lock is None:
            return set()
        return {permit.ticket for permit in lock.holders} | {place.ticket for place in lock.queue}

    def _count(self, count: Count) -> Counted:
        return Counted(len(self._indexed(count.index, count.value, count.kind, count.state)))

    def _purge(self, purge: Purge) -> Counted:
        if purge.owner is not None:
            return self._erase(purge.owner)
        if purge.kind is not None:
            return self._purge_kind(purge, purge.kind)
        over = [item.key for item in self.items.values() if item.expires <= purge.before]
        for key in over:
            self.seen["item_expired"] += 1
            del self.items[key]
        return Counted(len(over))

    def _purge_kind(self, purge: Purge, kind: str) -> Counted:
        over = [one for one in self.records.values() if one.kind == kind and not one.live]
        over.sort(key=lambda one: (one.gone, one.id))
        surplus = len(over) - purge.count if purge.count is not None else 0
        old = [
            one for place, one in enumerate(over) if not one.finish and (one.gone <= purge.before or place < surplus)
        ]
        self.seen["kept_for_work"] += any(one.finish for one in over)
        for record in old:
            self.seen["purged"] += 1
            self._drop(record.id)
        return Counted(len(old))

    def _erase(self, owner: str) -> Counted:
        over = [one.id for one in self.records.values() if one.owner == owner and not one.live]
        for session_id in over:
            self._drop(session_id)
        items = [item.key for item in self.items.values() if item.owner == owner]
        for key in items:
            del self.items[key]
        events = [place for place, event in enumerate(self.log) if event is not None and event.owner == owner]
        for place in events:
            self.seen["erased"] += 1
            self.log[place] = None
        return Counted(len(over) + len(items) + len(events))


def _wrote_last(one: Record | Item | None, change: str) -> bool:
    return one is not None and change == (one.change if isinstance(one, Record) else (one.changes or ("",))[-1])

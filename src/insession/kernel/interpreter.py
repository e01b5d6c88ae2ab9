"""What every operation means, written once over rows: the reference of the store contract.

An embedded store gives rows (`Rows`) and gets `apply`. A store on a server interprets the same
operations beside its data; the contract suite and the state machine hold it to the same answers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

from insession.errors import InvalidInput
from insession.kernel import leases, marks, pages, purges, rules
from insession.kernel.limits import Limit
from insession.kernel.operations import (
    Acquire,
    Answer,
    Commit,
    Count,
    Done,
    End,
    Ending,
    Ends,
    Fence,
    Find,
    Guard,
    Import,
    Load,
    Loaded,
    Mark,
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
from insession.kernel.rows import Place, Rows

UNDER_LIMIT = 1 << 20
"""So many bytes of items `Load` gives below an id."""
# Reading a member of an enumeration costs more than all else that these lines do.
_ACTIVE: Final = State.ACTIVE
_ABSENT: Final = Guard.ABSENT
_SAME: Final = Guard.SAME


class Interpreter:
    """Applies operations to rows, one after another."""

    __slots__ = ("_closed", "_meaning", "_rows", "handed_on")

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self.handed_on: bool = False
        """Whether a lease was given back while somebody waited, since the store last looked."""
        self._meaning: dict[type[Any], Callable[[Any], Answer]] = {
            Load: self._load,
            Commit: self._commit,
            End: self._end,
            Touch: self._touch,
            Acquire: self._acquire,
            Renew: self._renew,
            Release: self._release,
            Find: partial(pages.find, rows),
            Count: partial(pages.count, rows),
            Purge: partial(purges.purge, rows),
            Mark: self._mark,
            Import: partial(marks.take, rows),
        }
        self._closed = self._meaning | dict.fromkeys(marks.CHANGING, partial(marks.refuse, rows))
        """What they mean while the store does not stand open."""

    def apply(self, operations: Sequence[Operation]) -> list[Answer]:
        """The answers to the operations, in their order."""
        meaning = self._meaning if self._rows.mark is None else self._closed
        return [meaning[type(operation)](operation) for operation in operations]

    def answer(self, operation: Operation) -> Answer:
        """The answer to one operation."""
        meaning = self._meaning if self._rows.mark is None else self._closed
        return meaning[type(operation)](operation)

    def _mark(self, mark: Mark) -> Answer:
        # Whoever waits shall look: there may be another epoch to read.
        self.handed_on = self.handed_on or mark.standing is not None
        return marks.mark(self._rows, mark)

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

    def _commit(self, commit: Commit) -> Done | Refused:
        if len(commit.patches) == 1 and type(commit.patches[0]) is Patch:
            return self._commit_record(commit, commit.patches[0])
        patches = commit.patches
        now, replaced = self._found(patches)
        if _repeated(commit, now):
            return Done(tuple([_version_of(one, commit.change) for one in now]))
        if commit.fence is not None and self._fenced(commit):
            return Refused(Why.FENCED)
        if replaced:
            now = _without_replaced(patches, now, replaced)
        for part, one in zip(patches, now, strict=True):
            refused = rules.judge_item(part, one, commit.at) if type(part) is Put else _refused(commit, part, one)
            if refused is not None:
                return refused
        if commit.limits and not self._room(commit):
            return Refused(Why.LIMIT)
        for one in replaced:
            # Before anything is put, so that an item put below the new record is not taken along.
            purges.remove(self._rows, one)
        return Done(tuple([self._change(part, one, commit) for part, one in zip(patches, now, strict=True)]))

    def _found(self, patches: Sequence[Patch | Put]) -> tuple[list[Any], list[Record]]:
        """What is there of each part, and the ended records that are replaced."""
        rows, names = self._rows, set[str]()
        now: list[Any] = []
        replaced: list[Record] = []
        for part in patches:
            if type(part) is Put:
                names.add(part.key)
                now.append(rows.item(part.key))
                continue
            assert type(part) is Patch
            names.add(part.id)
            now.append(record := rows.record(part.id))
            if record is not None and part.record is not None:
                replaced.append(record)
        if len(names) < len(patches):
            raise InvalidInput("patches", "name one record or item twice")
        return now, replaced

    def _commit_record(self, commit: Commit, patch: Patch) -> Done | Refused:
        """A commit of one record and nothing else: what nearly all of them are."""
        record = self._rows.record(patch.id)
        if record is not None and record.change == commit.change:
            return Done((record.version,))
        if commit.fence is not None and self._fenced(commit):
            return Refused(Why.FENCED)
        refused = _refused(commit, patch, record)
        if refused is not None:
            return refused
        if commit.limits and not self._room(commit):
            return Refused(Why.LIMIT)
        if record is not None and patch.record is not None:
            purges.remove(self._rows, record)
        return Done((self._change(patch, record, commit),))

    def _fenced(self, commit: Commit) -> bool:
        fence = commit.fence
        return fence is not None and leases.fenced(self._rows.lease(fence.lease), fence, commit.at)

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
            version = one.version if part.guard is _SAME else rows.next_number()
            record = rules.patched(one, part, commit.change, version)
            rows.write(record, one)
        if part.event is not None:
            rows.log(rules.event_of_patch(record, part, commit))
        return record.version

    def _put(self, put: Put, one: Item | None, commit: Commit) -> int:
        version = one.version if put.guard is _SAME and one is not None else self._rows.next_number()
        item = rules.item_after(put, one, commit.change, version)
        if item is not None:
            self._rows.put(item, one)
            return item.version
        if one is not None:
            self._rows.remove(one)
        return 0

    def _room(self, commit: Commit) -> bool:
        """Make room for one more under every limit; False: one of them refuses, and nobody was evicted."""
        new = next(part.record for part in commit.patches if not isinstance(part, Put) and part.record is not None)
        evicted: dict[str, Record] = {}
        for limit in commit.limits:
            value = new.owner if limit.over == "owner" else new.kind
            if value is None:
                continue
            surplus = self._surplus(limit, value, new.kind, commit)
            if surplus:
                leaving = sum(limit.over == "kind" or record.owner == value for record in evicted.values())
                if surplus > leaving and limit.then == "deny":
                    return False
                first = [one for one in self._victims(limit, value, new.kind, surplus) if one.id not in evicted]
                evicted |= {one.id: one for one in first[: max(0, surplus - leaving)]}
        if evicted:
            eviction = rules.eviction(commit.at, commit.change, commit.node)
            for record in evicted.values():
                self._end_one(record, eviction)
        return True

    def _surplus(self, limit: Limit, value: str, kind: str, commit: Commit) -> int:
        """How many have to go to make room for one more, once those that are due have expired."""
        members = self._rows.count(limit.over, value, kind, _ACTIVE)
        if members < limit.most:
            return 0
        if limit.over == "kind":
            due = self._rows.due(kind, commit.at, members)
        else:
            due = [one for one in self._members(limit, value, kind, members) if one.due <= commit.at]
        if due:
            expiry = rules.expiry(commit.at, commit.change, commit.node)
            for record in due:
                self._end_one(record, expiry)
        return max(0, members - len(due) - limit.most + 1)

    def _members(self, limit: Limit, value: str, kind: str, most: int) -> Sequence[Record]:
        return self._rows.walk(Pick(limit.over, value), kind, _ACTIVE, None, most)

    def _victims(self, limit: Limit, value: str, kind: str, needed: int) -> Sequence[Record]:
        if limit.then == "oldest":
            return self._members(limit, value, kind, needed)
        if limit.over == "kind":
            return self._rows.due(kind, NEVER, needed)
        members = self._members(limit, value, kind, self._rows.count("owner", value, kind, _ACTIVE))
        return sorted(members, key=lambda record: (record.touched, record.id))[:needed]

    def _end(self, end: End) -> Ends | Refused:
        pick, ending = end.pick, end.ending
        if pick.index == "id":
            return self._end_by_id(pick, ending)
        chosen = self._picked(pick, ending)
        more = len(chosen) > pick.most
        ended = [self._end_one(record, ending) for record in chosen[: pick.most]]
        look = self._rows.next_due(pages.kinds_of(self._rows, pick)) if pick.index == "due" else NEVER
        return Ends(tuple([record.id for record in ended]), tuple([record.version for record in ended]), more, look)

    def _end_by_id(self, pick: Pick, ending: Ending) -> Ends | Refused:
        record = self._rows.record(pick.value or "")
        if record is not None and record.change == ending.change:
            return Ends((record.id,), (record.version,))
        if record is not None and record.opened >= pick.before:
            return Refused(Why.STALE, record)
        refused = rules.judge(ending.guard, 0, record, ending.at)
        if refused is not None:
            return refused
        assert record is not None
        return Ends((record.id,), (self._end_one(record, ending).version,))

    def _picked(self, pick: Pick, ending: Ending) -> list[Record]:
        """What the pick names and the ending's guard lets through, and one more if there is one."""
        chosen: list[Record] = []
        for kind in pages.kinds_of(self._rows, pick):
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
        while page := self._rows.walk(pick, kind, _ACTIVE, after, most):
            early = [record for record in page if record.opened < pick.before]
            chosen += [record for record in early if (record.due <= at) is expiry][: most - len(chosen)]
            if len(chosen) >= most or len(early) < len(page):
                break
            after = (page[-1].rank, page[-1].id)
        return chosen

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


def _repeated(commit: Commit, now: Sequence[Record | Item | None]) -> bool:
    """Whether this change was done before: whatever it changed last still remembers it."""
    for one in now:
        if type(one) is Record:
            if one.change == commit.change:
                return True
        elif type(one) is Item and commit.change in one.changes:
            return True
    return False


def _version_of(one: Record | Item | None, change: str) -> int:
    """The version that a repeated change gave; 0 where somebody else has written since."""
    if isinstance(one, Item):
        return one.version if one.changes[-1:] == (change,) else 0
    return one.version if one is not None and one.change == change else 0


def _without_replaced(patches: Sequence[Patch | Put], now: list[Any], replaced: Sequence[Record]) -> list[Any]:
    """What a commit finds: below an ended record that it replaces, nothing."""
    below = tuple([f"{record.id}/" for record in replaced])
    return [
        None if isinstance(part, Put) and part.key.startswith(below) else one
        for part, one in zip(patches, now, strict=True)
    ]


def _refused(commit: Commit, part: Patch | Put, one: Any) -> Refused | None:
    """Whether a record's patch is refused."""
    assert type(part) is Patch
    refused = rules.judge(part.guard, part.version, one, commit.at)
    opens_again = commit.again and part.guard is _ABSENT and one is not None
    if refused is None and opens_again and max(one.opened, one.ended) >= commit.at:
        # It may be what this commit opened when it was sent first, ended by somebody whose time was earlier.
        return Refused(Why.ENDED, one)
    return refused

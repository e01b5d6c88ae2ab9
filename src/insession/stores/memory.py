"""The memory store: the reference, and the fastest. Sessions live as long as the process.

It never waits, so the engine calls it inline. Records and items are structs that the collector
skips; indexes hold ids only.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import islice, takewhile
from typing import Final

from msgspec.structs import force_setattr

from insession.kernel.clock import Clock
from insession.kernel.contract import Waker, Wakers
from insession.kernel.events import START, Cursor, Event, EventType, Page, fresh_epoch
from insession.kernel.interpreter import Interpreter
from insession.kernel.leases import Lease, last_until
from insession.kernel.operations import Answer, Find, Index, Mark, Operation, Pick
from insession.kernel.record import NEVER, Item, Record, State
from insession.kernel.rows import Place
from insession.kernel.urls import StoreURL
from insession.stores.ordered import Members, Ordered, ids_after, joined, left, number_of

# Reading a member of an enumeration costs more than all else that these lines do.
_ACTIVE: Final = State.ACTIVE
RETENTION: Final = 10_000
"""So many events the log keeps at least."""
_TRIM: Final = 500
"""So many old events the log drops at once: freeing them all takes milliseconds."""
EVERYTHING: Final = frozenset(Operation.__args__)


class MemoryStore:
    """Everything in dictionaries of this process. ``retention`` is how many events the log keeps at least."""

    immediate: frozenset[type[Operation]] = EVERYTHING
    most = 1024
    abreast = 1

    def __init__(self, *, clock: Clock | None = None, retention: int = RETENTION) -> None:
        self._clock = clock or Clock()
        self._log = _Log(retention)
        self._rows = _Rows(self._log)
        self._interpreter = Interpreter(self._rows)
        self.record_now: Callable[[str], Record | None] = self._rows.record
        self._wakers = Wakers()

    @classmethod
    def from_url(cls, url: StoreURL, *, namespace: str, clock: Clock | None) -> MemoryStore:  # noqa: ARG003
        """``memory:``: a store of its own, so that its one namespace shares nothing with anybody."""
        url.only(())
        return cls(clock=clock)

    async def open(self) -> None:
        """Nothing to open."""

    async def close(self) -> None:
        """Nothing to close: another engine may go on with it."""

    async def now(self) -> float:
        """The clock that it was given."""
        return self._clock.now()

    async def apply(self, operations: Sequence[Operation]) -> Sequence[Answer]:
        """See `Store.apply`."""
        return [self.apply_now(operation) for operation in operations]

    def apply_now(self, operation: Operation) -> Answer:
        """See `Store.apply_now`."""
        log, interpreter = self._log, self._interpreter
        answer = interpreter.answer(operation)
        if log.fresh or interpreter.handed_on:
            self._wakers.set(log.fresh, leases=interpreter.handed_on)
            log.fresh.clear()
            interpreter.handed_on = False
        return answer

    async def events(self, after: str | None, limit: int, types: Collection[EventType] | None) -> Page:
        """See `Store.events`."""
        return self._log.page(after, limit, types)

    def waker(self, types: Collection[EventType], *, leases: bool = False, answered: bool = False) -> Waker:
        """See `Store.waker`."""
        waker = self._wakers.waker(types, leases=leases)
        self._log.wanted = self._wakers.wanted
        return waker


class _Log:
    """The log: a list with the position of its first event."""

    __slots__ = ("entries", "epoch", "first", "fresh", "retention", "step", "wanted")

    def __init__(self, retention: int) -> None:
        self.retention = retention
        self.step = min(_TRIM, retention)
        self.entries: list[Event | None] = []
        self.first = 1
        self.epoch = fresh_epoch()
        self.fresh: set[EventType] = set()
        self.wanted: frozenset[EventType] = frozenset()

    def append(self, event: Event) -> None:
        entries = self.entries
        force_setattr(event, "position", self.first + len(entries))
        entries.append(event)
        if event.type in self.wanted:
            self.fresh.add(event.type)
        if len(entries) >= self.retention + self.step:
            self.drop(self.step)
            # A reader that waits for rare events looks now and then, so that its cursor is not trimmed.
            self.fresh |= self.wanted

    def drop(self, number: int) -> None:
        del self.entries[:number]
        self.first += number

    def page(self, after: str | None, limit: int, types: Collection[EventType] | None) -> Page:
        end = self.first + len(self.entries) - 1
        begin, trimmed = (end, False) if after is None else self._begin(after, end)
        if trimmed:
            here = self._cursor(self.first - 1)
            return Page((), here, here, more=True, trimmed=True)
        found: list[Event] = []
        position = begin
        while position < end and len(found) < limit:
            event = self.entries[position + 1 - self.first]
            position += 1
            if event is not None and (types is None or event.type in types):
                found.append(event)
        return Page(tuple(found), self._cursor(begin), self._cursor(position), more=position < end)

    def _begin(self, after: str, end: int) -> tuple[int, bool]:
        if after == START:
            return self.first - 1, False
        cursor = Cursor.parse(after)
        position = cursor.positions[0]
        known = cursor.epoch == self.epoch and self.first - 1 <= position <= end
        return position, not known

    def _cursor(self, position: int) -> str:
        return f"{self.epoch}:{position}"


class _Rows:
    """`Rows` in dictionaries."""

    def __init__(self, log: _Log) -> None:
        self.log: Callable[[Event], None] = log.append
        self._log = log
        self.mark: Mark | None = None
        self._number = 0
        self._records: dict[str, Record] = {}
        self.record: Callable[[str], Record | None] = self._records.get
        self._ranked: dict[tuple[str, State], Ordered] = {}
        self._owners: dict[tuple[str, State], dict[str, Members]] = {}
        self._nodes: dict[tuple[str, State], dict[str, Members]] = {}
        self._due: dict[str, Ordered] = {}
        self._items: dict[str, Item] = {}
        self.item: Callable[[str], Item | None] = self._items.get
        self._item_keys = Ordered()
        self._item_expiries = Ordered()
        self._item_owners: dict[str, Members] = {}
        self._leases: dict[str, Lease] = {}
        self.lease: Callable[[str], Lease | None] = self._leases.get

    def next_number(self) -> int:
        self._number += 1
        return self._number

    def write(self, record: Record, old: Record | None) -> None:
        self._records[record.id] = record
        if old is None:
            self._enter(record)
        elif old.state is not record.state:
            self._end(record, old)
        elif old.node != record.node or old.finish is not record.finish:
            self._leave(old)
            self._enter(record)
        elif old.due != record.due:
            due = self._due[record.kind]
            due.remove(old.due, old.id)
            due.add(record.due, record.id)

    def drop(self, record: Record) -> None:
        del self._records[record.id]
        self._leave(record)

    def _end(self, record: Record, old: Record) -> None:
        """Move a record from the live ones to the ended ones: what interrupting all does most."""
        kind, session_id, owner, gone = record.kind, record.id, record.owner, record.gone
        live, over = (kind, _ACTIVE), (kind, record.state)
        self._due[kind].remove(old.due, session_id)
        self._ranked[live].remove(old.opened, session_id)
        ranked = self._ranked.get(over)
        if ranked is None:
            ranked = self._ranked[over] = Ordered()
        ranked.add(gone, session_id)
        if owner is not None:
            _part(self._owners[live], owner, old.opened, session_id)
            self._join(self._owners, over, owner, gone, session_id)
        if record.node is not None:
            _part(self._nodes[live], record.node, old.opened, session_id)
            self._join(self._nodes, over, record.node, gone, session_id)

    def _enter(self, record: Record) -> None:
        where = (record.kind, record.state)
        ranked = self._ranked.get(where)
        if ranked is None:
            ranked = self._ranked[where] = Ordered()
        rank = record.rank
        ranked.add(rank, record.id)
        if record.owner is not None:
            self._join(self._owners, where, record.owner, rank, record.id)
        if record.node is not None:
            self._join(self._nodes, where, record.node, rank, record.id)
        if record.state is _ACTIVE:
            due = self._due.get(record.kind)
            if due is None:
                due = self._due[record.kind] = Ordered()
            due.add(record.due, record.id)

    def _leave(self, record: Record) -> None:
        where = (record.kind, record.state)
        rank = record.rank
        self._ranked[where].remove(rank, record.id)
        if record.owner is not None:
            _part(self._owners[where], record.owner, rank, record.id)
        if record.node is not None:
            _part(self._nodes[where], record.node, rank, record.id)
        if record.state is _ACTIVE:
            self._due[record.kind].remove(record.due, record.id)

    def _join(
        self,
        index: dict[tuple[str, State], dict[str, Members]],
        where: tuple[str, State],
        value: str,
        rank: float,
        session_id: str,
    ) -> None:
        groups = index.get(where)
        if groups is None:
            groups = index[where] = {}
        members = groups.get(value)
        if members is None:
            groups[value] = session_id
        else:
            groups[value] = joined(members, rank, session_id, self._rank)

    def _rank(self, session_id: str) -> float:
        return self._records[session_id].rank

    def walk(self, pick: Pick | Find, kind: str, state: State, after: Place | None, most: int) -> Sequence[Record]:
        where = (kind, state)
        if pick.index in {"owner", "node"}:
            members = self._groups(pick.index).get(where, {}).get(pick.value or "")
            ids = ids_after(members, after, self._rank)
        else:
            ranked = self._ranked.get(where)
            ids = (place[1] for place in ranked.after(after)) if ranked is not None else iter(())
        records = (self._records[session_id] for session_id in ids)
        if pick.index == "finish":
            records = (record for record in records if record.finish)
        return list(islice(records, max(most, 0)))

    def _groups(self, index: Index) -> dict[tuple[str, State], dict[str, Members]]:
        return self._owners if index == "owner" else self._nodes

    def due(self, kind: str, before: float, most: int) -> Sequence[Record]:
        due = self._due.get(kind)
        if due is None:
            return ()
        places = takewhile(lambda place: place[0] <= before, due.after(None))
        return [self._records[place[1]] for place in islice(places, most)]

    def next_due(self, kinds: Iterable[str]) -> float:
        return min((self._due[kind].first() for kind in kinds if kind in self._due), default=NEVER)

    def count(self, index: Index, value: str | None, kind: str, state: State) -> int:
        if index in {"owner", "node"}:
            return number_of(self._groups(index).get((kind, state), {}).get(value or ""))
        if index == "finish":
            return sum(1 for _ in self.walk(Find("finish"), kind, state, None, len(self._records)))
        ranked = self._ranked.get((kind, state))
        return 0 if ranked is None else len(ranked)

    def kinds(self) -> Iterable[str]:
        return sorted({kind for kind, _ in self._ranked})

    def put(self, item: Item, old: Item | None) -> None:
        if old is not None:
            if old.owner == item.owner and old.expires == item.expires:
                self._items[item.key] = item
                return
            self.remove(old)
        self._items[item.key] = item
        self._item_keys.add(0.0, item.key)
        if item.expires != NEVER:
            self._item_expiries.add(item.expires, item.key)
        if item.owner is not None:
            members = self._item_owners.get(item.owner)
            self._item_owners[item.owner] = joined(members, 0.0, item.key, _no_rank)

    def remove(self, item: Item) -> None:
        del self._items[item.key]
        self._item_keys.remove(0.0, item.key)
        if item.expires != NEVER:
            self._item_expiries.remove(item.expires, item.key)
        if item.owner is not None:
            _part(self._item_owners, item.owner, 0.0, item.key)

    def items(self, prefix: str, after: str, most: int) -> Sequence[Item]:
        first = self._items.get(prefix) if after < prefix else None
        places = takewhile(lambda place: place[1].startswith(prefix), self._item_keys.after((0.0, max(after, prefix))))
        rest = [self._items[place[1]] for place in islice(places, max(most, 0))]
        return rest if first is None else [first, *rest][: max(most, 0)]

    def items_of(self, owner: str, after: str, most: int) -> Sequence[Item]:
        keys = ids_after(self._item_owners.get(owner), (0.0, after), _no_rank)
        return [self._items[key] for key in islice(keys, max(most, 0))]

    def items_expired(self, before: float, most: int) -> Sequence[Item]:
        places = takewhile(lambda place: place[0] <= before, self._item_expiries.after(None))
        return [self._items[place[1]] for place in islice(places, most)]

    def keep_lease(self, name: str, lease: Lease | None) -> None:
        if lease is not None:
            self._leases[name] = lease
        else:
            self._leases.pop(name, None)

    def leases(self, prefix: str, after: str, most: int) -> Sequence[Lease]:
        # Only leases that somebody holds or waits for are there, so they are few.
        names = sorted(name for name in self._leases if name.startswith(prefix) and name > after)
        return [self._leases[name] for name in names[:most]]

    def leases_over(self, before: float, most: int) -> Sequence[Lease]:
        return list(islice((lease for lease in self._leases.values() if last_until(lease) <= before), most))

    def adopt(self, record: Record) -> None:
        self.write(record, None)

    def adopt_item(self, item: Item) -> None:
        self.put(item, None)

    def last_number(self) -> int:
        return self._number

    def skip_numbers(self, number: int) -> None:
        self._number = max(self._number, number)

    def begin_epoch(self) -> None:
        self._log.epoch = fresh_epoch()

    def trim(self, before: float, most: int) -> int:
        return 0  # it trims itself, by number

    def forget(self, owner: str, most: int) -> int:
        entries, number = self._log.entries, 0
        for place, event in enumerate(entries):
            if number < most and event is not None and event.owner == owner:
                entries[place] = None
                number += 1
        return number


def _part(groups: dict[str, Members], value: str, rank: float, session_id: str) -> None:
    members = groups[value]
    rest = None if type(members) is str else left(members, rank, session_id)
    if rest is None:
        del groups[value]
    else:
        groups[value] = rest


def _no_rank(_: str) -> float:
    return 0.0

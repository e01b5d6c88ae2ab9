"""What a random step may want to do: an intent becomes an operation when the step is taken.

Names are few, so that steps meet. What an intent does not say (versions, fences, times) is taken from
what the machine knows by then.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Final, Literal, Protocol

from hypothesis import strategies as st

from insession.kernel.events import EventType
from insession.kernel.ids import named_id
from insession.kernel.limits import Limit
from insession.kernel.operations import (
    Acquire,
    Commit,
    End,
    Fence,
    Find,
    Guard,
    Index,
    Load,
    Operation,
    Patch,
    Pick,
    Purge,
    Put,
    Release,
    Renew,
    Touch,
)
from insession.kernel.record import NEVER, NODE_KIND, Record, State
from insession.kernel.rules import due_at, ending, expiry

NODE: Final = "machine"
IDS: Final = tuple(named_id("call", "nobody", f"s{number}", by_kind=False) for number in range(8))
OWNERS: Final = ("ann", "bob", None)
KINDS: Final = ("call", "call", "chat", "chat", "free", NODE_KIND)
NODES: Final = ("n1", None)
LEASES: Final = (f"{IDS[0]}/lock/1", f"{IDS[0]}/lock/2")
TICKETS: Final = ("t0", "t1", "t2", "t3")
FOLDER: Final = "memory-198960/"
"""Its route is that of the ids. All lies in one partition, which has one order and one counter."""
KEYS: Final = (*(f"{session_id}/{name}" for session_id in IDS[:4] for name in "ab"), f"{FOLDER}1", f"{FOLDER}2")
IDLE: Final = (8.0, 30.0, 100.0)
OWNERS_LIMIT: Final = 3
KINDS_LIMIT: Final = 4
Then = Literal["deny", "oldest", "least recently used"]


class World(Protocol):
    """What an intent may ask the machine."""

    @property
    def now(self) -> float:
        """The time of this step."""

    def fresh_change(self) -> str:
        """A change id that nobody had."""

    def version(self, key: str) -> int:
        """The version of a record or an item as the store numbers it; of one that is missing, some number."""

    def fence(self, lease: str, ticket: str) -> Fence:
        """The fence that a ticket got last, however long ago."""


class Intent(Protocol):
    """Something to do."""

    def operation(self, world: World) -> Operation:
        """What to send now."""


@dataclasses.dataclass(frozen=True)
class Open:
    """Open a session, perhaps under the id of an earlier one."""

    id: str
    kind: str
    owner: str | None
    node: str | None
    idle: float
    window: float
    absolute: float
    keep: float
    finish: bool
    then: Then
    item: bool

    def operation(self, world: World) -> Commit:
        now, reach = world.now, self.idle + self.window
        end = now + self.absolute
        record = Record(
            self.id, self.kind, self.owner, self.node, State.ACTIVE, 0, world.fresh_change(), now, now, self.window,
            reach, end, due_at(now, reach, end), 0.0, None, self.keep, self.finish, None, b"opened",
        )  # fmt: skip
        parts: tuple[Patch | Put, ...] = (Patch(self.id, Guard.ABSENT, record=record, event=EventType.OPENED),)
        if self.item:
            parts = (Put(f"{self.id}/a", b"with", owner=self.owner), *parts)
        return Commit(now, record.change, NODE, parts, self.limits())

    def limits(self) -> tuple[Limit, ...]:
        """A kind has the same limits always, so that they hold always."""
        if self.kind == "call":
            return (Limit(most=OWNERS_LIMIT, then=self.then),)
        if self.kind == "chat":
            return (
                Limit(most=OWNERS_LIMIT, then="oldest"),
                Limit(most=KINDS_LIMIT, over="kind", then=self.then),
            )
        return ()


@dataclasses.dataclass(frozen=True)
class Change:
    """Patch a record, perhaps with items, perhaps under a fence."""

    id: str
    guard: Guard
    old: bool
    data: bytes | None
    touches: bool
    node: bool
    event: bool
    item: tuple[str, Guard] | None
    fence: tuple[str, str] | None

    def operation(self, world: World) -> Commit:
        fields: dict[str, Any] = {}
        over = self.guard is Guard.ENDED
        if over:
            fields = {"stopped": "cancelled", "finish": False}
        elif self.guard is not Guard.SAME:
            fields = {"touched": world.now} if self.touches else {"node": None} if self.node else {}
        kind = EventType.STOPPED if over else EventType.UPDATED
        patch = Patch(
            self.id,
            self.guard,
            world.version(self.id) - self.old,
            fields=fields or None,
            data=self.data,
            event=kind if self.event and self.guard is not Guard.SAME else None,
            reason="asked",
        )
        parts: tuple[Patch | Put, ...] = (patch,)
        if self.item is not None:
            key = f"{self.id}/{self.item[0]}"
            parts += (Put(key, self.data, self.item[1], world.version(key)),)
        fence = world.fence(*self.fence) if self.fence is not None else None
        return Commit(world.now, world.fresh_change(), NODE, parts, fence=fence)


@dataclasses.dataclass(frozen=True)
class Write:
    """Write or delete an item."""

    key: str
    guard: Guard
    old: bool
    data: bytes | None
    owner: str | None
    lasts: float
    fence: tuple[str, str] | None

    def operation(self, world: World) -> Commit:
        version = world.version(self.key) - self.old
        put = Put(self.key, self.data, self.guard, version, self.owner, world.now + self.lasts)
        fence = world.fence(*self.fence) if self.fence is not None else None
        return Commit(world.now, world.fresh_change(), NODE, (put,), fence=fence)


@dataclasses.dataclass(frozen=True)
class Finish:
    """End sessions, by id or picked."""

    pick: Pick
    state: State
    ago: float | None

    def operation(self, world: World) -> End:
        pick = self.pick
        if self.ago is not None:
            pick = Pick(pick.index, pick.value, pick.kind, pick.most, world.now - self.ago)
        return End(pick, ending(world.now, self.state, "asked", world.fresh_change(), NODE))


@dataclasses.dataclass(frozen=True)
class Expire:
    """Give what is due its expiry."""

    pick: Pick

    def operation(self, world: World) -> End:
        return End(self.pick, expiry(world.now, world.fresh_change(), NODE))


@dataclasses.dataclass(frozen=True)
class Touching:
    """Touch a session."""

    id: str
    window: float
    late: float

    def operation(self, world: World) -> Touch:
        return Touch(self.id, world.now - self.late, self.window)


@dataclasses.dataclass(frozen=True)
class Ask:
    """Ask for a permit."""

    lease: str
    ticket: str
    options: tuple[tuple[str, Any], ...]

    def operation(self, world: World) -> Acquire:
        return Acquire(self.lease, self.ticket, world.now, node=NODE, **dict(self.options))


@dataclasses.dataclass(frozen=True)
class Prolong:
    """Renew a permit."""

    lease: str
    ticket: str
    take: bool

    def operation(self, world: World) -> Renew:
        return Renew(world.fence(self.lease, self.ticket), world.now, 12.0, self.take)


@dataclasses.dataclass(frozen=True)
class GiveBack:
    """Release a permit, or a place."""

    lease: str
    ticket: str
    unless_waited: bool

    def operation(self, world: World) -> Release:
        return Release(self.lease, self.ticket, world.now, self.unless_waited)


@dataclasses.dataclass(frozen=True)
class Look:
    """Load, or find."""

    ask: Load | Find

    def operation(self, world: World) -> Operation:
        return self.ask


@dataclasses.dataclass(frozen=True)
class Sweep:
    """Purge."""

    kind: str | None
    count: int | None
    owner: str | None

    def operation(self, world: World) -> Purge:
        return Purge(world.now, self.kind, self.count, self.owner)


_ids = st.sampled_from(IDS)
_flag = st.booleans()
_seldom = st.sampled_from((True, False, False, False))
_tickets = st.sampled_from(TICKETS)
_leases = st.sampled_from(LEASES)
_data = st.sampled_from((b"x", b"y", None))
_fences = st.none() | st.tuples(_leases, _tickets)
_guards = st.sampled_from((Guard.VERSION, Guard.VERSION, Guard.LIVE, Guard.ENDED, Guard.SAME, Guard.DUE))
item_guards: Final = st.sampled_from((Guard.ANY, Guard.VERSION, Guard.ABSENT, Guard.SAME))
_indexes: tuple[tuple[Index, str | None], ...] = (
    ("owner", "ann"),
    ("owner", "bob"),
    ("kind", "call"),
    ("kind", "chat"),
    ("node", "n1"),
    ("all", None),
)
_picks = st.builds(
    lambda where, kind, most: Pick(where[0], where[1], kind, most),
    st.sampled_from(_indexes),
    st.sampled_from((None, None, "free", NODE_KIND)),
    st.sampled_from((1, 2, 10)),
)
_options = st.fixed_dictionaries(
    {
        "ttl": st.sampled_from((6.0, 12.0, 60.0)),
        "permits": st.sampled_from((1, 1, 2)),
        "queue": st.sampled_from((None, None, None, 0, 2)),
        "note": st.sampled_from((None, b"note", b"")),
        "displace": _seldom,
        "grace": st.sampled_from((1.0, 4.0)),
        "take": _flag,
        "again": _seldom,
    }
).map(lambda options: tuple(options.items()))
_finds = st.builds(
    lambda where, state, kind: Find(where[0], where[1], kind, state, most=500),
    st.sampled_from((*_indexes, ("finish", None), ("item", FOLDER), ("item owner", "ann"))),
    st.sampled_from((None, *State)),
    st.sampled_from((None, None, "free", NODE_KIND)),
)
opens: Final = st.builds(
    Open,
    _ids,
    st.sampled_from(KINDS),
    st.sampled_from(OWNERS),
    st.sampled_from(NODES),
    st.sampled_from(IDLE),
    st.sampled_from((0.0, 2.0)),
    st.sampled_from((NEVER, NEVER, 50.0)),
    st.sampled_from((0.0, 20.0, 1000.0)),
    _seldom,
    st.sampled_from(("deny", "oldest", "least recently used")),
    _flag,
)
changes: Final = st.builds(
    Change, _ids, _guards, _seldom, _data, _flag, _flag, _flag,
    st.none() | st.tuples(st.sampled_from("ab"), item_guards), _fences,
)  # fmt: skip
writes: Final = st.builds(
    Write, st.sampled_from(KEYS), item_guards, _seldom, _data, st.sampled_from(OWNERS),
    st.sampled_from((NEVER, 5.0, 40.0)), _fences,
)  # fmt: skip
_states = st.sampled_from((State.INTERRUPTED, State.CLOSED))
endings: Final = st.builds(Finish, _ids.map(lambda one: Pick("id", one)), _states, st.none()) | st.builds(
    Finish, _picks, _states, st.sampled_from((None, 0.0, 3.0))
)
expiries: Final = st.builds(
    Expire,
    st.builds(Pick, st.just("due"), st.none(), st.sampled_from((None, None, "call")), st.sampled_from((1, 20)))
    | _ids.map(lambda one: Pick("id", one)),
)
touches: Final = st.builds(Touching, _ids, st.sampled_from((0.0, 2.0)), st.sampled_from((0.0, 0.0, 5.0)))
asks: Final = st.builds(Ask, _leases, _tickets, _options)
returns: Final = st.builds(GiveBack, _leases, _tickets, _flag)
prolongations: Final = st.builds(Prolong, _leases, _tickets, _flag)
looks: Final = st.builds(Look, _finds | st.builds(Load, st.tuples(_ids, st.sampled_from(KEYS)), st.none() | _ids))
sweeps: Final = st.builds(
    Sweep, st.sampled_from((None, "call", "chat", "free")), st.sampled_from((None, None, 1)), st.none()
) | st.builds(Sweep, st.none(), st.none(), st.just("bob"))
everything: Final = st.one_of(
    opens, opens, opens, changes, changes, writes, endings, expiries, touches, touches, asks, asks, returns,
    prolongations, looks, sweeps,
)  # fmt: skip

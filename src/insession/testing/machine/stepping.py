"""The steps: random batches, and the meetings that chance alone would seldom bring about."""

from __future__ import annotations

import dataclasses
from typing import Any, Final

from hypothesis import assume
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule
from msgspec.structs import replace

from insession.kernel.events import ENDINGS, EventType
from insession.kernel.ids import named_id
from insession.kernel.limits import Limit
from insession.kernel.operations import (
    Acquire,
    Commit,
    Done,
    End,
    Ends,
    Fence,
    Granted,
    Guard,
    Load,
    Loaded,
    Patch,
    Pick,
    Purge,
    Refused,
    Release,
    Renew,
    Touch,
    Touched,
    Why,
)
from insession.kernel.record import NEVER, Record, State
from insession.kernel.rules import ending, expiry

from . import intents
from .driving import Driver
from .intents import IDS, LEASES, NODE, TICKETS, Intent, Then

_ids = st.sampled_from(IDS)
_leases = st.sampled_from(LEASES)
_thens = st.sampled_from(("deny", "oldest", "least recently used"))
CROWD: Final = tuple(named_id("call", "nobody", f"c{number}", by_kind=False) for number in range(50))
STATES: Final = (
    "batch", "changed_twice", "crowd_of_fifty", "displaced", "erased", "expired", "expired_by_limit",
    "ended_twice", "expired_together", "needed_a_place",
    "expiry_lost_to_touch", "fence_passed", "handed_on", "handed_over_with_load", "item_expired",
    "items_gone_with_record", "kept_for_who_waits", "kept_for_work", "lease_expired", "lease_lost", "lease_renewed",
    "lease_waited", "life_after_purge", "again_refused", "limit_denied", "limit_evicted", "lost_answer", "note_taken",
    "note_waiting_again", "note_was_taken", "picked_several", "purged", "queue_full", "refused: ended",
    "refused: fenced off", "refused: missing", "refused: past due", "refused: stale", "reopened", "replay_done",
    "slice_with_more", "taken_and_told", "ticket_expired", "touch_in_window", "touched", "trimmed", "trimmed_cursor",
)  # fmt: skip
"""What a run has to have entered, to prove anything."""


class StoreMachine(Driver):
    """Random batches against a store and the model.

    Make a subclass with `make_store`, and run ``StoreMachine.TestCase`` or
    `hypothesis.stateful.run_state_machine_as_test`; afterwards ``seen`` should hold all `STATES`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.crowded: bool = False
        self.forgot: bool = False

    @rule(wishes=st.lists(intents.everything, min_size=1, max_size=6))
    def batch(self, wishes: list[Intent]) -> None:
        """Anything."""
        self.send(*(wish.operation(self) for wish in wishes))

    @rule(wishes=st.lists(intents.opens, min_size=2, max_size=5))
    def arrive(self, wishes: list[Intent]) -> None:
        """Several sessions at once."""
        self.send(*(wish.operation(self) for wish in wishes))

    @rule(wishes=st.lists(st.one_of(intents.asks, intents.returns, intents.prolongations), min_size=2, max_size=6))
    def queue_up(self, wishes: list[Intent]) -> None:
        """Several who want a lease."""
        self.send(*(wish.operation(self) for wish in wishes))

    @rule(seconds=st.sampled_from((0.5, 1.0, 3.0, 6.0, 12.0, 31.0)))
    def pass_time(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.set(self.now + seconds)

    @rule(wish=st.one_of(intents.changes, intents.touches, intents.endings, intents.expiries, intents.opens))
    def fall_due(self, wish: Intent) -> None:
        """Pass the next deadline, before anybody sweeps."""
        due = [one.due for one in self.model.records.values() if one.live and one.due < NEVER]
        assume(due)
        self.clock.set(max(self.now, min(due)))
        self.send(wish.operation(self))

    @precondition(lambda self: self.last)
    @rule(later=st.sampled_from((0.0, 0.0, 2.0)))
    def lose_the_answer(self, later: float) -> None:
        """Send the last batch again: what was done is done, and nothing happens twice."""
        self.clock.set(self.now + later)
        self.seen["lost_answer"] += 1
        self.send(*(replace(one, again=True) if isinstance(one, Commit) else one for one in self.last))

    @rule(wish=intents.opens, how=st.sampled_from((State.INTERRUPTED, State.CLOSED)))
    def end_before_the_answer(self, wish: intents.Open, how: State) -> None:
        """An opening whose answer is lost, of a session that is ended meanwhile: it does not come back."""
        first = wish.operation(self)
        self.send(first)
        self.send(End(Pick("id", wish.id), ending(self.now, how, "meanwhile", self.fresh_change(), NODE)))
        self.send(replace(first, again=True))

    @rule(place=st.integers(0, 7), data=st.sampled_from((b"1", b"2")))
    def change_twice(self, place: int, data: bytes) -> None:
        """One record twice in a batch: the second one is stale, the third is judged by what the first left."""
        session_id = self.somebody(place)
        change = Commit(self.now, "", NODE, (Patch(session_id, Guard.VERSION, self.version(session_id), data=data),))
        live = replace(change, patches=(Patch(session_id, Guard.LIVE, data=data, event=EventType.UPDATED),))
        answers = self.send(*(replace(one, change=self.fresh_change()) for one in (change, change, live)))
        if isinstance(answers[0], Done):
            self.seen["changed_twice"] += 1
            assert isinstance(answers[1], Refused)
            assert answers[1].why is Why.STALE
            assert isinstance(answers[2], Done)

    @precondition(lambda self: not self.crowded)
    @rule(then=_thens)
    def crowd(self, then: Then) -> None:
        """Fifty openings of one owner under a limit of three, in one batch; then they all go."""
        self.crowded = True
        limits = (Limit(most=3, then=then),)
        self.seen["crowd_of_fifty"] += 1
        answers = self.send(*(self._opening(one, limits) for one in CROWD))
        done = sum(isinstance(answer, Done) for answer in answers)
        assert done == (3 if then == "deny" else 50)
        live = [one for one in self.model.records.values() if one.owner == "crowd" and one.live]
        assert len(live) == 3
        everybody = Pick("owner", "crowd", most=2)
        over = [End(everybody, ending(self.now, State.CLOSED, "go", self.fresh_change(), NODE)) for _ in range(2)]
        first, second = self.send(*over)
        assert isinstance(first, Ends)
        assert isinstance(second, Ends)
        assert (len(first.ids), first.more, len(second.ids), second.more) == (2, True, 1, False)
        self.send(Purge(self.now, owner="crowd", most=1000))

    def _opening(self, session_id: str, limits: tuple[Limit, ...]) -> Commit:
        wish = intents.Open(session_id, "call", "crowd", None, 100.0, 0.0, NEVER, 0.0, False, "deny", False)
        return replace(wish.operation(self), limits=limits)

    @rule(place=st.integers(0, 7), seconds=st.sampled_from((1.0, 4.0)))
    def touch_before_expiry(self, place: int, seconds: float) -> None:
        """A touch that came before the expiry wins, in one batch."""
        live = [one for one in self.model.records.values() if one.live and self.now < one.due < NEVER]
        assume(live)
        record = live[place % len(live)]
        touch = Touch(record.id, record.due - seconds, 0.0)
        how = expiry(record.due, self.fresh_change(), NODE)
        self.clock.set(record.due)
        first, second = self.send(touch, End(Pick("id", record.id), how))
        if isinstance(first, Touched) and first.due > record.due:
            self.seen["expiry_lost_to_touch"] += 1
            assert isinstance(second, Refused)
            assert second.why is Why.STALE

    @rule(place=st.integers(0, 7), lease=_leases, waited=st.booleans())
    def hand_over(self, place: int, lease: str, waited: bool) -> None:  # noqa: FBT001
        """Commit under the fence, release, and the next one's grant with its load, in one batch."""
        session_id = self.somebody(place)
        held = self.hold(lease, "t0")
        assume(held is not None)
        assert held is not None
        if waited:
            self.send(self.want(lease, "t1"), Release(lease, "t0", self.now, unless_waited=True))
        patch = Patch(session_id, Guard.LIVE, data=b"turn", event=EventType.UPDATED)
        answers = self.send(
            Commit(self.now, self.fresh_change(), NODE, (patch,), fence=held),
            Release(lease, "t0", self.now, unless_waited=not waited),
            self.want(lease, "t1"),
            Load((session_id,), session_id),
            Commit(self.now, self.fresh_change(), NODE, (patch,), fence=held),
        )
        if isinstance(answers[0], Done) and isinstance(answers[2], Granted):
            self.seen["handed_over_with_load"] += 1
            assert isinstance(answers[3], Loaded)
            assert isinstance(answers[3].found[0], Record)
            assert answers[3].found[0].version == answers[0].versions[0]
            assert answers[4] == Refused(Why.FENCED)

    def somebody(self, place: int) -> str:
        """One of those that live and are not due, if there are any."""
        live = [one.id for one in self.model.records.values() if one.live and self.now < one.due]
        return (live or IDS)[place % len(live or IDS)]

    def hold(self, lease: str, ticket: str) -> Fence | None:
        """Make everybody leave a lease, and hold it."""
        others = [Release(lease, other, self.now) for other in TICKETS]
        answer = self.send(*others, self.want(lease, ticket))[-1]
        return Fence(lease, ticket, answer.token) if isinstance(answer, Granted) else None

    def want(self, lease: str, ticket: str, **options: Any) -> Acquire:
        """Ask for a lease."""
        return Acquire(lease, ticket, self.now, 20.0, node=NODE, **options)

    @rule(owner=st.sampled_from(("ann", "bob")), used=st.integers(0, 2), then=_thens, kind=st.booleans())
    def need_a_place(self, owner: str, used: int, then: Then, kind: bool) -> None:  # noqa: FBT001
        """One too many, of an owner who has used one of three; with or without a limit over the whole kind."""
        name, idle = ("chat" if kind else "call"), (30.0, 60.0, 100.0)[used]
        wish = intents.Open(IDS[0], name, owner, None, idle, 0.0, NEVER, 1000.0, False, "oldest", True)
        everything = End(Pick("due", most=50), expiry(self.now, self.fresh_change(), NODE))
        self.send(everything, *(self.closing(one, "make room") for one in IDS))
        if kind:
            self.send(dataclasses.replace(wish, id=IDS[5], owner=None).operation(self))
        for one in IDS[:3]:
            self.clock.set(self.now + 1.0)
            self.send(dataclasses.replace(wish, id=one).operation(self))
        self.clock.set(self.now + 1.0)
        self.send(Touch(IDS[used], self.now, 0.0), dataclasses.replace(wish, id=IDS[3], then=then).operation(self))
        self.seen["needed_a_place"] += 1
        # Whoever came at this very moment is not among those that were there before.
        how = ending(self.now, State.INTERRUPTED, "shutdown", self.fresh_change(), NODE)
        self.send(End(Pick("all", most=50, before=self.now), how))

    @rule(place=st.integers(0, 7))
    def end_twice(self, place: int) -> None:
        """An ending sent again is done; another one comes too late."""
        session_id = self.somebody(place)
        first, second = (self.closing(session_id, reason) for reason in ("first", "second"))
        answers = self.send(first, first, second)
        if isinstance(answers[0], Ends):
            self.seen["ended_twice"] += 1
            assert answers[1] == answers[0]
            assert isinstance(answers[2], Refused)
            assert answers[2].why is Why.ENDED

    def closing(self, session_id: str, reason: str) -> End:
        """Close a session."""
        return End(Pick("id", session_id), ending(self.now, State.CLOSED, reason, self.fresh_change(), NODE))

    @rule(owner=st.sampled_from(("ann", "bob")), then=_thens, swept=st.booleans())
    def fall_due_together(self, owner: str, then: Then, swept: bool) -> None:  # noqa: FBT001
        """Three sessions fall due in the same moment; a sweep finds them, or whoever needs their place."""
        wishes = [intents.Open(one, "call", owner, None, 8.0, 0.0, NEVER, 20.0, False, "oldest", False) for one in IDS]
        self.send(*(wish.operation(self) for wish in wishes[:3]))
        self.clock.set(self.now + 8.0)
        if swept:
            how = expiry(self.now, self.fresh_change(), NODE)
            self.send(End(Pick("due", most=2), how), dataclasses.replace(wishes[3], then=then).operation(self))
        else:
            self.send(*(dataclasses.replace(wish, then=then).operation(self) for wish in wishes[3:5]))

    @rule(
        place=st.integers(0, 7), wish=st.one_of(intents.changes, intents.touches), seconds=st.sampled_from((1.0, 3.0))
    )
    def work(self, place: int, wish: intents.Change | intents.Touching, seconds: float) -> None:
        """Touch a session that lives, twice, or change it."""
        live = [one for one in self.model.records.values() if one.live and one.due > self.now + seconds]
        assume(live)
        self.clock.set(self.now + seconds)
        wish = dataclasses.replace(wish, id=live[place % len(live)].id)
        self.send(wish.operation(self), wish.operation(self))

    @rule(session_id=_ids, finish=st.booleans(), count=st.sampled_from((None, 0, 2)))
    def end_and_purge(self, session_id: str, finish: bool, count: int | None) -> None:  # noqa: FBT001
        """A purge takes what is over, with its items, but leaves what is still to be worked on."""
        wish = intents.Open(session_id, "free", "bob", None, 30.0, 0.0, NEVER, 0.0, finish, "deny", True)
        how = ending(self.now, State.CLOSED, "done", self.fresh_change(), NODE)
        purge = Purge(self.now, "free", count)
        self.send(wish.operation(self), End(Pick("id", session_id), how), purge)
        if finish:
            patch = Patch(session_id, Guard.ENDED, self.version(session_id), fields={"finish": False})
            self.send(Commit(self.now, self.fresh_change(), NODE, (patch,)), purge)

    @rule(key=st.sampled_from(intents.KEYS), ticket=st.sampled_from(TICKETS), guard=intents.item_guards)
    def run_out(self, key: str, ticket: str, guard: Guard) -> None:
        """An item and a place in a queue run out."""
        held = self.hold(LEASES[1], "t0")
        write = intents.Write(key, Guard.ANY, False, b"short", "ann", 5.0, None)
        self.send(write.operation(self), replace(self.want(LEASES[1], ticket), ttl=5.0))
        self.clock.set(self.now + 5.0)
        again = dataclasses.replace(write, guard=guard, lasts=2.0).operation(self)
        self.send(again, Release(LEASES[1], "t0", self.now), Purge(self.now))
        self.clock.set(self.now + 2.0)
        self.send(Purge(self.now))
        assert held is None or self.model.items.get(key) is None

    @rule(lease=_leases, fate=st.sampled_from(("release", "lose", "wait")), again=st.booleans())
    def leave_notes(self, lease: str, fate: str, again: bool) -> None:  # noqa: FBT001
        """Notes are taken; then the holder releases, or loses its lease, or goes on."""
        held = self.hold(lease, "t0")
        assume(held is not None)
        assert held is not None
        notes = [replace(self.want(lease, one, note=one.encode()), ttl=60.0) for one in ("t1", "t2")]
        self.send(*notes, Renew(held, self.now, 5.0, take=True))
        self.send(replace(notes[0], again=again), replace(self.want(lease, "t3"), ttl=60.0))
        if fate == "release":
            self.send(Release(lease, "t0", self.now))
        elif fate == "lose":
            self.clock.set(self.now + 21.0)
        self.send(*(replace(one, at=self.now, again=again) for one in notes))

    @rule(lease=_leases, seconds=st.sampled_from((0.5, 2.0, 20.0)), release=st.booleans())
    def displace(self, lease: str, seconds: float, release: bool) -> None:  # noqa: FBT001
        """A turn is replaced; what it still wants to write is fenced off."""
        held = self.hold(lease, "t0")
        assume(held is not None)
        assert held is not None
        self.send(self.want(lease, "t3", displace=True, queue=0))
        grace = 1.0 if release else 30.0
        self.send(self.want(lease, "t1"), self.want(lease, "t2", displace=True, grace=grace))
        patch = Patch(IDS[0], Guard.LIVE, data=b"late")
        self.send(Commit(self.now, self.fresh_change(), NODE, (patch,), fence=held), Renew(held, self.now, 9.0))
        if release:
            self.send(Release(lease, "t0", self.now))
        self.clock.set(self.now + seconds)
        self.send(self.want(lease, "t1"), self.want(lease, "t2", displace=True))

    @rule(place=st.integers(0, 7), limit=st.sampled_from((1, 3, 100)), endings=st.booleans())
    def read_the_log(self, place: int, limit: int, endings: bool) -> None:  # noqa: FBT001
        """Read on from an old cursor."""
        types = frozenset(ENDINGS) if endings else None
        self.read_on(self.cursors[place % len(self.cursors)], limit, types)

    @precondition(lambda self: self.steps > 30 and not self.forgot)
    @rule()
    def forget(self) -> None:
        """Make the log forget; an old cursor is told so."""
        self.forgot = True
        old = (self.tail, self.read)
        self.send(self._opening(CROWD[0], ()))
        self.outlive_the_log()
        self.read_on(old, 100, None)
        self.send(End(Pick("due", most=50), expiry(self.now, self.fresh_change(), NODE)))
        self.send(End(Pick("owner", "crowd"), ending(self.now, State.CLOSED, "go", self.fresh_change(), NODE)))
        self.send(Purge(self.now, owner="crowd", most=1000))

    def outlive_the_log(self) -> None:
        """Let all that the log holds now be forgotten; override it where retention does not go by time."""
        self.clock.set(self.now + self.retention + 1)
        self.send(Purge(self.now, most=10_000))

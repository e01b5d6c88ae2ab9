"""Leases as pure functions; what they mean step by step is in the contract suite."""

from __future__ import annotations

import dataclasses
from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from insession.kernel import leases
from insession.kernel.events import EventType
from insession.kernel.leases import Decision, Lease
from insession.kernel.operations import Acquire, Fence, Granted, Refused, Release, Released, Renew, Waiting, Why
from insession.kernel.record import NEVER

NAME = "lock/1"


@dataclasses.dataclass
class Table:
    """A lease with a clock and a counter."""

    lease: Lease | None = None
    now: float = 0.0
    numbers: count[int] = dataclasses.field(default_factory=lambda: count(1))

    def ask(self, ticket: str, *, ttl: float = 10.0, permits: int = 1, **options: object) -> Decision:
        ask = Acquire(NAME, ticket, self.now, ttl, permits, **options)  # type: ignore[arg-type]
        return self.keep(leases.acquire(self.lease, ask, lambda: next(self.numbers)))

    def renew(self, ticket: str, token: int, *, take: bool = False) -> Decision:
        return self.keep(leases.renew(self.lease, Renew(Fence(NAME, ticket, token), self.now, 10.0, take)))

    def give_back(self, ticket: str, *, unless_waited: bool = False) -> Decision:
        return self.keep(leases.release(self.lease, Release(NAME, ticket, self.now, unless_waited)))

    def keep(self, decision: Decision) -> Decision:
        self.lease = decision.lease
        return decision


steps = st.lists(
    st.tuples(
        st.sampled_from(["ask", "ask", "ask", "displace", "note", "take", "renew", "give back", "wait"]),
        st.sampled_from("abcd"),
        st.sampled_from([1.0, 3.0, 11.0]),
    ),
    max_size=40,
)


@given(steps, st.sampled_from([1, 2, 3]))
def test_invariants(taken: list[tuple[str, str, float]], permits: int) -> None:
    table, tokens, fences = Table(), [0], dict[str, int]()
    for what, ticket, seconds in taken:
        before = table.lease
        if what == "wait":
            table.now += seconds
            continue
        if what == "give back":
            decision = table.give_back(ticket)
        elif what == "renew":
            decision = table.renew(ticket, fences.get(ticket, 0))
        else:
            options = {"displace": what == "displace", "take": what == "take", "note": b"n" if what == "note" else None}
            decision = table.ask(ticket, ttl=seconds, permits=permits, **options)
        if isinstance(decision.answer, Granted):
            if decision.answer.token not in tokens:
                assert decision.answer.token > tokens[-1]
                tokens.append(decision.answer.token)
            fences[ticket] = decision.answer.token
            assert decision.answer.until > table.now
            assert not leases.fenced(table.lease, Fence(NAME, ticket, decision.answer.token), table.now)
        check(table, permits)
        assert len(decision.events) <= 1
        voided = {held.token for held in before.holders if not held.void} if before else set()
        assert {event.version for event in decision.events} <= voided


def check(table: Table, permits: int) -> None:
    lease = table.lease
    if lease is None:
        return
    assert lease.holders or lease.queue
    assert len(lease.holders) <= permits
    assert sum(held.void for held in lease.holders) <= 1
    everybody = [held.ticket for held in lease.holders] + [one.ticket for one in lease.queue]
    everybody += [note.ticket for held in lease.holders for note in held.notes]
    assert len(everybody) == len(set(everybody)), "a ticket stands in one place"
    displacing = [one.displaces for one in lease.queue]
    assert all(held.until > table.now for held in lease.holders)
    assert len(displacing) == len(lease.queue)


@given(st.permutations("bcdef"), st.lists(st.sampled_from("bcdef"), max_size=10))
def test_order_of_grants_is_the_order_of_arrival(arrivals: list[str], repeats: list[str]) -> None:
    table = Table()
    table.ask("a")
    for ticket in [*arrivals, *repeats]:
        assert isinstance(table.ask(ticket).answer, Waiting)
    holder, served = "a", []
    for _ in arrivals:
        released = table.give_back(holder).answer
        assert isinstance(released, Released)
        following = released.next
        assert following is not None
        for ticket in arrivals:
            if ticket not in served and ticket != following:
                assert isinstance(table.ask(ticket).answer, Waiting)
        assert isinstance(table.ask(following).answer, Granted)
        served.append(following)
        holder = following
    assert served == list(arrivals)


@given(st.integers(0, 3), st.integers(1, 4))
def test_queue_is_bounded(bound: int, more: int) -> None:
    table = Table()
    table.ask("holder")
    answers = [table.ask(f"t{number}", queue=bound).answer for number in range(bound + more)]
    assert [isinstance(answer, Waiting) for answer in answers] == [True] * bound + [False] * more
    assert answers[bound:] == [Refused(Why.FULL)] * more


@given(st.sets(st.sampled_from("bcdef")), st.sets(st.sampled_from("bcdef")))
def test_notes_are_in_one_place(with_note: set[str], late: set[str]) -> None:
    table = Table()
    held = table.ask("a").answer
    assert isinstance(held, Granted)
    for ticket in sorted(with_note):
        table.ask(ticket, note=ticket.encode(), ttl=100.0)
    first = table.renew("a", held.token, take=True).answer
    assert isinstance(first, Granted)
    assert first.notes == tuple(ticket.encode() for ticket in sorted(with_note))
    for ticket in sorted(late - with_note):
        table.ask(ticket, note=ticket.encode(), ttl=100.0)
    second = table.renew("a", held.token, take=True).answer
    assert isinstance(second, Granted)
    assert sorted(second.notes) == sorted(ticket.encode() for ticket in with_note | late)
    table.now += 10.0
    table.ask("z", ttl=100.0)
    waiting = table.lease.queue if table.lease else ()
    assert {one.ticket for one in waiting} == with_note | late | ({"z"} if with_note | late else set())


def test_look_is_when_the_first_chance_comes() -> None:
    table = Table()
    table.ask("a", ttl=10.0)
    table.ask("b", ttl=4.0)
    answer = table.ask("c", ttl=20.0).answer
    assert answer == Waiting(4.0, 1)
    table.now = 4.0
    assert table.ask("c").answer == Waiting(10.0, 0)


def test_permit_without_an_end() -> None:
    table = Table()
    table.ask("a", ttl=NEVER)
    table.now = 1e12
    assert table.ask("b").answer == Waiting(NEVER, 0)


def test_refused_displacement_leaves_the_holder_alone() -> None:
    table = Table()
    held = table.ask("a").answer
    assert isinstance(held, Granted)
    decision = table.ask("b", displace=True, queue=0)
    assert (decision.answer, decision.events) == (Refused(Why.FULL), ())
    assert not leases.fenced(table.lease, Fence(NAME, "a", held.token), 0.0)


def test_displacement_voids_at_once() -> None:
    table = Table()
    held = table.ask("a").answer
    assert isinstance(held, Granted)
    decision = table.ask("b", displace=True, grace=1.0)
    assert [event.type for event in decision.events] == [EventType.DISPLACED]
    assert decision.answer == Waiting(1.0, 0)
    assert leases.fenced(table.lease, Fence(NAME, "a", held.token), 0.0)
    assert table.renew("a", held.token).answer == Refused(Why.LOST)


def test_free_permit_behind_a_grant() -> None:
    table = Table()
    for ticket in "abcd":
        table.ask(ticket, permits=2)
    table.give_back("a")
    table.give_back("b")
    assert not leases.free(table.ask("d", permits=2), 2)
    assert leases.free(table.ask("c", permits=2), 2)
    assert not leases.free(table.ask("d", permits=2), 2)

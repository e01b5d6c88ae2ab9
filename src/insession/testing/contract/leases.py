"""Leases: permits, queues, notes."""

from __future__ import annotations

from typing import Any

from insession.kernel.contract import Store
from insession.kernel.operations import (
    Acquire,
    Counted,
    Fence,
    Granted,
    LeaseView,
    Purge,
    Release,
    Released,
    Renew,
    Waiting,
    Why,
)
from insession.testing.clock import ManualClock

from .samples import (
    NODE,
    ask,
    everything,
    refused,
    sid,
)
from .suite import Suite

LOCKS = f"{sid('one')}/lock/"
"""Under a session, so that a fence lies where that does."""
LOCK = f"{LOCKS}one"


class LeaseSuite(Suite):
    """What the topics about leases share."""

    def want(self, ticket: str, clock: ManualClock, *, units: float = 1.0, **options: Any) -> Acquire:
        """Ask for the lock."""
        return Acquire(LOCK, ticket, clock.now(), units * self.lease_unit, node=NODE, **options)

    def giving_back(self, ticket: str, clock: ManualClock, *, unless_waited: bool = False) -> Release:
        """Give it back."""
        return Release(LOCK, ticket, clock.now(), unless_waited=unless_waited)

    def renewing(self, ticket: str, token: int, clock: ManualClock, *, take: bool = False) -> Renew:
        """Hold on to it."""
        return Renew(Fence(LOCK, ticket, token), clock.now(), self.lease_unit, take)

    async def hold(self, store: Store, ticket: str, clock: ManualClock, **options: Any) -> Granted:
        """Be granted the lock."""
        return await ask(store, self.want(ticket, clock, **options), Granted)

    async def queue_up(self, store: Store, ticket: str, clock: ManualClock, **options: Any) -> Waiting:
        """Be told to wait."""
        return await ask(store, self.want(ticket, clock, **options), Waiting)

    async def give_back(self, store: Store, ticket: str, clock: ManualClock, **options: Any) -> Released:
        """Give it back."""
        return await ask(store, self.giving_back(ticket, clock, **options), Released)


class Leases(LeaseSuite):
    """Permits, first come first served."""

    async def test_free_one_is_granted(self, store: Store, clock: ManualClock) -> None:
        answer = await self.hold(store, "a", clock)
        assert answer.token >= 1
        assert answer.notes == ()
        if self.leases_by_clock:
            assert answer.until == clock.now() + self.lease_unit

    async def test_held_one_is_waited_for(self, store: Store, clock: ManualClock) -> None:
        held = await self.hold(store, "a", clock)
        answer = await self.queue_up(store, "b", clock)
        assert answer == Waiting(held.until, 0)

    async def test_first_come_first_served(self, store: Store, clock: ManualClock) -> None:
        await self.hold(store, "a", clock)
        places = [(await self.queue_up(store, ticket, clock)).ahead for ticket in "bcd"]
        assert places == [0, 1, 2]
        assert await self.give_back(store, "a", clock) == Released(done=True, next="b")
        assert (await self.queue_up(store, "c", clock)).ahead == 1
        await self.hold(store, "b", clock)
        assert (await self.queue_up(store, "c", clock)).ahead == 0

    async def test_asking_again_keeps_the_place(self, store: Store, clock: ManualClock) -> None:
        await self.hold(store, "a", clock)
        for ticket in "bcbcb":
            await self.queue_up(store, ticket, clock)
        assert (await self.give_back(store, "a", clock)).next == "b"

    async def test_holder_that_asks_again_is_the_same_holder(self, store: Store, clock: ManualClock) -> None:
        held = await self.hold(store, "a", clock)
        again = await self.hold(store, "a", clock)
        assert again.token == held.token
        assert again.until >= held.until
        assert await everything(store, "lease", LOCK) == [LeaseView(LOCK, ("a",), ())]

    async def test_permits(self, store: Store, clock: ManualClock) -> None:
        tokens = [(await self.hold(store, ticket, clock, permits=3)).token for ticket in "abc"]
        assert tokens == sorted(set(tokens))
        await self.queue_up(store, "d", clock, permits=3)
        await self.give_back(store, "b", clock)
        await self.hold(store, "d", clock, permits=3)
        assert await everything(store, "lease", LOCK) == [LeaseView(LOCK, ("a", "c", "d"), ())]

    async def test_newcomer_does_not_pass_those_who_wait(self, store: Store, clock: ManualClock) -> None:
        await self.hold(store, "a", clock)
        await self.queue_up(store, "b", clock)
        await self.give_back(store, "a", clock)
        assert (await self.queue_up(store, "c", clock)).ahead == 1

    async def test_queue_bound(self, store: Store, clock: ManualClock) -> None:
        await self.hold(store, "a", clock, queue=0)
        await refused(store, self.want("b", clock, queue=0), Why.FULL)
        await self.queue_up(store, "b", clock, queue=2)
        await self.queue_up(store, "c", clock, queue=2)
        assert await refused(store, self.want("d", clock, queue=2), Why.FULL) is None
        await self.queue_up(store, "b", clock, queue=2)
        assert await everything(store, "lease", LOCK) == [LeaseView(LOCK, ("a",), ("b", "c"))]

    async def test_ticket_in_the_queue_expires(self, store: Store, clock: ManualClock) -> None:
        await self.hold(store, "a", clock, units=9)
        await self.queue_up(store, "b", clock)
        await self.queue_up(store, "c", clock, units=8)
        await self.age_leases(clock, 1)
        assert (await self.give_back(store, "a", clock)).next == "c"
        await self.hold(store, "c", clock)

    async def test_asking_again_keeps_a_ticket_alive(self, store: Store, clock: ManualClock) -> None:
        await self.hold(store, "a", clock, units=9)
        await self.queue_up(store, "b", clock)
        await self.age_leases(clock, 0.6)
        await self.queue_up(store, "b", clock)
        await self.age_leases(clock, 0.6)
        assert (await self.give_back(store, "a", clock)).next == "b"

    async def test_lease_that_ran_out_is_lost(self, store: Store, clock: ManualClock) -> None:
        old = await self.hold(store, "a", clock)
        await self.queue_up(store, "b", clock, units=9)
        await self.age_leases(clock, 1)
        new = await self.hold(store, "b", clock, units=9)
        assert new.token > old.token
        await refused(store, self.renewing("a", old.token, clock), Why.LOST)
        assert await self.give_back(store, "a", clock) == Released(done=True)
        assert await everything(store, "lease", LOCK) == [LeaseView(LOCK, ("b",), ())]

    async def test_renewal(self, store: Store, clock: ManualClock) -> None:
        held = await self.hold(store, "a", clock)
        await self.age_leases(clock, 0.6)
        renewed = await ask(store, self.renewing("a", held.token, clock), Granted)
        assert renewed.token == held.token
        assert renewed.until > held.until
        await self.age_leases(clock, 0.6)
        await self.queue_up(store, "b", clock)

    async def test_renewal_never_shortens(self, store: Store, clock: ManualClock) -> None:
        held = await self.hold(store, "a", clock, units=9)
        assert (await ask(store, self.renewing("a", held.token, clock), Granted)).until == held.until

    async def test_renewal_of_what_one_does_not_hold(self, store: Store, clock: ManualClock) -> None:
        await refused(store, self.renewing("a", 1, clock), Why.LOST)
        held = await self.hold(store, "a", clock)
        await self.queue_up(store, "b", clock)
        await refused(store, self.renewing("a", held.token + 1, clock), Why.LOST)
        await refused(store, self.renewing("b", held.token, clock), Why.LOST)
        await self.age_leases(clock, 1)
        await refused(store, self.renewing("a", held.token, clock), Why.LOST)

    async def test_release_of_what_nobody_holds(self, store: Store, clock: ManualClock) -> None:
        assert await self.give_back(store, "a", clock) == Released(done=True)
        await self.hold(store, "a", clock)
        assert await self.give_back(store, "b", clock) == Released(done=True)
        assert await everything(store, "lease", LOCK) == [LeaseView(LOCK, ("a",), ())]

    async def test_release_of_a_place_in_the_queue(self, store: Store, clock: ManualClock) -> None:
        await self.hold(store, "a", clock)
        await self.queue_up(store, "b", clock)
        await self.queue_up(store, "c", clock)
        assert (await self.give_back(store, "b", clock)).done
        assert (await self.give_back(store, "a", clock)).next == "c"

    async def test_release_unless_waited(self, store: Store, clock: ManualClock) -> None:
        held = await self.hold(store, "a", clock)
        await self.queue_up(store, "b", clock)
        answer = await self.give_back(store, "a", clock, unless_waited=True)
        assert answer == Released(done=False, next="b")
        await ask(store, self.renewing("a", held.token, clock), Granted)
        await self.give_back(store, "b", clock)
        assert await self.give_back(store, "a", clock, unless_waited=True) == Released(done=True)
        assert await everything(store, "lease", LOCK) == []

    async def test_idle_one_leaves_nothing(self, store: Store, clock: ManualClock) -> None:
        first = await self.hold(store, "a", clock)
        await self.queue_up(store, "b", clock)
        assert await everything(store, "lease", LOCKS) == [LeaseView(LOCK, ("a",), ("b",))]
        await self.give_back(store, "a", clock)
        await self.give_back(store, "b", clock)
        assert await everything(store, "lease") == []
        assert (await self.hold(store, "a", clock)).token > first.token
        await self.age_leases(clock, 1)
        await refused(store, self.renewing("a", 0, clock), Why.LOST)
        assert await everything(store, "lease") == []

    async def test_one_that_everybody_let_run_out_is_purged(self, store: Store, clock: ManualClock) -> None:
        await self.hold(store, "a", clock)
        await self.queue_up(store, "b", clock)
        await ask(store, Purge(clock.now()), Counted)
        assert await everything(store, "lease") == [LeaseView(LOCK, ("a",), ("b",))]
        await self.age_leases(clock, 2)
        await ask(store, Purge(clock.now()), Counted)
        assert await everything(store, "lease") == []

    async def test_names_do_not_mix(self, store: Store, clock: ManualClock) -> None:
        await self.hold(store, "a", clock)
        await ask(store, Acquire(f"{LOCKS}two", "b", clock.now(), self.lease_unit), Granted)
        assert [view.name for view in await everything(store, "lease", LOCKS, most=1)] == [LOCK, f"{LOCKS}two"]
        assert await everything(store, "lease", f"{LOCKS}t") == [LeaseView(f"{LOCKS}two", ("b",), ())]


class Notes(LeaseSuite):
    """What those who wait leave for the holder."""

    async def test_taken_at_the_grant_and_at_a_renewal(self, store: Store, clock: ManualClock) -> None:
        await self.hold(store, "a", clock)
        await self.queue_up(store, "b", clock, note=b"from b")
        await self.queue_up(store, "c", clock, note=b"from c")
        await self.queue_up(store, "d", clock)
        await self.give_back(store, "a", clock)
        held = await self.hold(store, "b", clock, take=True)
        assert held.notes == (b"from c",)
        assert await everything(store, "lease", LOCK) == [LeaseView(LOCK, ("b",), ("d",))]
        await self.queue_up(store, "e", clock, note=b"")
        assert (await ask(store, self.renewing("b", held.token, clock), Granted)).notes == (b"from c",)
        renewed = await ask(store, self.renewing("b", held.token, clock, take=True), Granted)
        assert renewed.notes == (b"from c", b"")

    async def test_taken_one_is_told_so(self, store: Store, clock: ManualClock) -> None:
        held = await self.hold(store, "a", clock)
        await self.queue_up(store, "b", clock, note=b"from b")
        await ask(store, self.renewing("a", held.token, clock, take=True), Granted)
        answer = await self.queue_up(store, "b", clock, note=b"from b", again=True)
        assert (answer.taken, answer.ahead) == (True, 0)
        assert (await self.queue_up(store, "b", clock, note=b"from b")).taken

    async def test_done_with_at_the_release(self, store: Store, clock: ManualClock) -> None:
        held = await self.hold(store, "a", clock)
        await self.queue_up(store, "b", clock, note=b"from b")
        await ask(store, self.renewing("a", held.token, clock, take=True), Granted)
        assert await self.give_back(store, "a", clock) == Released(done=True)
        await refused(store, self.want("b", clock, note=b"from b", again=True), Why.TAKEN)
        assert await everything(store, "lease") == []
        await self.hold(store, "b", clock, note=b"from b")

    async def test_withdrawn_one_does_not_wait_again(self, store: Store, clock: ManualClock) -> None:
        held = await self.hold(store, "a", clock)
        await self.queue_up(store, "b", clock, note=b"from b", units=9)
        await ask(store, self.renewing("a", held.token, clock, take=True), Granted)
        await self.give_back(store, "b", clock)
        await self.age_leases(clock, 1)
        await self.hold(store, "c", clock)

    async def test_waits_again_in_front_if_the_lease_is_lost(self, store: Store, clock: ManualClock) -> None:
        held = await self.hold(store, "a", clock)
        await self.queue_up(store, "b", clock, note=b"from b", units=9)
        await ask(store, self.renewing("a", held.token, clock, take=True), Granted)
        await self.queue_up(store, "c", clock, units=9)
        await self.age_leases(clock, 1)
        assert (await self.queue_up(store, "c", clock, units=9)).ahead == 1
        await self.hold(store, "b", clock, note=b"from b", again=True)

    async def test_taken_one_that_goes_on_asking_lives_on(self, store: Store, clock: ManualClock) -> None:
        held = await self.hold(store, "a", clock, units=1.2)
        await self.queue_up(store, "b", clock, note=b"from b")
        await ask(store, self.renewing("a", held.token, clock, take=True), Granted)
        await self.age_leases(clock, 0.7)
        await self.queue_up(store, "b", clock, note=b"from b", again=True)
        await self.age_leases(clock, 0.6)
        await self.hold(store, "b", clock, note=b"from b", again=True)

    async def test_holder_that_asks_again_hears_them_again(self, store: Store, clock: ManualClock) -> None:
        """The answer to the first question may have been lost."""
        await self.hold(store, "a", clock)
        await self.queue_up(store, "b", clock)
        await self.queue_up(store, "c", clock, note=b"from c")
        await self.give_back(store, "a", clock)
        first = await self.hold(store, "b", clock, take=True)
        assert (await self.hold(store, "b", clock, take=True)).notes == first.notes == (b"from c",)

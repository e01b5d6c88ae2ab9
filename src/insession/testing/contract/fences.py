"""Holders that are replaced, and fences that prove that one still holds."""

from __future__ import annotations

from typing import Any

import pytest

from insession.kernel.contract import Store
from insession.kernel.events import EventType
from insession.kernel.leases import LEASE_KIND
from insession.kernel.operations import (
    Fence,
    Granted,
    Load,
    Loaded,
    Put,
    Refused,
    Released,
    Waiting,
    Why,
)
from insession.testing.clock import ManualClock

from .leases import LOCK, LOCKS, LeaseSuite
from .samples import (
    NODE,
    ask,
    done,
    everything,
    item_of,
    opened,
    refused,
    session,
    sid,
    the_log,
    the_record,
    update,
    writing,
)

ITEM = f"{sid('one')}/x"


class Displacement(LeaseSuite):
    """A holder that is replaced."""

    async def displaced(self, store: Store, clock: ManualClock, **options: Any) -> tuple[Granted, Waiting]:
        """A holder, and somebody who displaced it."""
        held = await self.hold(store, "a", clock, units=9)
        grace = options.pop("grace", self.lease_unit)
        return held, await self.queue_up(store, "b", clock, displace=True, grace=grace, units=9, **options)

    async def test_voids_at_once_and_says_so(self, store: Store, clock: ManualClock) -> None:
        held, answer = await self.displaced(store, clock)
        (event,) = await the_log(store)
        assert (event.type, event.id, event.kind) == (EventType.DISPLACED, LOCK, LEASE_KIND)
        assert (event.version, event.change, event.node) == (held.token, "a", NODE)
        assert (event.owner, event.reason) == (None, None)
        assert answer.ahead == 0
        if self.leases_by_clock:
            assert answer.look == clock.now() + self.lease_unit
        await refused(store, self.renewing("a", held.token, clock), Why.LOST)
        await refused(store, self.want("a", clock), Why.LOST)
        fence = Fence(LOCK, "a", held.token)
        await refused(store, writing(clock.now(), Put(ITEM, b"x"), fence=fence), Why.FENCED)

    async def test_granted_at_the_release(self, store: Store, clock: ManualClock) -> None:
        held, _ = await self.displaced(store, clock)
        await self.queue_up(store, "b", clock, displace=True)
        assert (await self.give_back(store, "a", clock)).next == "b"
        assert (await self.hold(store, "b", clock)).token > held.token
        assert len(await the_log(store)) == 1

    async def test_granted_after_the_grace(self, store: Store, clock: ManualClock) -> None:
        await self.displaced(store, clock)
        await self.age_leases(clock, 1)
        await self.hold(store, "b", clock, displace=True)
        assert len(await the_log(store)) == 1

    async def test_grace_does_not_prolong(self, store: Store, clock: ManualClock) -> None:
        held = await self.hold(store, "a", clock)
        answer = await self.queue_up(store, "b", clock, displace=True, grace=9 * self.lease_unit)
        assert answer.look == held.until

    async def test_comes_before_those_who_wait(self, store: Store, clock: ManualClock) -> None:
        await self.hold(store, "a", clock)
        await self.queue_up(store, "c", clock)
        await self.queue_up(store, "b", clock, displace=True)
        assert (await self.queue_up(store, "d", clock, displace=True)).ahead == 1
        (view,) = await everything(store, "lease", LOCK)
        assert view.waiting == ("b", "d", "c")
        assert len(await the_log(store)) == 1

    async def test_free_permit_needs_no_displacement(self, store: Store, clock: ManualClock) -> None:
        first = await self.hold(store, "a", clock, permits=2)
        await self.hold(store, "b", clock, permits=2, displace=True)
        assert await the_log(store) == []
        await self.queue_up(store, "c", clock, permits=2, displace=True)
        (event,) = await the_log(store)
        assert (event.version, event.change) == (first.token, "a")

    async def test_one_that_may_not_wait_displaces_nobody(self, store: Store, clock: ManualClock) -> None:
        held = await self.hold(store, "a", clock)
        await refused(store, self.want("b", clock, displace=True, queue=0), Why.FULL)
        assert await the_log(store) == []
        await ask(store, self.renewing("a", held.token, clock), Granted)


class Fences(LeaseSuite):
    """Commits that prove that a lease is still held."""

    async def test_current_one_passes(self, store: Store, clock: ManualClock) -> None:
        record = await opened(store, session("one", clock.now()))
        held = await self.hold(store, "a", clock)
        fence = Fence(LOCK, "a", held.token)
        await done(store, update(record.id, clock.now(), data=b"x", fence=fence))
        assert (await the_record(store, record.id)).data == b"x"

    @pytest.mark.parametrize("wrong", ["ticket", "token", "released", "expired", "missing"])
    async def test_wrong_one_changes_nothing(self, store: Store, clock: ManualClock, wrong: str) -> None:
        record = await opened(store, session("one", clock.now(), idle=1e6))
        held = await self.hold(store, "a", clock)
        fence = Fence(LOCK, "a", held.token)
        if wrong == "ticket":
            await self.queue_up(store, "b", clock)
            fence = Fence(LOCK, "b", held.token)
        elif wrong == "token":
            fence = Fence(LOCK, "a", held.token - 1)
        elif wrong == "released":
            await self.give_back(store, "a", clock)
        elif wrong == "expired":
            await self.age_leases(clock, 1)
        else:
            fence = Fence(f"{LOCKS}none", "a", held.token)
        commit = update(record.id, clock.now(), Put(f"{record.id}/a", b"x"), data=b"x", fence=fence)
        assert await refused(store, commit, Why.FENCED) is None
        assert await the_record(store, record.id) == record
        assert await item_of(store, f"{record.id}/a") is None

    async def test_earlier_holder_is_fenced_off(self, store: Store, clock: ManualClock) -> None:
        old = await self.hold(store, "a", clock)
        await self.give_back(store, "a", clock)
        await self.hold(store, "a", clock)
        commit = writing(clock.now(), Put(ITEM, b"x"), fence=Fence(LOCK, "a", old.token))
        await refused(store, commit, Why.FENCED)

    async def test_commit_sent_again_after_the_lease_is_done(self, store: Store, clock: ManualClock) -> None:
        held = await self.hold(store, "a", clock)
        commit = writing(clock.now(), Put(ITEM, b"x"), fence=Fence(LOCK, "a", held.token))
        versions = await done(store, commit)
        await self.give_back(store, "a", clock)
        assert await done(store, commit) == versions

    async def test_hand_over_in_one_batch(self, store: Store, clock: ManualClock) -> None:
        """The next holder's load sees what the one before committed."""
        record = await opened(store, session("one", clock.now()))
        held = await self.hold(store, "a", clock)
        fence = Fence(LOCK, "a", held.token)
        answers = await store.apply(
            [
                self.want("b", clock),
                update(record.id, clock.now(), Put(f"{record.id}/a", b"turn"), data=b"turn", fence=fence),
                self.giving_back("a", clock),
                self.want("b", clock),
                Load((record.id,), record.id),
                update(record.id, clock.now(), data=b"late", fence=fence),
            ]
        )
        assert isinstance(answers[0], Waiting)
        assert answers[2] == Released(done=True, next="b")
        assert isinstance(answers[3], Granted)
        assert isinstance(answers[4], Loaded)
        assert (answers[4].found, len(answers[4].under)) == ((await the_record(store, record.id),), 1)
        assert (await the_record(store, record.id)).data == b"turn"
        assert answers[5] == Refused(Why.FENCED)

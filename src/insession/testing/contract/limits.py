"""Limits, checked inside the commit that opens one more."""

from __future__ import annotations

from typing import Any

import pytest

from insession.kernel.contract import Store
from insession.kernel.events import EventType
from insession.kernel.limits import MOST_OF_KIND, Limit
from insession.kernel.operations import Commit, Count, Counted, Done, Put, Refused, Touch, Why
from insession.kernel.record import NEVER, Record, State
from insession.testing.clock import ManualClock

from .samples import (
    ask,
    done,
    due_after,
    end,
    end_of_log,
    ended,
    ending,
    expiry,
    item_of,
    limit,
    opened,
    opening,
    record_of,
    refused,
    session,
    the_log,
    the_record,
)
from .suite import Suite


async def filled(store: Store, clock: ManualClock, number: int = 3, **fields: Any) -> list[Record]:
    """Sessions of one owner, opened a second apart and now a second ago."""
    records = []
    for place in range(number):
        records.append(await opened(store, session(f"s{place}", clock.now(), owner="ann", **fields)))
        clock.set(clock.now() + 1)
    return records


async def living(store: Store, *records: Record) -> list[bool]:
    """Which of them live."""
    return [(await the_record(store, record.id)).live for record in records]


def limited(record: Record, most: int, then: str, *, over: str = "owner") -> Commit:
    """An opening under a limit."""
    return opening(record, limits=[limit(most, then, over=over)])


class Limits(Suite):
    """Over an owner's sessions of a kind."""

    async def test_deny(self, store: Store, clock: ManualClock) -> None:
        records = await filled(store, clock)
        log = await the_log(store)
        new = session("new", clock.now(), owner="ann")
        item = Put(f"{new.id}/a", b"x")
        commit = opening(new, item, limits=[limit(3)])
        assert await refused(store, commit, Why.LIMIT) is None
        assert await record_of(store, new.id) is None
        assert await item_of(store, item.key) is None
        assert await living(store, *records) == [True] * 3
        assert await the_log(store) == log

    async def test_room_is_enough(self, store: Store, clock: ManualClock) -> None:
        records = await filled(store, clock)
        await ended(store, end(records[1].id, ending(clock.now())))
        await done(store, limited(session("new", clock.now(), owner="ann"), 3, "deny"))
        await refused(store, limited(session("newer", clock.now(), owner="ann"), 3, "deny"), Why.LIMIT)

    async def test_oldest_goes(self, store: Store, clock: ManualClock) -> None:
        records = await filled(store, clock)
        await due_after(store, Touch(records[0].id, clock.now(), 0.0))
        cursor = await end_of_log(store)
        commit = limited(session("new", clock.now(), owner="ann"), 3, "oldest")
        await done(store, commit)
        assert await living(store, *records) == [False, True, True]
        over = await the_record(store, records[0].id)
        assert (over.state, over.reason, over.change) == (State.INTERRUPTED, "limit", commit.change)
        events = await the_log(store, cursor)
        assert [(event.type, event.id) for event in events] == [
            (EventType.INTERRUPTED, records[0].id),
            (EventType.OPENED, commit.patches[0].id),  # type: ignore[union-attr]
        ]

    async def test_least_recently_used_goes(self, store: Store, clock: ManualClock) -> None:
        records = await filled(store, clock)
        await due_after(store, Touch(records[0].id, clock.now(), 0.0))
        await done(store, limited(session("new", clock.now(), owner="ann"), 3, "least recently used"))
        assert await living(store, *records) == [True, False, True]

    async def test_as_many_as_make_room(self, store: Store, clock: ManualClock) -> None:
        records = await filled(store, clock, 5)
        await done(store, limited(session("new", clock.now(), owner="ann"), 2, "oldest"))
        assert await living(store, *records) == [False] * 4 + [True]

    @pytest.mark.parametrize("then", ["deny", "oldest", "least recently used"])
    async def test_members_that_are_due_expire_first(self, store: Store, clock: ManualClock, then: str) -> None:
        first = await opened(store, session("first", clock.now(), owner="ann", idle=90.0))
        clock.set(clock.now() + 1)
        due = await opened(store, session("due", clock.now(), owner="ann", idle=10.0))
        clock.set(due.due)
        await done(store, limited(session("new", clock.now(), owner="ann"), 2, then))
        assert await living(store, first) == [True]
        over = await the_record(store, due.id)
        assert (over.state, over.reason, over.ended) == (State.EXPIRED, "expired", clock.now())

    async def test_other_owners_kinds_and_nobody_do_not_count(self, store: Store, clock: ManualClock) -> None:
        await filled(store, clock, 2)
        await done(store, limited(session("bob", clock.now(), owner="bob"), 2, "deny"))
        await done(store, limited(session("chat", clock.now(), owner="ann", kind="chat"), 2, "deny"))
        for place in range(3):
            await done(store, limited(session(f"nobody{place}", clock.now()), 2, "deny"))
        await refused(store, limited(session("ann", clock.now(), owner="ann"), 2, "deny"), Why.LIMIT)

    async def test_opening_sent_again_evicts_nobody(self, store: Store, clock: ManualClock) -> None:
        records = await filled(store, clock)
        commit = limited(session("new", clock.now(), owner="ann"), 3, "oldest")
        versions = await done(store, commit)
        assert await done(store, commit) == versions
        assert await living(store, *records) == [False, True, True]

    async def test_opening_that_is_refused_evicts_nobody(self, store: Store, clock: ManualClock) -> None:
        records = await filled(store, clock)
        await refused(store, limited(session("s2", clock.now(), owner="ann"), 3, "oldest"), Why.STALE)
        assert await living(store, *records) == [True] * 3

    @pytest.mark.parametrize("then", ["deny", "oldest", "least recently used"])
    async def test_fifty_openings_in_one_batch(self, store: Store, clock: ManualClock, then: str) -> None:
        new = [session(f"n{place:02}", clock.now(), owner="ann") for place in range(50)]
        answers = await store.apply([limited(record, 3, then) for record in new])
        lives = await living(store, *new[:3]) if then == "deny" else [bool(await record_of(store, new[-1].id))]
        assert all(lives)
        refusals = [answer for answer in answers if isinstance(answer, Refused)]
        assert len(refusals) == (47 if then == "deny" else 0)
        assert {answer.why for answer in refusals} <= {Why.LIMIT}
        assert sum(isinstance(answer, Done) for answer in answers) == 50 - len(refusals)
        assert await ask(store, Count("owner", "ann"), Counted) == Counted(3)
        endings = await the_log(store, types={EventType.INTERRUPTED})
        assert len(endings) == len({event.id for event in endings}) == (0 if then == "deny" else 47)

    async def test_openings_without_a_limit_count(self, store: Store, clock: ManualClock) -> None:
        new = [session(f"n{place}", clock.now(), owner="ann") for place in range(3)]
        answers = await store.apply([opening(new[0]), opening(new[1]), limited(new[2], 2, "deny")])
        assert [type(answer) for answer in answers] == [Done, Done, Refused]


class KindLimits(Suite):
    """Over all sessions of a kind, which lie in one partition."""

    async def test_kind_limit_denies(self, store: Store, clock: ManualClock) -> None:
        await filled(store, clock, 2, by_kind=True)
        await refused(store, limited(session("new", clock.now(), by_kind=True), 2, "deny", over="kind"), Why.LIMIT)
        await done(store, limited(session("new", clock.now(), kind="chat", by_kind=True), 2, "deny", over="kind"))

    async def test_the_largest_limit_of_a_kind(self, store: Store, clock: ManualClock) -> None:
        await done(store, limited(session("one", clock.now(), by_kind=True), MOST_OF_KIND, "deny", over="kind"))

    async def test_oldest_of_the_kind_goes(self, store: Store, clock: ManualClock) -> None:
        records = await filled(store, clock, 3, by_kind=True)
        await done(store, limited(session("new", clock.now(), owner="ann", by_kind=True), 3, "oldest", over="kind"))
        assert await living(store, *records) == [False, True, True]

    async def test_nearest_due_goes(self, store: Store, clock: ManualClock) -> None:
        first = await opened(store, session("first", clock.now(), owner="ann", idle=90.0, by_kind=True))
        second = await opened(store, session("second", clock.now(), owner="ann", idle=30.0, by_kind=True))
        never = await opened(store, session("never", clock.now(), owner="ann", idle=NEVER, by_kind=True))
        at = clock.now() + 1
        await done(store, limited(session("new", at, owner="ann", by_kind=True), 3, "least recently used", over="kind"))
        assert await living(store, first, second, never) == [True, False, True]

    async def test_due_ones_of_the_kind_expire_first(self, store: Store, clock: ManualClock) -> None:
        records = await filled(store, clock, 3, by_kind=True, idle=10.0)
        await due_after(store, Touch(records[0].id, clock.now(), 0.0))
        clock.set(records[2].due)
        await done(store, limited(session("new", clock.now(), owner="ann", by_kind=True), 3, "oldest", over="kind"))
        assert [(await the_record(store, one.id)).state for one in records] == [
            State.ACTIVE,
            State.EXPIRED,
            State.EXPIRED,
        ]


class TwoLimits(Suite):
    """Limits over owner and kind at once."""

    limits: tuple[Limit, ...] = (limit(1, "oldest"), limit(3, over="kind"))
    """One of an owner, which evicts, and three of the kind, which refuse."""

    async def test_what_one_limit_evicts_makes_room_under_the_other(self, store: Store, clock: ManualClock) -> None:
        mine = await opened(store, session("mine", clock.now(), owner="ann", by_kind=True))
        for place in range(2):
            await opened(store, session(f"theirs{place}", clock.now(), owner="bob", by_kind=True))
        await done(store, opening(session("new", clock.now(), owner="ann", by_kind=True), limits=self.limits))
        assert await living(store, mine) == [False]
        assert await ask(store, Count("kind", "call"), Counted) == Counted(3)

    async def test_nobody_is_evicted_where_the_other_limit_refuses(self, store: Store, clock: ManualClock) -> None:
        mine = await opened(store, session("mine", clock.now(), owner="ann", by_kind=True))
        for place in range(3):
            await opened(store, session(f"theirs{place}", clock.now(), owner="bob", by_kind=True))
        log = await the_log(store)
        commit = opening(session("new", clock.now(), owner="ann", by_kind=True), limits=self.limits)
        await refused(store, commit, Why.LIMIT)
        assert await living(store, mine) == [True]
        assert await the_log(store) == log

    async def test_expired_by_the_limit_counts_once(self, store: Store, clock: ManualClock) -> None:
        mine = await opened(store, session("mine", clock.now(), owner="ann", idle=5.0, by_kind=True))
        clock.set(mine.due)
        await done(store, opening(session("new", clock.now(), owner="ann", by_kind=True), limits=self.limits))
        endings = await the_log(store, types={EventType.EXPIRED, EventType.INTERRUPTED})
        assert [(event.type, event.id) for event in endings] == [(EventType.EXPIRED, mine.id)]
        await refused(store, end(mine.id, expiry(clock.now())), Why.ENDED)

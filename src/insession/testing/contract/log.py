"""The log of events, cursors, and being woken."""

from __future__ import annotations

import asyncio

import pytest

from insession.errors import InvalidInput
from insession.kernel.contract import Store, Waker
from insession.kernel.events import ENDINGS, START, EventType
from insession.kernel.operations import (
    Acquire,
    Count,
    Counted,
    Done,
    End,
    Ends,
    Granted,
    Pick,
    Purge,
    Release,
    Waiting,
    Why,
)
from insession.testing.clock import ManualClock

from .samples import (
    ask,
    done,
    end,
    end_of_log,
    ended,
    ending,
    expire,
    limit,
    opened,
    opening,
    refused,
    session,
    the_log,
    the_record,
    update,
)
from .suite import Suite

PATIENCE = 5.0
"""So long a test waits for a wake-up that has to come."""


async def events(store: Store, clock: ManualClock, number: int, owner: str | None = None) -> list[str]:
    """Write so many events; ids of their sessions."""
    records = [session(f"{owner or 'e'}{place:03}", clock.now(), owner=owner) for place in range(number)]
    return [(await opened(store, record)).id for record in records]


async def woken(waker: Waker) -> bool:
    """Whether it is set, or will be soon."""
    try:
        await asyncio.wait_for(waker.wait(), PATIENCE)
    except TimeoutError:
        return False
    return True


async def quiet(waker: Waker) -> bool:
    """Whether it is not set, as far as one can see at once."""
    task = asyncio.ensure_future(waker.wait())
    for _ in range(5):
        await asyncio.sleep(0)
    woke = task.done()
    task.cancel()
    return not woke


class Log(Suite):
    """Events and their order."""

    async def test_order_and_positions(self, store: Store, clock: ManualClock) -> None:
        ids = await events(store, clock, 20)
        log = await the_log(store)
        assert [event.id for event in log] == ids
        positions = [event.position for event in log]
        assert positions == sorted(set(positions))
        assert {event.partition for event in log} == {log[0].partition}

    async def test_order_is_that_of_the_batch(self, store: Store, clock: ManualClock) -> None:
        record = await opened(store, session("one", clock.now()))
        await store.apply(
            [
                update(record.id, clock.now(), event=EventType.UPDATED, reason="1"),
                update(record.id, clock.now(), event=EventType.UPDATED, reason="2"),
                end(record.id, ending(clock.now(), "3")),
                update(record.id, clock.now(), event=EventType.UPDATED, reason="4"),
            ]
        )
        log = await the_log(store)
        assert [event.reason for event in log] == [None, "1", "2", "3"]
        assert [event.version for event in log] == sorted({event.version for event in log})

    @pytest.mark.parametrize("limit", [1, 2, 3, 100])
    async def test_pages(self, store: Store, clock: ManualClock, limit: int) -> None:
        ids = await events(store, clock, 7)
        assert [event.id for event in await the_log(store, limit=limit)] == ids

    async def test_more_says_whether_to_go_on_at_once(self, store: Store, clock: ManualClock) -> None:
        await events(store, clock, 3)
        first = await store.events(START, 2, None)
        assert (len(first.events), first.more, first.trimmed) == (2, True, False)
        second = await store.events(first.cursor, 2, None)
        assert (len(second.events), second.more) == (1, False)
        third = await store.events(second.cursor, 2, None)
        assert (third.events, third.more, third.trimmed) == ((), False, False)

    async def test_none_is_the_end(self, store: Store, clock: ManualClock) -> None:
        await events(store, clock, 3)
        cursor = await end_of_log(store)
        assert await the_log(store, cursor) == []
        (new,) = await events(store, clock, 1, "ann")
        assert [event.id for event in await the_log(store, cursor)] == [new]

    async def test_empty_log(self, store: Store, clock: ManualClock) -> None:
        start, end_ = await store.events(START, 10, None), await store.events(None, 10, None)
        for page in (start, end_):
            assert (page.events, page.more, page.trimmed) == ((), False, False)
        ids = await events(store, clock, 1)
        for page in (start, end_):
            assert [event.id for event in await the_log(store, page.cursor)] == ids

    async def test_filter_by_types(self, store: Store, clock: ManualClock) -> None:
        ids = await events(store, clock, 6)
        for place in (1, 4):
            await ended(store, end(ids[place], ending(clock.now())))
        for most in (1, 10):
            log = await the_log(store, types=ENDINGS, limit=most)
            assert [event.id for event in log] == [ids[1], ids[4]]
        assert await the_log(store, types={EventType.STOPPED}) == []
        assert await the_log(store, types=()) == []
        page = await store.events(START, 100, {EventType.STOPPED})
        assert await the_log(store, page.cursor) == []

    async def test_refused_changes_write_nothing(self, store: Store, clock: ManualClock) -> None:
        (one,) = await events(store, clock, 1)
        cursor = await end_of_log(store)
        await store.apply(
            [
                update(one, clock.now(), version=10**9, event=EventType.UPDATED),
                end(one, ending(clock.now() + 1e6)),
                expire(clock.now()),
            ]
        )
        assert await the_log(store, cursor) == []

    @pytest.mark.parametrize("cursor", ["", "no cursor", "a:b", ":1", "a:", "a:1,", "ä:1", "a:-1", "a:1;2", "1" * 5000])
    async def test_malformed_cursor(self, store: Store, cursor: str) -> None:
        with pytest.raises(InvalidInput) as error:
            await store.events(cursor, 10, None)
        assert error.value.field == "cursor"

    async def test_cursor_of_another_epoch_is_trimmed(self, store: Store, clock: ManualClock) -> None:
        ids = await events(store, clock, 3)
        epoch, _, positions = (await end_of_log(store)).partition(":")
        another = "".join("0" if letter != "0" else "1" for letter in epoch)
        page = await store.events(f"{another}:{positions}", 10, None)
        assert page.trimmed
        rest = await the_log(store, page.cursor)
        assert [event.id for event in (*page.events, *rest)] == ids

    async def test_cursor_from_beyond_the_end_is_trimmed(self, store: Store, clock: ManualClock) -> None:
        """A log that was restored knows less than the cursor."""
        ids = await events(store, clock, 3)
        epoch, _, positions = (await end_of_log(store)).partition(":")
        beyond = ",".join(str(int(position) + 1000) for position in positions.split(","))
        page = await store.events(f"{epoch}:{beyond}", 10, None)
        assert page.trimmed
        assert [event.id for event in (*page.events, *await the_log(store, page.cursor))] == ids

    async def test_old_cursor_is_told_that_it_is_trimmed(self, store: Store, clock: ManualClock) -> None:
        old = await end_of_log(store)
        await events(store, clock, 3)
        await self.trim(store, clock)
        kept = await the_log(store)
        page = await store.events(old, 10_000, None)
        assert page.trimmed
        rest = await the_log(store, page.cursor, limit=1000)
        assert [event.position for event in (*page.events, *rest)] == [event.position for event in kept]
        assert not (await store.events(START, 1, None)).trimmed
        (new,) = await events(store, clock, 1, "new")
        assert (await the_log(store, page.cursor, limit=1000))[-1].id == new

    async def test_cursor_at_the_end_outlives_a_trim(self, store: Store, clock: ManualClock) -> None:
        await events(store, clock, 3)
        await self.trim(store, clock)
        cursor = await end_of_log(store)
        clock.set(clock.now() + 2 * self.retention)
        await store.apply([Purge(clock.now())])
        page = await store.events(cursor, 10, None)
        assert (page.events, page.trimmed) == ((), False)

    async def test_cursors_pass_the_gap_of_an_erased_owner(self, store: Store, clock: ManualClock) -> None:
        await events(store, clock, 3, "ann")
        middle = await end_of_log(store)
        clock.set(clock.now() + 1)
        bobs = await events(store, clock, 2, "bob")
        clock.set(clock.now() + 1)
        anns = await events(store, clock, 2, "ann-2")
        first = await store.events(START, 1, None)
        answer = await ask(store, Purge(clock.now(), owner="ann", most=200), Counted)
        assert answer.number == 3
        for cursor in (START, first.cursor, middle):
            assert [event.id for event in await the_log(store, cursor, limit=1)] == bobs + anns
        assert not (await store.events(first.cursor, 1, None)).trimmed
        await store.apply([Purge(clock.now(), owner="ann-2")])
        assert [event.id for event in await the_log(store, middle)] == bobs
        cursor = await end_of_log(store)
        (new,) = await events(store, clock, 1, "carl")
        assert [event.id for event in await the_log(store, cursor)] == [new]


class Wakers(Suite):
    """Wake-ups: for nothing perhaps, but none is missed."""

    async def test_woken_by_an_event_of_its_types(self, store: Store, clock: ManualClock) -> None:
        (one,) = await events(store, clock, 1)
        waker = store.waker(ENDINGS)
        await ended(store, end(one, ending(clock.now())))
        assert await woken(waker)

    async def test_set_before_the_wait_is_not_missed(self, store: Store, clock: ManualClock) -> None:
        waker = store.waker({EventType.OPENED})
        await events(store, clock, 3)
        assert await woken(waker)
        assert await quiet(waker)

    async def test_while_it_waits(self, store: Store, clock: ManualClock) -> None:
        waker = store.waker({EventType.OPENED})
        task = asyncio.ensure_future(woken(waker))
        await asyncio.sleep(0)
        await events(store, clock, 1)
        assert await task

    async def test_every_waker(self, store: Store, clock: ManualClock) -> None:
        wakers = [store.waker({EventType.OPENED}) for _ in range(3)]
        await events(store, clock, 1)
        assert all([await woken(waker) for waker in wakers])

    async def test_picked_endings_and_expiries(self, store: Store, clock: ManualClock) -> None:
        ids = await events(store, clock, 2)
        waker = store.waker(ENDINGS)
        await ended(store, End(Pick("all"), ending(clock.now())))
        assert await woken(waker)
        clock.set(clock.now() + 60)
        assert await ended(store, expire(clock.now())) == (ids[1],)
        assert await woken(waker)

    async def test_what_is_visible_then_is_read_then(self, store: Store, clock: ManualClock) -> None:
        """Look, wait, look again: nothing is missed."""
        waker = store.waker({EventType.OPENED})
        cursor, seen = await end_of_log(store), list[str]()

        async def follow() -> None:
            nonlocal cursor
            while len(seen) < 30:
                page = await store.events(cursor, 4, None)
                cursor = page.cursor
                seen.extend(event.id for event in page.events)
                if not page.more and len(seen) < 30:
                    await waker.wait()

        task = asyncio.ensure_future(follow())
        ids = [*await events(store, clock, 10, "a"), *await events(store, clock, 10, "b")]
        await asyncio.sleep(0)
        ids += await events(store, clock, 10, "c")
        await asyncio.wait_for(task, PATIENCE)
        # Those of one owner lie in one partition, and have one order.
        for start in (0, 10, 20):
            mine = ids[start : start + 10]
            assert [one for one in seen if one in mine] == mine
        assert len(seen) == 30

    async def test_lease_that_is_handed_on(self, store: Store, clock: ManualClock) -> None:
        at, ttl = clock.now(), self.lease_unit
        waker = store.waker((), leases=True)
        await store.apply([Acquire("l", "a", at, ttl), Acquire("l", "b", at, ttl)])
        await store.apply([Release("l", "a", at)])
        assert await woken(waker)

    async def test_waiting_one_that_leaves_hands_on_its_place(self, store: Store, clock: ManualClock) -> None:
        at, ttl = clock.now(), self.lease_unit
        await store.apply([Acquire("l", ticket, at, ttl) for ticket in "abc"])
        await store.apply([Release("l", "a", at)])
        waker = store.waker((), leases=True)
        await store.apply([Release("l", "b", at)])
        assert await woken(waker)

    async def test_second_permit_is_handed_on_too(self, store: Store, clock: ManualClock) -> None:
        """Who asked too early, standing second, is woken once the first one has its permit."""
        at, ttl = clock.now(), self.lease_unit
        await store.apply([Acquire("l", ticket, at, ttl, 2) for ticket in "abcd"])
        await store.apply([Release("l", "a", at), Release("l", "b", at)])
        await store.apply([Acquire("l", "d", at, ttl, 2)])
        waker = store.waker((), leases=True)
        await store.apply([Acquire("l", "c", at, ttl, 2)])
        assert await woken(waker)

    async def test_displaced_holder_is_woken(self, store: Store, clock: ManualClock) -> None:
        at, ttl = clock.now(), self.lease_unit
        await store.apply([Acquire("l", "a", at, ttl)])
        waker = store.waker({EventType.DISPLACED})
        await store.apply([Acquire("l", "b", at, ttl, displace=True)])
        assert await woken(waker)


class TwoInstances(Suite):
    """Two open instances on the same data."""

    async def test_each_sees_what_the_other_did(self, store: Store, other_store: Store, clock: ManualClock) -> None:
        record = await opened(store, session("one", clock.now()))
        (version,) = await done(other_store, update(record.id, clock.now(), version=record.version, data=b"x"))
        assert (await the_record(store, record.id)).data == b"x"
        await refused(store, update(record.id, clock.now(), version=record.version), Why.STALE)
        await done(store, update(record.id, clock.now(), version=version))

    async def test_one_order_of_versions_and_events(self, store: Store, other_store: Store, clock: ManualClock) -> None:
        versions = []
        for place in range(10):
            where = (store, other_store)[place % 2]
            versions.append((await opened(where, session(f"s{place}", clock.now()))).version)
        assert versions == sorted(set(versions))
        assert await the_log(store) == await the_log(other_store)
        assert [event.version for event in await the_log(store)] == versions

    async def test_cursors_of_one_are_good_for_the_other(
        self, store: Store, other_store: Store, clock: ManualClock
    ) -> None:
        cursor = await end_of_log(store)
        ids = await events(other_store, clock, 2)
        page = await other_store.events(cursor, 1, None)
        assert [event.id for event in page.events] == ids[:1]
        assert [event.id for event in await the_log(store, page.cursor)] == ids[1:]

    async def test_other_one_is_woken(self, store: Store, other_store: Store, clock: ManualClock) -> None:
        waker = other_store.waker({EventType.OPENED})
        ids = await events(store, clock, 1)
        assert await woken(waker)
        assert [event.id for event in await the_log(other_store)] == ids

    async def test_other_one_is_woken_each_time(self, store: Store, other_store: Store, clock: ManualClock) -> None:
        waker = other_store.waker({EventType.OPENED})
        cursor = await end_of_log(other_store)
        for place in range(5):
            (new,) = await events(store, clock, 1, f"o{place}")
            seen: list[str] = []
            while not seen:
                assert await woken(waker)
                seen = [event.id for event in await the_log(other_store, cursor)]
            assert seen == [new]
            cursor = await end_of_log(other_store)

    async def test_lease_is_handed_on_to_the_other(self, store: Store, other_store: Store, clock: ManualClock) -> None:
        at, ttl = clock.now(), self.lease_unit
        await ask(store, Acquire("l", "a", at, ttl), Granted)
        await ask(other_store, Acquire("l", "b", at, ttl), Waiting)
        waker = other_store.waker((), leases=True)
        await store.apply([Release("l", "a", at)])
        assert await woken(waker)
        await ask(other_store, Acquire("l", "b", at, ttl), Granted)

    async def test_limit_holds_across_both(self, store: Store, other_store: Store, clock: ManualClock) -> None:
        batches = [
            [opening(session(f"{name}{place}", clock.now(), owner="ann"), limits=[limit(3)]) for place in range(10)]
            for name in "xy"
        ]
        answers = await asyncio.gather(store.apply(batches[0]), other_store.apply(batches[1]))
        assert sum(isinstance(answer, Done) for batch in answers for answer in batch) == 3
        assert await ask(store, Count("owner", "ann"), Counted) == Counted(3)

    async def test_exactly_one_wins_an_ending(self, store: Store, other_store: Store, clock: ManualClock) -> None:
        ids = await events(store, clock, 10)
        answers = await asyncio.gather(
            *(
                where.apply([end(one, ending(clock.now(), name)) for one in ids])
                for where, name in ((store, "here"), (other_store, "there"))
            )
        )
        won = [isinstance(here, Ends) + isinstance(there, Ends) for here, there in zip(*answers, strict=True)]
        assert won == [1] * 10
        assert len(await the_log(store, types=ENDINGS)) == 10

"""Stores that do not stand open: what they refuse, what they are filled with, and how they take over."""

from __future__ import annotations

import pytest

from insession.kernel.contract import Store
from insession.kernel.events import FOLLOWED
from insession.kernel.operations import (
    Acquire,
    Count,
    Counted,
    Done,
    Fence,
    Granted,
    Import,
    Load,
    Loaded,
    Mark,
    Marked,
    Operation,
    Purge,
    Put,
    Refused,
    Release,
    Renew,
    Standing,
    Touch,
    Why,
)
from insession.kernel.record import NODE_KIND, Item, Record, State
from insession.testing.clock import ManualClock

from .log import woken
from .samples import (
    ask,
    done,
    end,
    end_of_log,
    ended,
    ending,
    everything,
    expire,
    item_of,
    opened,
    opening,
    record_of,
    refused,
    replaced,
    session,
    the_log,
    the_record,
    update,
    writing,
)
from .suite import Suite

ELSEWHERE = "valkey://elsewhere:6379"
WHY = {Standing.MOVED: Why.MOVED, Standing.FILLING: Why.FILLING}
HIGH = 1 << 40
"""A version that a test's store has not come to."""


async def stand(store: Store, standing: Standing | None, number: int = 0) -> Marked:
    """Let a store stand so."""
    return await ask(store, Mark(standing, ELSEWHERE if standing else "", number), Marked)


def changes(record: Record, fence: Fence, at: float) -> list[Operation]:
    """Something of everything that changes a store."""
    return [
        opening(session("new", at)),
        update(record.id, at, version=record.version, data=b"new"),
        update(record.id, at, Put(f"{record.id}/new", b"new"), fence=fence),
        writing(at, Put("k/new", b"new")),
        end(record.id, ending(at)),
        expire(at + 1e9),
        Touch(record.id, at + 1, 0.0),
        Acquire(fence.lease, "other", at, 10.0),
        Renew(fence, at, 10.0),
        Release(fence.lease, fence.ticket, at),
        Purge(at + 1e9, record.kind),
        # What would be refused anyhow is refused for this.
        end(session("nobody", at).id, ending(at)),
    ]


class Marks(Suite):
    """How a store stands."""

    async def test_a_new_store_stands_open(self, store: Store, clock: ManualClock) -> None:
        record = await opened(store, session("one", clock.now()))
        marked = await stand(store, None)
        assert (marked.standing, marked.store) == (Standing.OPEN, "")
        assert marked.number >= record.version

    @pytest.mark.parametrize("standing", list(WHY))
    async def test_every_change_is_refused(self, store: Store, clock: ManualClock, standing: Standing) -> None:
        at = clock.now()
        record = await opened(store, session("one", at, owner="ann"))
        await done(store, writing(at, Put("k/1", b"old")))
        acquire = Acquire(f"{record.id}/lock", "mine", at, self.lease_unit)
        fence = Fence(acquire.lease, "mine", (await ask(store, acquire, Granted)).token)
        log = await the_log(store)
        marked = await stand(store, standing)
        assert (marked.standing, marked.store) == (standing, ELSEWHERE)
        assert marked.number >= max(record.version, fence.token)
        expected = Refused(WHY[standing], store=ELSEWHERE)
        asked = changes(record, fence, at)
        assert list(await store.apply(asked)) == [expected] * len(asked)
        for operation in asked:
            assert await ask(store, operation, Refused) == expected
        assert await everything(store, "all", state=None) == [record]
        assert [item.key for item in await everything(store, "item", "")] == ["k/1"]
        assert await the_log(store) == log

    @pytest.mark.parametrize("standing", list(WHY))
    async def test_reading_goes_on(self, store: Store, clock: ManualClock, standing: Standing) -> None:
        record = await opened(store, session("one", clock.now()))
        await stand(store, standing)
        load = Load((record.id,))
        answers = await store.apply([load, Touch(record.id, clock.now() + 1, 0.0), load, Count("all")])
        assert list(answers) == [
            Loaded((record,)),
            Refused(WHY[standing], store=ELSEWHERE),
            Loaded((record,)),
            Counted(1),
        ]

    async def test_asking_changes_nothing(self, store: Store, clock: ManualClock) -> None:
        await stand(store, Standing.MOVED)
        for _ in range(2):
            marked = await stand(store, None)
            assert (marked.standing, marked.store) == (Standing.MOVED, ELSEWHERE)

    async def test_open_again_it_begins_a_new_epoch(self, store: Store, clock: ManualClock) -> None:
        record = await opened(store, session("one", clock.now()))
        cursor = await end_of_log(store)
        await stand(store, Standing.FILLING)
        assert not (await store.events(cursor, 10, None)).trimmed
        waker = store.waker(FOLLOWED, leases=True)
        await stand(store, Standing.OPEN)
        assert await woken(waker)
        page = await store.events(cursor, 10, None)
        assert page.trimmed
        await done(store, update(record.id, clock.now(), data=b"goes on"))

    async def test_what_stands_open_stays_in_its_epoch(self, store: Store, clock: ManualClock) -> None:
        await opened(store, session("one", clock.now()))
        cursor = await end_of_log(store)
        await stand(store, Standing.OPEN)
        assert not (await store.events(cursor, 10, None)).trimmed

    async def test_numbers_go_on_above(self, store: Store, clock: ManualClock) -> None:
        at = clock.now()
        await stand(store, Standing.FILLING)
        await stand(store, Standing.OPEN, HIGH)
        assert (await opened(store, session("one", at))).version > HIGH
        assert (await done(store, writing(at, Put("k/1", b"x"))))[0] > HIGH
        assert (await ask(store, Acquire("lock", "mine", at, self.lease_unit), Granted)).token > HIGH
        assert (await stand(store, None)).number > HIGH
        await stand(store, Standing.OPEN, 5)
        assert (await opened(store, session("two", at))).version > HIGH

    async def test_every_instance_stands_so(self, store: Store, other_store: Store, clock: ManualClock) -> None:
        record = await opened(store, session("one", clock.now()))
        await the_record(other_store, record.id)
        cursor = await end_of_log(other_store)
        await done(other_store, update(record.id, clock.now(), data=b"new"))
        await stand(store, Standing.MOVED)
        await refused(other_store, Touch(record.id, clock.now() + 1, 0.0), Why.MOVED)
        waker = other_store.waker(FOLLOWED, leases=True)
        await stand(store, Standing.OPEN)
        assert await woken(waker)
        assert (await other_store.events(cursor, 10, None)).trimmed
        await done(other_store, update(record.id, clock.now(), data=b"newer"))


def foreign(name: str, at: float, version: int = 7, **fields: object) -> Record:
    """A record as another store has it."""
    return replaced(session(name, at), version=version, **fields)


def import_of(one: Record | Item) -> Import:
    """What puts it."""
    return Import(one.key if isinstance(one, Item) else one.id, one)


async def imported(store: Store, *ones: Record | Item) -> None:
    """Put these, each as it is; a store owns what it is handed."""
    copies = [import_of(replaced(one) if isinstance(one, Record) else one) for one in ones]
    for one, answer in zip(ones, await store.apply(copies), strict=True):
        assert answer == Done((one.version,))


class Imports(Suite):
    """What a store is filled with."""

    async def test_only_a_store_that_stands_filling_is_filled(self, store: Store, clock: ManualClock) -> None:
        one, item = foreign("one", clock.now()), Item("k/1", b"x", 7)
        for standing in (None, Standing.MOVED, Standing.OPEN):
            await stand(store, standing)
            for operation in (import_of(one), import_of(item), Import(one.id, None)):
                await refused(store, operation, Why.STALE)
        assert await record_of(store, one.id) is None
        assert await item_of(store, "k/1") is None

    async def test_they_come_as_they_are(self, store: Store, clock: ManualClock) -> None:
        at = clock.now()
        node = foreign("node", at, kind=NODE_KIND)
        records = [
            foreign("live", at, 3, owner="ann", data=b"live", touched=at + 5, due=at + 65, window=3.0, reach=63.0),
            foreign("at home", at, 3, node=node.id, absolute=at + 30, due=at + 30),
            foreign("over", at, 4, owner="ann", state=State.CLOSED, ended=at + 1, reason="done", stopped="returned"),
            foreign("owed", at, 5, state=State.INTERRUPTED, ended=at + 1, reason="x", finish=True, data=bytes(5000)),
        ]
        items = [
            Item("k/1", b"", 3),
            Item(f"{records[0].id}/below", bytes(3000), 9, ("c1", "c2"), "ann", at + 100.0),
        ]
        await stand(store, Standing.FILLING)
        cursor = await end_of_log(store)
        await imported(store, node, *records, *items)
        assert await the_log(store, cursor) == []
        await stand(store, Standing.OPEN, 9)
        expected = sorted(records, key=lambda one: (list(State).index(one.state), one.rank, one.id))
        assert await everything(store, "all", state=None) == expected
        assert await everything(store, "kind", NODE_KIND, state=None) == [node]
        assert {one.id for one in await everything(store, "owner", "ann", state=None)} == {
            records[0].id,
            records[2].id,
        }
        assert [one.id for one in await everything(store, "node", node.id)] == [records[1].id]
        assert [one.id for one in await everything(store, "finish", state=None)] == [records[3].id]
        assert await everything(store, "item", "") == sorted(items, key=lambda one: one.key)
        assert [one.key for one in await everything(store, "item owner", "ann")] == [items[1].key]
        assert await ask(store, Count("kind", records[0].kind), Counted) == Counted(2)

    async def test_they_live_on(self, store: Store, clock: ManualClock) -> None:
        at = clock.now()
        live, due = foreign("live", at), foreign("due", at, due=at + 1.0)
        over = foreign("over", at, state=State.CLOSED, ended=at, keep=5.0)
        await stand(store, Standing.FILLING)
        await imported(store, live, due, over, Item("k/1", b"x", 7, expires=at + 5.0), Item("k/2", b"x", 7))
        await stand(store, Standing.OPEN, 9)
        assert await ended(store, expire(at + 2.0)) == (due.id,)
        (version,) = await done(store, update(live.id, at, version=7, data=b"new"))
        assert version > 9
        assert await ask(store, Purge(at + 10.0, live.kind), Counted) == Counted(1)
        assert await ask(store, Purge(at + 10.0), Counted) == Counted(1)
        await done(store, writing(at, Put("k/2", b"new")))
        assert {one.id for one in await everything(store, "all", state=None)} == {live.id, due.id}

    async def test_a_change_that_was_done_there_is_known_here(self, store: Store, clock: ManualClock) -> None:
        at = clock.now()
        record = foreign("one", at)
        await stand(store, Standing.FILLING)
        await imported(store, record, Item("k/1", b"x", 8, ("earlier", "last")))
        await stand(store, Standing.OPEN, 9)
        assert await done(store, update(record.id, at, data=b"again", change=record.change)) == (7,)
        assert await done(store, writing(at, Put("k/1", b"again"), change="last")) == (8,)
        assert (await the_record(store, record.id)).data == b""

    async def test_an_older_one_never_takes_the_place_of_a_newer_one(self, store: Store, clock: ManualClock) -> None:
        at = clock.now()
        old = foreign("one", at, 5, data=b"old")
        touched = replaced(old, touched=at + 5, due=at + 65)
        new = replaced(old, version=6, data=b"new")
        await stand(store, Standing.FILLING)
        for one, expected in ((old, old), (touched, touched), (old, touched), (new, new), (touched, new), (old, new)):
            await imported(store, one)
            assert await the_record(store, old.id) == expected
        for item, data in ((Item("k/1", b"1", 1), b"1"), (Item("k/1", b"3", 3), b"3"), (Item("k/1", b"2", 2), b"3")):
            await imported(store, item)
            found = await item_of(store, "k/1")
            assert found is not None
            assert found.data == data

    async def test_a_later_life_takes_the_place_of_an_earlier_one(self, store: Store, clock: ManualClock) -> None:
        at = clock.now()
        first = foreign("one", at, 5, owner="ann", node="n1", data=bytes(5000))
        over = replaced(first, version=6, state=State.CLOSED, ended=at + 1, finish=True)
        second = replaced(first, version=9, opened=at + 2, touched=at + 2, due=at + 50, node="n2", data=b"second")
        await stand(store, Standing.FILLING)
        await imported(store, Item(f"{first.id}/kept", b"x", 8))
        for one in (first, over, second):
            await imported(store, one)
            assert await everything(store, "owner", "ann", state=None) == [one]
            assert await everything(store, "node", one.node, state=None) == [one]
            assert await everything(store, "finish", state=None) == [one][: one.finish]
            assert await ask(store, Count("all", state=one.state), Counted) == Counted(1)
        assert await item_of(store, f"{first.id}/kept") is not None
        await stand(store, Standing.OPEN, 9)
        assert await ended(store, expire(at + 51)) == (first.id,)

    async def test_what_vanished_is_removed_alone(self, store: Store, clock: ManualClock) -> None:
        at = clock.now()
        record, other = foreign("one", at, owner="ann"), foreign("two", at)
        items = [Item(f"{record.id}/a", b"x", 7, owner="ann", expires=at + 5), Item("k/1", b"x", 7)]
        await stand(store, Standing.FILLING)
        await imported(store, record, other, *items)
        for key in (record.id, "k/1", "k/1", session("nobody", at).id):
            assert await ask(store, Import(key, None), Done) == Done((0,))
        assert await everything(store, "all", state=None) == [other]
        assert await everything(store, "owner", "ann", state=None) == []
        assert await everything(store, "item", "") == items[:1]

    async def test_a_batch_takes_its_order(self, store: Store, clock: ManualClock) -> None:
        record = foreign("one", clock.now())
        item = Item("k/1", b"x", 7)
        await stand(store, Standing.FILLING)
        load = Load((record.id, "k/1"))
        answers = await store.apply(
            [
                *(load, import_of(replaced(record)), import_of(item), load),
                *(Import(record.id, None), Import("k/1", None), load),
            ]
        )
        assert [one.found for one in answers if isinstance(one, Loaded)] == [
            (None, None),
            (record, item),
            (None, None),
        ]

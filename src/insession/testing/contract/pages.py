"""Pages, counts and purges."""

from __future__ import annotations

from typing import Any

import pytest

from insession.errors import InvalidInput
from insession.kernel.contract import Store
from insession.kernel.events import EventType
from insession.kernel.operations import Count, Counted, Find, Found, Guard, Index, Purge, Put
from insession.kernel.record import NODE_KIND, Record, State
from insession.testing.clock import ManualClock

from .samples import (
    ask,
    done,
    end,
    ended,
    ending,
    everything,
    expire,
    item_of,
    opened,
    record_of,
    session,
    sid,
    the_log,
    the_record,
    update,
    writing,
)
from .suite import Suite

INDEXES: list[tuple[Index, str | None]] = [("owner", "ann"), ("kind", "call"), ("node", "home"), ("all", None)]


async def population(store: Store, clock: ManualClock) -> list[Record]:
    """Sessions of two kinds, two owners and two nodes in all states, in the order of a page of every state."""
    ids = []
    start = clock.now()
    for place in range(24):
        clock.set(start + (place * 7) % 24)
        kind, owner = ("call", "chat")[place % 2], ("ann", "bob", None)[place % 3]
        node = ("home", None)[place // 12]
        keep = 1000.0 - 10 * place
        record = session(
            f"p{place}", clock.now(), kind=kind, owner=owner, node=node, idle=500.0, keep=keep, finish=place % 8 == 5
        )
        ids.append((await opened(store, record)).id)
    clock.set(start + 30)
    for place, session_id in enumerate(ids):
        if place % 4:
            state = (State.INTERRUPTED, State.EXPIRED, State.CLOSED)[place % 4 - 1]
            await ended(store, end(session_id, ending(clock.now() + place, state=state)))
    records = [await the_record(store, session_id) for session_id in ids]
    order = list(State)
    return sorted(records, key=lambda one: (one.kind, order.index(one.state), one.rank, one.id))


def members(records: list[Record], index: Index, value: str | None) -> list[Record]:
    """Those that an index holds."""
    if index == "all":
        return records
    if index == "finish":
        return [record for record in records if record.finish]
    return [record for record in records if getattr(record, index) == value]


class Pages(Suite):
    """Pages without a scan."""

    @pytest.mark.parametrize("most", [1, 5, 100])
    @pytest.mark.parametrize(("index", "value"), [*INDEXES, ("finish", None)])
    async def test_order(self, store: Store, clock: ManualClock, index: Index, value: str | None, most: int) -> None:
        records = members(await population(store, clock), index, value)
        assert len(records) >= 3
        assert await everything(store, index, value, state=None, most=most) == records
        for state in State:
            expected = [record for record in records if record.state is state]
            assert await everything(store, index, value, state=state, most=most) == expected

    @pytest.mark.parametrize(("index", "value"), [*INDEXES, ("finish", None)])
    async def test_narrowed_by_kind(self, store: Store, clock: ManualClock, index: Index, value: str | None) -> None:
        records = members(await population(store, clock), index, value)
        for kind in ("call", "chat", "none"):
            expected = [record for record in records if record.kind == kind]
            assert await everything(store, index, value, kind=kind, state=None) == expected
            for state in (None, State.ACTIVE, State.CLOSED):
                number = sum(state in {None, record.state} for record in expected)
                assert await ask(store, Count(index, value, kind, state), Counted) == Counted(number)

    @pytest.mark.parametrize(("index", "value"), [*INDEXES, ("finish", None)])
    async def test_count(self, store: Store, clock: ManualClock, index: Index, value: str | None) -> None:
        records = members(await population(store, clock), index, value)
        assert await ask(store, Count(index, value, state=None), Counted) == Counted(len(records))
        for state in State:
            number = sum(record.state is state for record in records)
            assert await ask(store, Count(index, value, state=state), Counted) == Counted(number)

    async def test_live_ones_unless_asked(self, store: Store, clock: ManualClock) -> None:
        records = await population(store, clock)
        live = [record for record in records if record.live]
        assert await everything(store, "all") == live
        assert await ask(store, Count("all"), Counted) == Counted(len(live))

    async def test_pages_of_nobody(self, store: Store, clock: ManualClock) -> None:
        await population(store, clock)
        for index in ("owner", "kind", "node"):
            assert await ask(store, Find(index, "none", state=None), Found) == Found(())
            assert await ask(store, Count(index, "none", state=None), Counted) == Counted(0)

    async def test_last_page_ends(self, store: Store, clock: ManualClock) -> None:
        for name in "abcd":
            await opened(store, session(name, clock.now()))
        first = await ask(store, Find("all", most=2), Found)
        assert len(first.entries) == 2
        assert first.after is not None
        second = await ask(store, Find("all", after=first.after, most=2), Found)
        assert len(second.entries) == 2
        assert second.after is None

    @pytest.mark.parametrize(("index", "value"), INDEXES)
    async def test_stable_while_others_come_and_go(
        self, store: Store, clock: ManualClock, index: Index, value: str | None
    ) -> None:
        records = []
        for place in range(10):
            clock.set(clock.now() + 2)
            records.append(await opened(store, session(f"s{place}", clock.now(), owner="ann", node="home", idle=900.0)))
        seen: list[Any] = []
        after: str | None = None
        for step in range(20):
            page = await ask(store, Find(index, value, after=after, most=2), Found)
            seen += [record.id for record in page.entries if isinstance(record, Record)]
            after = page.after
            if after is None:
                break
            between = records[0].opened + 1
            await opened(store, session(f"early{step}", between, owner="ann", node="home", idle=900.0))
            if step == 1:
                await ended(store, end(records[0].id, ending(clock.now())))
                await ended(store, end(records[8].id, ending(clock.now())))
        assert seen == [record.id for record in records if record is not records[8]]

    async def test_nodes_come_where_their_kind_is_named(self, store: Store, clock: ManualClock) -> None:
        node = await opened(store, session("node", clock.now(), kind=NODE_KIND, owner="ann", node="home"))
        for index, value in INDEXES:
            assert await everything(store, index, value, state=None) == []
            assert await ask(store, Count(index, value, state=None), Counted) == Counted(0)
        for index, value in (("all", None), ("owner", "ann"), ("node", "home")):
            assert await everything(store, index, value, kind=NODE_KIND) == [node]
        assert await everything(store, "kind", NODE_KIND) == [node]
        assert await ask(store, Count("all", kind=NODE_KIND), Counted) == Counted(1)
        assert await ask(store, Count("kind", NODE_KIND), Counted) == Counted(1)

    async def test_leaves_an_index_with_its_field(self, store: Store, clock: ManualClock) -> None:
        record = await opened(store, session("one", clock.now(), node="home", finish=True))
        await ended(store, end(record.id, ending(clock.now())))
        over = await the_record(store, record.id)
        assert await everything(store, "finish", state=State.INTERRUPTED) == [over]
        await done(
            store,
            update(
                record.id, clock.now(), guard=Guard.ENDED, version=over.version, fields={"node": None, "finish": False}
            ),
        )
        after = await the_record(store, record.id)
        assert await everything(store, "finish", state=None) == []
        assert await everything(store, "node", "home", state=None) == []
        assert await everything(store, "all", state=None) == [after]

    @pytest.mark.parametrize("after", ["", "nonsense", "a|b|c|d", "call|9"])
    async def test_malformed_place(self, store: Store, after: str) -> None:
        with pytest.raises(InvalidInput) as error:
            await store.apply([Find("all", after=after)])
        assert error.value.field == "after"

    async def test_due_and_unswept_reads_as_it_is(self, store: Store, clock: ManualClock) -> None:
        record = await opened(store, session("one", clock.now(), owner="ann"))
        clock.set(record.due + 1)
        assert await everything(store, "owner", "ann") == [record]
        assert (await ask(store, Count("owner", "ann"), Counted)).number in {0, 1}


class Purges(Suite):
    """What is over goes."""

    async def over(self, store: Store, clock: ManualClock, number: int, **fields: Any) -> list[str]:
        """Sessions that ended a second after each other."""
        ids = []
        for place in range(number):
            name = f"{fields.get('owner')}{fields.get('kind')}{place}"
            record = await opened(store, session(name, clock.now(), **fields))
            clock.set(clock.now() + 1)
            await ended(store, end(record.id, ending(clock.now())))
            ids.append(record.id)
        return ids

    async def purge(self, store: Store, clock: ManualClock, **options: Any) -> Counted:
        """Purge now."""
        return await ask(store, Purge(clock.now(), **options), Counted)

    async def left(self, store: Store, ids: list[str]) -> list[int]:
        """Which are still there."""
        return [place for place, one in enumerate(ids) if await record_of(store, one) is not None]

    async def test_past_their_keep_time(self, store: Store, clock: ManualClock) -> None:
        ids = await self.over(store, clock, 5, keep=3.0)
        live = await opened(store, session("live", clock.now() - 1000, idle=5000.0, keep=0.0))
        others = await self.over(store, clock, 1, kind="chat", keep=0.0)
        assert await self.purge(store, clock, kind="call") == Counted(3)
        assert await self.left(store, [*ids, live.id, *others]) == [3, 4, 5, 6]
        assert await everything(store, "kind", "call", state=State.INTERRUPTED, most=1) == [
            await the_record(store, one) for one in ids[3:]
        ]

    async def test_beyond_the_newest_so_many(self, store: Store, clock: ManualClock) -> None:
        ids = await self.over(store, clock, 5)
        assert await self.purge(store, clock, kind="call", count=2) == Counted(3)
        assert await self.left(store, ids) == [3, 4]
        assert await self.purge(store, clock, kind="call", count=2) == Counted(0)

    async def test_not_while_work_is_owed(self, store: Store, clock: ManualClock) -> None:
        ids = await self.over(store, clock, 2, keep=0.0, finish=True)
        clock.set(clock.now() + 1e6)
        assert await self.purge(store, clock, kind="call", count=1) == Counted(0)
        last = await the_record(store, ids[0])
        await done(
            store, update(last.id, clock.now(), guard=Guard.ENDED, version=last.version, fields={"finish": False})
        )
        assert await self.purge(store, clock, kind="call") == Counted(1)
        assert await self.left(store, ids) == [1]

    async def test_purge_in_slices(self, store: Store, clock: ManualClock) -> None:
        ids = await self.over(store, clock, 5, keep=0.0)
        assert await self.purge(store, clock, kind="call", most=2) == Counted(2, more=True)
        assert await self.left(store, ids) == [2, 3, 4]
        assert await self.purge(store, clock, kind="call", most=2) == Counted(2, more=True)
        assert await self.purge(store, clock, kind="call", most=2) == Counted(1)

    async def test_purged_is_missing(self, store: Store, clock: ManualClock) -> None:
        (one,) = await self.over(store, clock, 1, keep=0.0)
        await self.purge(store, clock, kind="call")
        assert await record_of(store, one) is None
        assert await everything(store, "all", state=None) == []
        assert await ask(store, Count("all", state=None), Counted) == Counted(0)

    async def test_expired_items(self, store: Store, clock: ManualClock) -> None:
        puts = [Put(f"i/{place}", b"x", expires=clock.now() + place, owner="ann") for place in range(4)]
        await done(store, writing(clock.now(), Put("i/never", b"x"), *puts))
        clock.set(clock.now() + 2)
        assert (await self.purge(store, clock)).number == 3
        assert [item.key for item in await everything(store, "item", "i/")] == ["i/3", "i/never"]
        assert [item.key for item in await everything(store, "item owner", "ann")] == ["i/3"]

    async def test_item_that_was_prolonged_stays(self, store: Store, clock: ManualClock) -> None:
        await done(store, writing(clock.now(), Put("i/1", b"x", expires=clock.now() + 1)))
        await done(store, writing(clock.now(), Put("i/1", b"x", expires=clock.now() + 9)))
        clock.set(clock.now() + 2)
        assert (await self.purge(store, clock)).number == 0
        assert await item_of(store, "i/1") is not None

    async def test_everything_of_an_owner(self, store: Store, clock: ManualClock) -> None:
        ids = await self.over(store, clock, 2, owner="ann")
        ids += await self.over(store, clock, 1, owner="ann", kind="chat", finish=True)
        live = await opened(store, session("live", clock.now(), owner="ann"))
        bobs = await self.over(store, clock, 1, owner="bob")
        await done(
            store,
            writing(
                clock.now(),
                Put("m/1", b"x", owner="ann"),
                Put(f"{ids[0]}/a", b"x"),
                Put("m/2", b"x", owner="bob"),
                Put("m/3", b"x"),
            ),
        )
        answer = await self.purge(store, clock, owner="ann")
        assert (answer.number, answer.more) == (3 + 1 + 7, False)
        assert await self.left(store, [*ids, live.id, *bobs]) == [3, 4]
        assert [item.key for item in await everything(store, "item", "m/")] == ["m/2", "m/3"]
        assert await item_of(store, f"{ids[0]}/a") is None
        assert {event.owner for event in await the_log(store)} == {"bob"}

    async def test_of_an_owner_in_slices(self, store: Store, clock: ManualClock) -> None:
        await self.over(store, clock, 3, owner="ann")
        await done(store, writing(clock.now(), *(Put(f"m/{place}", b"x", owner="ann") for place in range(3))))
        numbers = []
        for _ in range(20):
            answer = await self.purge(store, clock, owner="ann", most=2)
            numbers.append(answer.number)
            if not answer.more:
                break
        assert sum(numbers) == 3 + 3 + 6
        assert max(numbers) == 2
        assert await the_log(store) == []
        assert await everything(store, "item", "m/") == []
        assert await ask(store, Count("owner", "ann", state=None), Counted) == Counted(0)

    async def test_events_that_are_kept_stay(self, store: Store, clock: ManualClock) -> None:
        record = await opened(store, session("one", clock.now()))
        await self.purge(store, clock)
        assert [event.type for event in await the_log(store)] == [EventType.OPENED]
        assert await the_record(store, record.id) == record
        assert await ended(store, expire(record.due)) == (sid("one"),)

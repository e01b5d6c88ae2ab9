"""What is a cluster's own: partitions, one log of them, and what crosses them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import insession
from insession import ConfigurationError, InvalidInput
from insession.kernel.contract import Store
from insession.kernel.events import ENDINGS, START, EventType
from insession.kernel.operations import (
    Acquire,
    Commit,
    Count,
    Counted,
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
    Put,
    Release,
    Why,
)
from insession.kernel.record import Item, State
from insession.stores.redis import ClusterStore
from insession.testing.contract.log import woken
from insession.testing.contract.samples import (
    NODE,
    ask,
    done,
    end,
    end_of_log,
    ended,
    ending,
    everything,
    item_of,
    opened,
    opening,
    refused,
    session,
    the_log,
    the_record,
    update,
    writing,
)
from tests.programs import insession as run_insession
from tests.servers import cluster as servers
from tests.servers.valkey import namespace_of
from tests.stores.clusters import NOW, OWNERS, everywhere, ids, made


@pytest.fixture
def namespace(tmp_path: Path) -> str:
    return namespace_of(tmp_path)


@pytest.fixture
async def store(namespace: str) -> AsyncIterator[ClusterStore]:
    """A store on the cluster that all tests share."""
    store = made(servers.shared(), namespace)
    await store.open()
    yield store
    await store.close()


class TestPartitions:
    async def test_their_number_is_fixed_when_the_store_is_made(self, namespace: str) -> None:
        first = made(servers.shared(), namespace, partitions=5)
        await first.open()
        record = await opened(first, session("one", NOW, owner="ann"))
        await first.close()
        second = made(servers.shared(), namespace)
        await second.open()
        assert second._routing.number == 5
        assert await the_record(second, record.id) == record
        await second.close()
        third = made(servers.shared(), namespace, partitions=6)
        with pytest.raises(ConfigurationError, match="has 5 partitions"):
            await third.open()

    async def test_a_new_store_has_four_for_each_master(self, store: ClusterStore) -> None:
        assert store._routing.number == 12
        await everywhere(store)
        assert len({event.partition for event in await the_log(store)}) > 6

    @pytest.mark.parametrize("most", [1, 5, 100])
    async def test_pages_have_one_order(self, store: Store, most: int) -> None:
        records = await everywhere(store)
        assert ids(await everything(store, "all", most=most)) == ids(records)
        for record in records[::3]:
            await ended(store, end(record.id, ending(NOW + 30)))
        live = [record.id for place, record in enumerate(records) if place % 3]
        gone = [record.id for place, record in enumerate(records) if not place % 3]
        assert ids(await everything(store, "kind", "call", state=State.ACTIVE, most=most)) == live
        page = ids(await everything(store, "kind", "call", state=None, most=most))
        assert page == [*live, *sorted(gone)]
        assert await ask(store, Count("all"), Counted) == Counted(16)

    async def test_items_and_leases_come_in_the_order_of_their_keys(self, store: Store) -> None:
        keys = sorted(f"m/{place % 7}/{place}" for place in range(30))
        await done(store, writing(NOW, *(Put(key, b"x", owner="ann") for key in keys)))
        for most in (4, 100):
            found = await everything(store, "item", "m/", most=most)
            assert [item.key for item in found] == keys
            assert [item.key for item in await everything(store, "item owner", "ann", most=most)] == keys
        loaded = await ask(store, Load(tuple(reversed(keys))), Loaded)
        assert [item.key for item in loaded.found if isinstance(item, Item)] == keys[::-1]
        names = [f"lock/{place:02}" for place in range(20)]
        await store.apply([Acquire(name, "t", NOW, 9.0, node=NODE) for name in names])
        assert [view.name for view in await everything(store, "lease", "lock/", most=3)] == names

    async def test_an_ending_of_all_ends_as_many_as_it_was_told(self, store: Store) -> None:
        records = await everywhere(store)
        won: list[str] = []
        for left in (14, 4, 0):
            answer = await ask(store, End(Pick("all", most=10), ending(NOW + 30)), Ends)
            assert answer.more is (left > 0)
            won += answer.ids
            assert len(won) == 24 - left
        assert sorted(won) == sorted(ids(records))
        assert len(await the_log(store, types=ENDINGS)) == 24

    async def test_what_is_due_says_when_to_look_again(self, store: Store) -> None:
        due = [
            await opened(store, session("s", NOW, owner=owner, idle=10.0 + place)) for place, owner in enumerate(OWNERS)
        ]
        how = insession.kernel.rules.expiry(NOW + 19, "sweep", NODE)
        answer = await ask(store, End(Pick("due", most=100), how), Ends)
        assert sorted(answer.ids) == sorted(ids(due[:10]))
        assert (answer.more, answer.look) == (False, NOW + 20)

    async def test_a_kind_keeps_its_newest_wherever_they_lie(self, store: Store) -> None:
        records = await everywhere(store, keep=1e6)
        for place, record in enumerate(records):
            await ended(store, end(record.id, ending(NOW + 100 + place)))
        removed = 0
        for _ in range(9):
            answer = await ask(store, Purge(NOW + 200, "call", 5, most=4), Counted)
            removed += answer.number
            if not answer.more:
                break
        assert removed == 19
        assert ids(await everything(store, "all", state=None)) == ids(records[-5:])

    async def test_an_owner_is_erased_everywhere(self, store: Store) -> None:
        record = await opened(store, session("s", NOW, owner="ann"))
        other = await opened(store, session("t", NOW, owner="ann", by_kind=True))
        kept = await opened(store, session("u", NOW, owner="bob"))
        for one in (record, other):
            await ended(store, end(one.id, ending(NOW + 1)))
        await done(store, writing(NOW, *(Put(f"m/{place}/x", b"x", owner="ann") for place in range(9))))
        assert (await ask(store, Purge(NOW, owner="ann", most=100), Counted)).number == 2 + 9 + 4
        assert ids(await the_log(store)) == [kept.id]
        assert await everything(store, "item", "") == []


class TestLog:
    @pytest.mark.parametrize("limit", [1, 7, 100])
    async def test_every_event_once_in_the_order_of_time(self, store: Store, limit: int) -> None:
        begin = await end_of_log(store)
        records = await everywhere(store)
        for cursor in (begin, START):
            assert ids(await the_log(store, cursor, limit=limit)) == ids(records)

    async def test_a_cursor_of_each_event_goes_on_behind_it(self, store: Store) -> None:
        records = await everywhere(store)
        page = await store.events(START, 100, None)
        epoch, _, places = page.begin.partition(":")
        positions = places.split(",")
        for place, event in enumerate(page.events):
            positions[event.partition] = str(event.position)
            rest = await the_log(store, f"{epoch}:{','.join(positions)}", limit=5)
            assert ids(rest) == ids(records[place + 1 :])

    async def test_another_epoch_of_one_partition_trims_that_one(self, store: Store) -> None:
        records = await everywhere(store)
        partition = {event.id: event.partition for event in await the_log(store)}
        epoch, _, places = (await end_of_log(store)).partition(":")
        page = await store.events(f"{'x' * 8}{epoch[8:]}:{places}", 100, None)
        assert page.trimmed
        rest = [*page.events, *await the_log(store, page.cursor)]
        assert ids(rest) == [record.id for record in records if partition[record.id] == 0]

    async def test_a_cursor_of_another_store_begins_anew(self, store: Store) -> None:
        records = await everywhere(store)
        page = await store.events("abcdef12:17", 100, None)
        assert page.trimmed
        assert ids([*page.events, *await the_log(store, page.cursor)]) == ids(records)

    async def test_others_are_woken_whatever_the_partition(self, store: Store, namespace: str) -> None:
        other = made(servers.shared(), namespace)
        await other.open()
        waker = other.waker({EventType.OPENED})
        for owner in OWNERS:
            while await asyncio.wait_for(_set(waker), 0.2):
                pass
            await opened(store, session("s", NOW, owner=owner))
            assert await woken(waker)
        await other.close()


async def _set(waker: Any) -> bool:
    """Take what is set."""
    if not waker._set:
        return False
    await waker.wait()
    return True


class TestCrossing:
    async def test_a_session_with_items_that_lie_elsewhere(self, store: Store) -> None:
        new = session("one", NOW)
        parts = [Put(f"wide/{place}/x", b"x", Guard.ABSENT) for place in range(6)]
        commit = opening(new, *parts)
        versions = await done(store, commit)
        assert len(versions) == 7
        assert all(versions)
        assert await done(store, commit) == versions
        assert len(await the_log(store)) == 1
        found = (await ask(store, Load(tuple(part.key for part in parts)), Loaded)).found
        assert [item.version for item in found if item is not None] == list(versions[1:])

    async def test_an_item_that_is_refused_leaves_the_session_alone(self, store: Store) -> None:
        record = await opened(store, session("one", NOW))
        keys = [f"wide/{place}/x" for place in range(12)]
        for key in keys:
            commit = update(record.id, NOW, Put(key, b"x", Guard.VERSION, 7), data=b"new")
            await refused(store, commit, Why.MISSING)
        assert await the_record(store, record.id) == record

    async def test_sessions_of_two_partitions(self, store: Store) -> None:
        one, two = (session("s", NOW, owner=owner) for owner in OWNERS[:2])
        patches = tuple(Patch(record.id, Guard.ABSENT, record=record) for record in (one, two))
        twice = writing(NOW, Put("a/b", b"1"), Put("a/b", b"2"))
        for bad, why in ((Commit(NOW, "both", NODE, patches), "two partitions"), (twice, "twice")):
            # Nothing of their batch has run, so that the others may be sent again.
            with pytest.raises(InvalidInput, match=why):
                await store.apply([opening(session("three", NOW)), Count("all"), bad])
            assert await the_log(store) == []

    async def test_a_fence_of_another_partition(self, store: Store) -> None:
        record = await opened(store, session("one", NOW))
        fences = []
        for name in ("a", "b", "c", f"{record.id}/turn"):
            held = await ask(store, Acquire(name, "t", NOW, 9.0, node=NODE), Granted)
            fences.append(Fence(name, "t", held.token))
        with pytest.raises(InvalidInput, match="another partition"):
            for fence in fences[:3]:
                await store.apply([update(record.id, NOW, data=b"x", fence=fence)])
        await done(store, update(record.id, NOW, data=b"y", fence=fences[3]))

    async def test_who_lost_the_lease_writes_no_item_elsewhere(self, store: Store) -> None:
        record = await opened(store, session("one", NOW))
        name = f"{record.id}/turn"
        held = await ask(store, Acquire(name, "t", NOW, 9.0, node=NODE), Granted)
        fence = Fence(name, "t", held.token)
        parts = [Put(f"wide/{place}/x", b"1") for place in range(6)]
        await done(store, update(record.id, NOW, *parts, data=b"1", fence=fence))
        await store.apply([Release(name, "t", NOW)])
        await refused(store, update(record.id, NOW, Put("wide/0/x", b"2"), data=b"2", fence=fence), Why.FENCED)
        item = await item_of(store, "wide/0/x")
        assert item is not None
        assert (item.data, (await the_record(store, record.id)).data) == (b"1", b"1")


async def test_two_engines(namespace: str) -> None:
    url = servers.shared().url
    kinds = [
        insession.Kind("call", limits=(insession.Limit(most=1, then="oldest"),)),
        insession.Kind("job", limits=(insession.Limit(most=2, over="kind"),)),
    ]
    async with (
        insession.connect(url, namespace=namespace, kinds=kinds) as one,
        insession.connect(url, namespace=namespace, kinds=kinds) as two,
    ):
        for owner in OWNERS[:8]:
            first = await one.open(kind="call", owner=owner)
            with pytest.raises(insession.Interrupted):
                async with first.running():
                    second = await two.open(kind="call", owner=owner)
                    await asyncio.wait_for(asyncio.Event().wait(), 5.0)
            assert (first.state, second.state) == ("interrupted", "active")
        jobs = [await one.open(kind="job", owner=owner) for owner in OWNERS[:2]]
        with pytest.raises(insession.LimitReached):
            await two.open(kind="job", owner=OWNERS[2])
        ended = 0
        async with asyncio.timeout(20.0):
            # What was opened by another engine a moment ago may lie ahead of this one's clock, which is never ahead.
            while ended < 2:
                ended += await two.interrupt_all(owner=OWNERS[0], reason="enough")
        assert ended == 2
        assert await jobs[0].wait_interrupted(5.0)
        assert jobs[1].state == "active"


async def test_the_command_line_lists_it(namespace: str, tmp_path: Path) -> None:
    url = servers.shared().url
    async with insession.connect(url, namespace=namespace) as engine:
        opened_ = [await engine.open(kind="call", owner=owner) for owner in OWNERS[:5]]
    done_ = await asyncio.to_thread(
        run_insession, "ls", "--json", "--store", url, "--namespace", namespace, cwd=tmp_path
    )
    assert (done_.returncode, done_.stderr) == (0, "")
    assert [json.loads(line)["id"] for line in done_.stdout.splitlines()] == [one.id for one in opened_]


@pytest.mark.parametrize(
    "url",
    [
        "redis+cluster://host/3",
        "redis+cluster://host?partitions=0",
        "redis+cluster://host?partitions=129",
        "redis+cluster://host?partitions=x",
        "redis+cluster://host?sentinel_user=x",
        "redis+cluster://host?partition=3",
        "redis://host?partitions=3",
    ],
)
def test_a_url_that_cannot_work(url: str) -> None:
    with pytest.raises(ConfigurationError):
        insession.kernel.urls.store_from(url, namespace="default")

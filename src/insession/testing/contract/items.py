"""Items: what is no session."""

from __future__ import annotations

import pytest

from insession.kernel.contract import Store
from insession.kernel.events import EventType
from insession.kernel.operations import (
    Find,
    Found,
    Guard,
    Load,
    Loaded,
    Purge,
    Put,
    Why,
)
from insession.kernel.record import NEVER, Item, Record
from insession.testing.clock import ManualClock

from .samples import (
    ask,
    done,
    end,
    ended,
    ending,
    everything,
    fresh_change,
    item_of,
    opened,
    opening,
    record_of,
    refused,
    session,
    sid,
    the_log,
    update,
    writing,
)
from .suite import Suite

KEY = "memory/ann/1"


async def written(store: Store, clock: ManualClock, put: Put, change: str | None = None) -> int:
    """The version of an item that is put."""
    (version,) = await done(store, writing(clock.now(), put, change=change))
    return version


async def under(store: Store, session_id: str) -> list[str]:
    """The names of what lies under an id."""
    loaded = await ask(store, Load((), session_id), Loaded)
    return [item.key.removeprefix(f"{session_id}/") for item in loaded.under]


class Items(Suite):
    """Writing, reading, guards."""

    async def test_reads_back_whole(self, store: Store, clock: ManualClock) -> None:
        put = Put(KEY, bytes(range(256)), owner="安", expires=clock.now() + 7)
        version = await written(store, clock, put, change="first")
        assert await item_of(store, KEY) == Item(KEY, put.data or b"", version, ("first",), "安", put.expires)
        assert await the_log(store) == []

    async def test_replaced_whole(self, store: Store, clock: ManualClock) -> None:
        await written(store, clock, Put(KEY, b"old", owner="ann", expires=clock.now() + 7), "first")
        version = await written(store, clock, Put(KEY, b"new"), "second")
        assert await item_of(store, KEY) == Item(KEY, b"new", version, ("first", "second"))
        assert await everything(store, "item owner", "ann") == []

    async def test_deleted(self, store: Store, clock: ManualClock) -> None:
        first = await written(store, clock, Put(KEY, b"x", owner="ann"))
        assert await written(store, clock, Put(KEY, None)) == 0
        assert await item_of(store, KEY) is None
        assert await everything(store, "item owner", "ann") == []
        assert await written(store, clock, Put(KEY, None)) == 0
        assert await written(store, clock, Put(KEY, b"again")) > first

    @pytest.mark.parametrize(
        ("guard", "there", "right", "why"),
        [
            (Guard.ANY, False, True, None),
            (Guard.ANY, True, False, None),
            (Guard.ABSENT, False, True, None),
            (Guard.ABSENT, True, True, Why.STALE),
            (Guard.VERSION, False, True, Why.MISSING),
            (Guard.VERSION, True, True, None),
            (Guard.VERSION, True, False, Why.STALE),
            (Guard.SAME, False, True, Why.MISSING),
            (Guard.SAME, True, True, None),
            (Guard.SAME, True, False, Why.STALE),
        ],
    )
    @pytest.mark.parametrize("data", [b"new", None], ids=["write", "delete"])
    async def test_guards(  # noqa: PLR0917 - what pytest's parameters name
        self,
        store: Store,
        clock: ManualClock,
        guard: Guard,
        there: bool,  # noqa: FBT001
        right: bool,  # noqa: FBT001
        why: Why | None,
        data: bytes | None,
    ) -> None:
        version = await written(store, clock, Put(KEY, b"old")) if there else 7
        before = await item_of(store, KEY)
        commit = writing(clock.now(), Put(KEY, data, guard, version + (not right)))
        if why is not None:
            assert await refused(store, commit, why) == before
            assert await item_of(store, KEY) == before
            return
        (number,) = await done(store, commit)
        after = await item_of(store, KEY)
        assert (after.data, after.version) == (b"new", number) if after else (data, number) == (None, 0)

    async def test_expired_counts_as_absent_and_reads_until_purged(self, store: Store, clock: ManualClock) -> None:
        version = await written(store, clock, Put(KEY, b"old", expires=clock.now() + 5))
        clock.set(clock.now() + 5)
        old = await item_of(store, KEY)
        assert old is not None
        await refused(store, writing(clock.now(), Put(KEY, b"new", Guard.VERSION, version)), Why.MISSING)
        await done(store, writing(clock.now(), Put(KEY, b"new", Guard.ABSENT)))
        new = await item_of(store, KEY)
        assert new is not None
        assert (new.data, new.expires) == (b"new", NEVER)
        await store.apply([Purge(clock.now() + 100)])
        assert await item_of(store, KEY) == new

    async def test_same_version_is_sealed_anew(self, store: Store, clock: ManualClock) -> None:
        """Its holders notice nothing: version and changes stay, also of what has expired and lies there still."""
        version = await written(store, clock, Put(KEY, b"old", owner="ann", expires=clock.now() + 5), "first")
        clock.set(clock.now() + 5)
        before = await item_of(store, KEY)
        assert before is not None
        anew = Put(KEY, b"new", Guard.SAME, version, before.owner, before.expires)
        assert await written(store, clock, anew, "second") == version
        assert await item_of(store, KEY) == Item(KEY, b"new", version, ("first",), "ann", before.expires)

    async def test_several_all_or_none(self, store: Store, clock: ManualClock) -> None:
        await written(store, clock, Put("b/2", b"there"))
        commit = writing(clock.now(), Put("b/1", b"x"), Put("b/2", b"x", Guard.ABSENT), Put("b/3", b"x"))
        await refused(store, commit, Why.STALE)
        assert [item.key for item in await everything(store, "item", "b/")] == ["b/2"]

    async def test_none_of_its_record(self, store: Store, clock: ManualClock) -> None:
        """A key with a slash is an item, without one it is a session."""
        record = await opened(store, session("one", clock.now()))
        await written(store, clock, Put(f"{record.id}/", b"x"))
        loaded = await ask(store, Load((record.id, f"{record.id}/")), Loaded)
        assert isinstance(loaded.found[0], Record)
        assert isinstance(loaded.found[1], Item)


class ItemRepeats(Suite):
    """An item remembers its last eight changes."""

    async def test_sent_again_is_done(self, store: Store, clock: ManualClock) -> None:
        commit = writing(clock.now(), Put(KEY, b"x", Guard.ABSENT))
        versions = await done(store, commit)
        assert await done(store, commit) == versions

    async def test_last_eight_and_no_more(self, store: Store, clock: ManualClock) -> None:
        changes = [fresh_change() for _ in range(9)]
        for change in changes:
            await written(store, clock, Put(KEY, change.encode()), change)
        item = await item_of(store, KEY)
        assert item is not None
        assert item.changes == tuple(changes[1:])
        for change in changes[1:-1]:
            # Done, but the version is somebody else's: who wrote it may not write over what came after.
            assert await written(store, clock, Put(KEY, b"again", Guard.ABSENT), change) == 0
        assert await written(store, clock, Put(KEY, b"again", Guard.ABSENT), changes[-1]) == item.version
        assert await item_of(store, KEY) == item
        forgotten = writing(clock.now(), Put(KEY, b"again", Guard.ABSENT), change=changes[0])
        assert await refused(store, forgotten, Why.STALE) == item

    async def test_of_a_record_with_items(self, store: Store, clock: ManualClock) -> None:
        """What was changed together is recognised by whatever remembers it."""
        record = await opened(store, session("one", clock.now()))
        commit = update(
            record.id, clock.now(), Put(f"{record.id}/a", b"1"), version=record.version, event=EventType.UPDATED
        )
        await done(store, commit)
        await done(store, update(record.id, clock.now(), data=b"later"))
        log = await the_log(store)
        await done(store, commit)
        assert await the_log(store) == log
        after = await record_of(store, record.id)
        assert after is not None
        assert after.data == b"later"


class UnderAnId(Suite):
    """Items that lie with a session."""

    async def test_in_the_order_of_their_keys(self, store: Store, clock: ManualClock) -> None:
        record = await opened(store, session("one", clock.now()))
        names = ["b", "a/2", "a", "安", "Z", "", "a/10"]
        await done(store, writing(clock.now(), *(Put(f"{record.id}/{name}", b"x") for name in names)))
        await written(store, clock, Put(f"{sid('two')}/a", b"x"))
        assert await under(store, record.id) == sorted(names)

    async def test_need_no_record(self, store: Store, clock: ManualClock) -> None:
        await written(store, clock, Put(f"{sid('one')}/a", b"x"))
        assert await under(store, sid("one")) == ["a"]

    async def test_up_to_one_mebibyte(self, store: Store, clock: ManualClock) -> None:
        size = 256 * 1024
        for name in "abcd":
            await written(store, clock, Put(f"{sid('one')}/{name}", bytes(size)))
        loaded = await ask(store, Load((), sid("one")), Loaded)
        assert (len(loaded.under), loaded.more) == (4, False)
        await written(store, clock, Put(f"{sid('one')}/e", b"x"))
        loaded = await ask(store, Load((), sid("one")), Loaded)
        assert (len(loaded.under), loaded.more) == (4, True)

    async def test_one_that_is_larger_comes_alone(self, store: Store, clock: ManualClock) -> None:
        await written(store, clock, Put(f"{sid('one')}/a", bytes((1 << 20) + 1)))
        loaded = await ask(store, Load((), sid("one")), Loaded)
        assert (len(loaded.under), loaded.more) == (1, False)
        await written(store, clock, Put(f"{sid('one')}/b", b"x"))
        loaded = await ask(store, Load((), sid("one")), Loaded)
        assert ([item.key for item in loaded.under], loaded.more) == ([f"{sid('one')}/a"], True)

    async def test_more_than_a_page_of_small_ones(self, store: Store, clock: ManualClock) -> None:
        names = [f"{place:03}" for place in range(200)]
        await done(store, writing(clock.now(), *(Put(f"{sid('one')}/{name}", b"x") for name in names)))
        assert await under(store, sid("one")) == names

    async def test_stay_when_it_ends(self, store: Store, clock: ManualClock) -> None:
        record = session("one", clock.now())
        await opened(store, record)
        await written(store, clock, Put(f"{record.id}/a", b"x"))
        await ended(store, end(record.id, ending(clock.now())))
        assert await under(store, record.id) == ["a"]

    async def test_go_when_it_is_replaced(self, store: Store, clock: ManualClock) -> None:
        record = await opened(store, session("one", clock.now()))
        await done(
            store, writing(clock.now(), *(Put(f"{record.id}/{place}", b"x", owner="ann") for place in range(130)))
        )
        await ended(store, end(record.id, ending(clock.now())))
        assert len(await under(store, record.id)) == 130
        await opened(store, session("one", clock.now()))
        assert await under(store, record.id) == []
        assert await everything(store, "item owner", "ann") == []

    @pytest.mark.parametrize("guard", [Guard.ANY, Guard.ABSENT])
    async def test_put_with_the_record_that_replaces(self, store: Store, clock: ManualClock, guard: Guard) -> None:
        record = await opened(store, session("one", clock.now()))
        await done(
            store, writing(clock.now(), Put(f"{record.id}/a", b"old"), Put(f"{record.id}/b", b"old", owner="ann"))
        )
        await ended(store, end(record.id, ending(clock.now())))
        await done(store, opening(session("one", clock.now()), Put(f"{record.id}/a", b"new", guard)))
        loaded = await ask(store, Load((), record.id), Loaded)
        assert [(item.key, item.data) for item in loaded.under] == [(f"{record.id}/a", b"new")]
        assert len(loaded.under[0].changes) == 1

    async def test_go_when_it_is_purged(self, store: Store, clock: ManualClock) -> None:
        record = await opened(store, session("one", clock.now(), keep=0.0))
        await done(store, writing(clock.now(), Put(f"{record.id}/a", b"x"), Put("other/a", b"x")))
        await ended(store, end(record.id, ending(clock.now())))
        await store.apply([Purge(clock.now(), record.kind)])
        assert await under(store, record.id) == []
        assert await item_of(store, "other/a") is not None


class ItemPages(Suite):
    """Items by prefix and by owner."""

    async def test_by_prefix(self, store: Store, clock: ManualClock) -> None:
        keys = ["a/1", "a/10", "a/2", "ab/1", "b/1"]
        await done(store, writing(clock.now(), *(Put(key, b"x") for key in reversed(keys))))
        assert [item.key for item in await everything(store, "item", "a/")] == keys[:3]
        assert [item.key for item in await everything(store, "item", "a/1")] == keys[:2]
        assert [item.key for item in await everything(store, "item", "a", most=2)] == keys[:4]
        assert await everything(store, "item", "c/") == []

    async def test_prefix_is_no_pattern(self, store: Store, clock: ManualClock) -> None:
        await done(store, writing(clock.now(), *(Put(key, b"x") for key in ("a_b/1", "axb/1", "a%/1", "A_b/1"))))
        assert [item.key for item in await everything(store, "item", "a_")] == ["a_b/1"]
        assert [item.key for item in await everything(store, "item", "a%")] == ["a%/1"]

    async def test_by_owner(self, store: Store, clock: ManualClock) -> None:
        for place in range(5):
            await written(store, clock, Put(f"m/ann/{place}", b"x", owner="ann"))
        await written(store, clock, Put("m/bob/1", b"x", owner="bob"))
        await written(store, clock, Put("m/none/1", b"x"))
        assert [item.key[-1] for item in await everything(store, "item owner", "ann", most=2)] == list("01234")
        assert await everything(store, "item owner", "nobody") == []

    async def test_change_of_owner(self, store: Store, clock: ManualClock) -> None:
        await written(store, clock, Put(KEY, b"x", owner="ann"))
        await written(store, clock, Put(KEY, b"x", owner="bob"))
        assert await everything(store, "item owner", "ann") == []
        assert len(await everything(store, "item owner", "bob")) == 1

    async def test_last_page_says_so(self, store: Store, clock: ManualClock) -> None:
        await done(store, writing(clock.now(), Put("a/1", b"x"), Put("a/2", b"x")))
        assert (await ask(store, Find("item", "a/", most=2), Found)).after is None
        first = await ask(store, Find("item", "a/", most=1), Found)
        assert first.after is not None
        second = await ask(store, Find("item", "a/", after=first.after, most=1), Found)
        assert [item.key for item in second.entries if isinstance(item, Item)] == ["a/2"]
        assert second.after is None

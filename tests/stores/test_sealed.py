"""A sealed store against whoever reads or changes what lies below it."""

from __future__ import annotations

import logging
import os
import struct
from pathlib import Path
from typing import Final

import pytest
from msgspec.structs import replace

from insession.errors import ConfigurationError, DataUnreadable, StoreUnavailable
from insession.kernel.codec import decode, encode
from insession.kernel.contract import Store
from insession.kernel.operations import (
    Acquire,
    Commit,
    Done,
    Ends,
    Fence,
    Find,
    Found,
    Granted,
    Guard,
    Load,
    Loaded,
    Patch,
    Put,
    Refused,
    Release,
    Renew,
    Waiting,
    Why,
)
from insession.kernel.record import Item, Record
from insession.stores.memory import MemoryStore
from insession.stores.sealed import Keys, SealedStore, Unreadable
from insession.stores.sealed.seals import ITEM, NOTE, OVERHEAD, RECORD, Seals
from insession.stores.sqlite import SQLiteStore
from insession.testing.clock import ManualClock
from insession.testing.contract.samples import (
    ask,
    done,
    end,
    ending,
    expire,
    item_of,
    opened,
    opening,
    refused,
    session,
    sid,
    the_record,
    update,
    writing,
)
from tests.damage import overwrite

pytestmark = pytest.mark.requirement("M93")

SECRET: Final = b"the plaintext of these tests"
ONE: Final = sid("one")
TWO: Final = sid("two")
KEY: Final = "memory/ann"
LEASE: Final = "report"
RING: Final = Keys({2: os.urandom(32), 1: os.urandom(32)})


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def inner(clock: ManualClock) -> MemoryStore:
    return MemoryStore(clock=clock)


@pytest.fixture
def store(inner: MemoryStore) -> SealedStore:
    return SealedStore(inner, RING)


async def fill(store: Store, clock: ManualClock) -> None:
    """A session, an item and the note of who waits, each with the secret."""
    now = clock.now()
    await opened(store, session("one", now, owner="ann", data=SECRET))
    await opened(store, session("two", now, data=b"opened"))
    await done(store, update(TWO, now, Put(f"{TWO}/draft", SECRET), data=SECRET))
    await done(store, writing(now, Put(KEY, SECRET)))
    await ask(store, Acquire(LEASE, "holder", now, 60.0), Granted)
    await ask(store, Acquire(LEASE, "waiter", now, 60.0, note=SECRET), Waiting)


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


async def problem_of(store: Store, session_id: str) -> str:
    data = (await the_record(store, session_id)).data
    assert isinstance(data, Unreadable)
    return data.problem


class TestNothingLiesInTheClear:
    async def test_in_the_store_below(self, inner: MemoryStore, store: SealedStore, clock: ManualClock) -> None:
        owned = sid("one", "ann")
        await fill(store, clock)
        loaded = await ask(inner, Load((owned, TWO, f"{TWO}/draft", KEY)), Loaded)
        holder = Fence(LEASE, "holder", (await ask(inner, Acquire(LEASE, "holder", clock.now(), 60.0), Granted)).token)
        notes = (await ask(inner, Renew(holder, clock.now(), 60.0, take=True), Granted)).notes
        kept = [*(one.data for one in loaded.found if one is not None), *notes]
        assert [len(data) - OVERHEAD for data in kept] == [len(SECRET)] * 5
        assert not any(SECRET in data for data in kept)
        assert len({data[8:20] for data in kept}) == 5  # a nonce of its own for each
        found = await ask(store, Load((owned, TWO, f"{TWO}/draft", KEY)), Loaded)
        assert [one and one.data for one in found.found] == [SECRET] * 4
        assert (await ask(store, Renew(holder, clock.now(), 60.0, take=True), Granted)).notes == (SECRET,)

    async def test_in_the_files_of_sqlite(self, tmp_path: Path, clock: ManualClock) -> None:
        store = SealedStore(SQLiteStore(tmp_path / "store.db", clock=clock), RING)
        await store.open()
        await fill(store, clock)
        files = contents(tmp_path)
        await store.close()
        assert {"store.db", "store.db-wal"} <= files.keys()
        assert not any(SECRET in content for content in [*files.values(), *contents(tmp_path).values()])

    async def test_the_search_for_it_would_find_it(self, tmp_path: Path, clock: ManualClock) -> None:
        store = SQLiteStore(tmp_path / "store.db", clock=clock)
        await store.open()
        await fill(store, clock)
        content = b"".join(contents(tmp_path).values())
        assert content.count(SECRET) >= 5
        await store.close()


class TestEveryAnswerIsOpened:
    async def test_page_of_records_and_of_items(self, store: SealedStore, clock: ManualClock) -> None:
        await fill(store, clock)
        records = (await ask(store, Find("all"), Found)).entries
        items = (await ask(store, Find("item", ""), Found)).entries
        leases = (await ask(store, Find("lease", ""), Found)).entries
        assert [one.data for one in records + items if isinstance(one, Record | Item)] == [SECRET] * 4
        assert len(leases) == 1
        assert (await ask(store, Find("all", kind="none"), Found)).entries == ()

    async def test_what_stands_in_the_way(self, store: SealedStore, clock: ManualClock) -> None:
        await fill(store, clock)
        record = await refused(store, update(TWO, clock.now(), version=99), Why.STALE)
        item = await refused(store, writing(clock.now(), Put(KEY, b"x", Guard.ABSENT)), Why.STALE)
        assert record is not None
        assert item is not None
        assert (record.data, item.data) == (SECRET, SECRET)

    async def test_inline(self, store: SealedStore, clock: ManualClock) -> None:
        await fill(store, clock)
        record = store.record_now(TWO)
        assert record is not None
        assert record.data == SECRET
        assert store.apply_now(Load((TWO,), TWO)) == (await store.apply([Load((TWO,), TWO)]))[0]
        assert store.record_now(sid("none")) is None

    async def test_notes_at_the_grant(self, store: SealedStore, clock: ManualClock) -> None:
        await fill(store, clock)
        await ask(store, Acquire(LEASE, "empty", clock.now(), 60.0, note=b""), Waiting)
        assert (await ask(store, Acquire(LEASE, "holder", clock.now(), 60.0, take=True), Granted)).notes == (
            SECRET,
            b"",
        )

    async def test_record_of_the_caller_stays_clear(self, store: SealedStore, clock: ManualClock) -> None:
        commit = opening(session("one", clock.now(), data=SECRET))
        part = commit.patches[0]
        assert isinstance(part, Patch)
        assert part.record is not None
        await ask(store, commit, Done)
        assert (part.record.data, commit.patches[0]) == (SECRET, part)


class TestWhatWasChangedIsNoticed:
    @pytest.mark.parametrize("pair", [(ONE, TWO), ("a/1", "a/2"), (ONE, "a/1"), (ONE, f"{ONE}/x")])
    async def test_two_that_changed_places(
        self, inner: MemoryStore, store: SealedStore, clock: ManualClock, pair: tuple[str, str]
    ) -> None:
        await opened(store, session("one", clock.now(), data=b"1"))
        await opened(store, session("two", clock.now(), data=b"2"))
        await done(store, writing(clock.now(), *(Put(key, b"x") for key in ("a/1", "a/2", f"{ONE}/x"))))
        before = (await ask(inner, Load(pair), Loaded)).found
        assert all(before)
        for name, one in zip(pair, reversed(before), strict=True):
            assert one is not None
            await overwrite(inner, name, one.data)
        after = (await ask(store, Load(pair), Loaded)).found
        assert [type(one.data) for one in after if one is not None] == [Unreadable, Unreadable]

    async def test_note_of_another_lease(self, inner: MemoryStore, store: SealedStore, clock: ManualClock) -> None:
        now, seals = clock.now(), Seals(RING)
        await ask(inner, Acquire("b", "holder", now, 60.0), Granted)
        await ask(inner, Acquire("b", "w1", now, 60.0, note=seals.seal(NOTE, "a", SECRET)), Waiting)
        await ask(inner, Acquire("b", "w2", now, 60.0, note=seals.seal(NOTE, "b", SECRET)), Waiting)
        notes = (await ask(store, Acquire("b", "holder", now, 60.0, take=True), Granted)).notes
        assert [type(note) for note in notes] == [Unreadable, bytes]

    @pytest.mark.parametrize("place", [0, 1, 2, 5, 6, 7, 8, 19, 20, -17, -16, -1])
    def test_one_bit(self, place: int) -> None:
        seals = Seals(RING)
        sealed = bytearray(seals.seal(RECORD, ONE, SECRET))
        sealed[place] ^= 1
        assert type(seals.open(RECORD, ONE, bytes(sealed))) is Unreadable

    def test_one_cut_short(self) -> None:
        seals = Seals(RING)
        sealed = seals.seal(ITEM, KEY, b"x")
        assert len(sealed) == OVERHEAD + 1
        for size in range(len(sealed)):
            assert type(seals.open(ITEM, KEY, sealed[:size])) is Unreadable

    @pytest.mark.parametrize(("word", "name"), [(RECORD, KEY), (NOTE, KEY), (ITEM, "memory/an"), (ITEM, "memory/annn")])
    def test_another_place(self, word: bytes, name: str) -> None:
        seals = Seals(RING)
        sealed = seals.seal(ITEM, KEY, SECRET)
        assert seals.open(ITEM, KEY, sealed) == SECRET
        assert type(seals.open(word, name, sealed)) is Unreadable


class TestKinds:
    async def test_data_of_another_kind_does_not_open(
        self, inner: MemoryStore, store: SealedStore, clock: ManualClock
    ) -> None:
        await fill(store, clock)
        owned = sid("one", "ann")
        sealed = (await the_record(inner, owned)).data
        other = await opened(inner, session("other", clock.now(), kind="other", data=sealed))
        await overwrite(inner, owned, sealed)
        assert (await the_record(store, owned)).data == SECRET
        assert type(Seals(RING).open(RECORD, owned, sealed, other.kind)) is Unreadable

    async def test_a_bound_value_is_not_turned_into_an_unbound_one(
        self, inner: MemoryStore, clock: ManualClock
    ) -> None:
        store = SealedStore(inner, RING)
        await opened(store, session("one", clock.now(), data=SECRET))
        sealed = (await the_record(inner, ONE)).data
        await overwrite(inner, ONE, sealed[:1] + b"\x02" + sealed[2:])
        assert "changed or moved" in await problem_of(store, ONE)


class TestRings:
    async def test_all_open_and_the_first_seals(self, inner: MemoryStore, clock: ManualClock) -> None:
        old, new = Keys({1: RING._ring[1]}), RING
        await opened(SealedStore(inner, old), session("one", clock.now(), data=SECRET))
        store = SealedStore(inner, new)
        assert (await the_record(store, ONE)).data == SECRET
        await done(store, update(ONE, clock.now(), data=b"new"))
        sealed = (await the_record(inner, ONE)).data
        assert struct.unpack_from(">BBIH", sealed) == (0xC1, 2, 2, 0)  # this patch names no kind
        assert await problem_of(SealedStore(inner, old), ONE) == "key 2 is not in the ring"

    async def test_other_key_of_the_same_number(self, inner: MemoryStore, clock: ManualClock) -> None:
        """Its store does not open: it would seal what nobody else can open."""
        first = SealedStore(inner, Keys.generate())
        await first.open()
        await opened(first, session("one", clock.now(), data=SECRET))
        stranger = SealedStore(inner, Keys.generate())
        with pytest.raises(DataUnreadable, match="key 1 of the ring is not the key 1 of this store"):
            await stranger.open()
        assert stranger.record_now(ONE) is not None
        found = Seals(stranger.keys).open(RECORD, ONE, (await the_record(inner, ONE)).data)
        assert isinstance(found, Unreadable)
        assert found.problem == "it was changed or moved, or key 1 of the ring is not what sealed it"
        assert not found.broken

    @pytest.mark.parametrize(
        ("value", "problem"),
        [
            (encode({"a": 1}), "it is not sealed"),
            (b"", "it is not sealed"),
            (b"\xc1\x01", "it is not sealed"),
            (struct.pack(">BBIH", 0xC1, 3, 2, 0), "it is sealed in format 3, which is not known here"),
            (struct.pack(">BBIH", 0xC1, 1, 7, 0), "key 7 is not in the ring"),
            (encode({"a": 1}, version=3), "it is not sealed"),
        ],
    )
    def test_problem_by_its_name(self, value: bytes, problem: str) -> None:
        found = Seals(RING).open(RECORD, ONE, value)
        assert isinstance(found, Unreadable)
        assert found.problem == problem

    async def test_given_as_text_or_not_at_all(self, inner: MemoryStore) -> None:
        assert SealedStore(inner, RING.text()).keys.numbers == (2, 1)
        with pytest.raises(ConfigurationError, match=r"keys: is a ring of keys, its text, .*, not bytes"):
            SealedStore(inner, b"key")  # type: ignore[arg-type]
        store = SealedStore(inner)
        for ask_early in (lambda: store.keys, lambda: store.apply_now(Load((ONE,)))):
            with pytest.raises(StoreUnavailable, match="not open"):
                ask_early()

    async def test_found_when_it_is_opened(
        self, inner: MemoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("INSESSION_KEYS", raising=False)
        monkeypatch.setenv("INSESSION_STATE_DIR", str(tmp_path))
        store = SealedStore(inner)
        await store.open()
        assert (store.keys.source, store.keys.made, store.keys.path) == ("file", True, tmp_path / "keys")


class TestUnreadable:
    """One that cannot be opened harms nobody else, and can be ended like any other."""

    @pytest.fixture
    async def broken(self, inner: MemoryStore, store: SealedStore, clock: ManualClock) -> SealedStore:
        await opened(store, session("one", clock.now(), data=SECRET))
        await opened(store, session("two", clock.now(), data=SECRET))
        await done(store, writing(clock.now(), Put(KEY, SECRET)))
        for name in (ONE, KEY):
            await overwrite(inner, name, b"\xc1\1\0\0\0\7\0\0")
        return store

    async def test_no_codec_decodes_it(self, broken: SealedStore) -> None:
        data = (await the_record(broken, ONE)).data
        for wanted in (None, dict, bytes, int):
            with pytest.raises(DataUnreadable):
                decode(data, wanted, ONE)

    async def test_its_neighbours_are_read(self, broken: SealedStore) -> None:
        loaded = await ask(broken, Load((ONE, TWO, KEY)), Loaded)
        page = await ask(broken, Find("all"), Found)
        assert [type(one.data) for one in loaded.found if one] == [Unreadable, bytes, Unreadable]
        assert {type(one.data) for one in page.entries if isinstance(one, Record)} == {Unreadable, bytes}
        alone, together = await broken.apply([Load((KEY,)), Load((TWO,))])
        assert isinstance(together, Loaded)
        assert isinstance(alone, Loaded)
        assert isinstance(alone.found[0], Item)
        assert type(alone.found[0].data) is Unreadable

    async def test_item_alone_says_why(self, broken: SealedStore) -> None:
        problem = f"data of '{KEY}' cannot be read: key 7 is not in the ring"
        with pytest.raises(DataUnreadable, match=problem):
            await item_of(broken, KEY)
        with pytest.raises(DataUnreadable, match=problem):
            broken.apply_now(Load((KEY,)))

    async def test_it_ends(self, broken: SealedStore, clock: ManualClock) -> None:
        stale = await refused(broken, update(ONE, clock.now(), version=99, data=b"x"), Why.STALE)
        assert stale is not None
        assert type(stale.data) is Unreadable
        assert (await ask(broken, end(ONE, ending(clock.now())), Ends)).ids == (ONE,)
        assert type((await the_record(broken, ONE)).data) is Unreadable

    async def test_it_expires(self, broken: SealedStore, clock: ManualClock) -> None:
        clock.set(clock.now() + 100.0)
        assert set((await ask(broken, expire(clock.now()), Ends)).ids) == {ONE, TWO}

    async def test_new_data_takes_its_place(self, broken: SealedStore, clock: ManualClock) -> None:
        await done(broken, update(ONE, clock.now(), data=b"new"))
        assert (await the_record(broken, ONE)).data == b"new"

    async def test_written_back_it_goes_as_it_lay_there(
        self, inner: MemoryStore, broken: SealedStore, clock: ManualClock
    ) -> None:
        record = await the_record(broken, ONE)
        await done(broken, update(ONE, clock.now(), version=record.version, data=record.data))
        assert (await the_record(inner, ONE)).data == b"\xc1\1\0\0\0\7\0\0"

    async def test_log_says_it_once(self, broken: SealedStore, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.ERROR, "insession.sealed"):
            for _ in range(3):
                await the_record(broken, ONE)
                broken.record_now(ONE)
        assert caplog.messages == [f"data of '{ONE}', and maybe more, cannot be read: key 7 is not in the ring"]

    async def test_note_that_is_not_sealed(self, inner: MemoryStore, store: SealedStore, clock: ManualClock) -> None:
        now = clock.now()
        await ask(inner, Acquire(LEASE, "holder", now, 60.0), Granted)
        await ask(inner, Acquire(LEASE, "waiter", now, 60.0, note=SECRET), Waiting)
        (note,) = (await ask(store, Acquire(LEASE, "holder", now, 60.0, take=True), Granted)).notes
        assert isinstance(note, Unreadable)
        assert note.problem == "it is not sealed"
        assert store.apply_now(Release(LEASE, "holder", now)) is not None


async def test_sealed_again_under_the_same_version(inner: MemoryStore, store: SealedStore, clock: ManualClock) -> None:
    """What a change of keys will do: new bytes, the same version, nothing in the log."""
    record = await opened(SealedStore(inner, Keys({1: RING._ring[1]})), session("one", clock.now(), data=SECRET))
    before = await the_record(store, ONE)
    cursor = (await store.events(None, 0, None)).cursor
    patch = Patch(ONE, Guard.SAME, before.version, data=before.data, kind=before.kind)
    answer = await ask(store, Commit(clock.now(), "rewrap", "node", (patch,)), Done)
    assert answer.versions == (record.version,)
    assert await the_record(store, ONE) == before
    assert (await the_record(inner, ONE)).data[:8] == struct.pack(">BBIH", 0xC1, 1, 2, 0)
    assert (await store.events(cursor, 10, None)).events == ()


async def test_operations_that_carry_no_data_pass_as_they_are(inner: MemoryStore, clock: ManualClock) -> None:
    store = SealedStore(inner, RING)
    await opened(store, session("one", clock.now(), data=SECRET))
    sealed = (await the_record(inner, ONE)).data
    record = await the_record(store, ONE)
    await done(store, update(ONE, clock.now(), version=record.version, fields={"touched": clock.now()}))
    assert (await the_record(inner, ONE)).data == sealed
    refusal = store.apply_now(Acquire(LEASE, "t", clock.now(), 60.0, again=True))
    assert refusal == Refused(Why.TAKEN)
    assert replace(record, data=b"") != record

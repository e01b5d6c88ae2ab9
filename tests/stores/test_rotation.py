"""Changing keys: rings that are read again, values sealed anew, and what lies there counted."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from insession import START, ConfigurationError, DataUnreadable, Engine, Kind, State, Store, connect
from insession.kernel.codec import decode, encode
from insession.kernel.operations import Put
from insession.kernel.record import CHECKS, Item, Record
from insession.kernel.sealing import MOST_PASSES, PAGE, Rewrapped, Unread, rewrap, rotate, verify
from insession.stores.memory import MemoryStore
from insession.stores.sealed import Keys, SealedStore, open_record
from insession.stores.sealed.seals import key_and_version
from insession.stores.sqlite import SQLiteStore
from insession.testing.clock import ManualClock, settle
from insession.testing.contract.samples import everything, writing
from insession.testing.faulty import FaultyStore
from tests.damage import flip, lying, overwrite

from .conftest import MAKERS

ONE, TWO, THREE = (os.urandom(32) for _ in range(3))
OLD = Keys({1: ONE})
BOTH = Keys({2: TWO, 1: ONE})
NEW = Keys({2: TWO})
SECRET = "hunter2"


class RingFile:
    """A file with a ring."""

    def __init__(self, path: Path) -> None:
        self.path: Path = path

    def write(self, text: str) -> None:
        draft = self.path.with_suffix(".new")
        draft.touch(0o600)
        draft.write_text(text)
        draft.rename(self.path)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def ring(tmp_path: Path) -> RingFile:
    file = RingFile(tmp_path / "ring")
    file.write(OLD.text())
    return file


@pytest.fixture(params=["inline", "batched"])
def below(request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock) -> Callable[[], Store]:
    """A store on the same data each time."""
    inline = request.param == "inline"
    return lambda: FaultyStore(SQLiteStore(tmp_path / "store.db", clock=clock), immediate=inline)


async def _keys(store: Store) -> list[int]:
    """The numbers of the keys of all that lies in the store below, but for the checks."""
    entries: list[Record | Item] = [*await everything(store, "all", state=None), *await everything(store, "item", "")]
    lying_there = [one for one in entries if isinstance(one, Record) or not one.key.startswith(CHECKS)]
    return sorted(key_and_version(one.data)[0] for one in lying_there)


class TestRingInARunningProcess:
    async def test_what_is_written_anyway_gets_the_current_key(self, clock: ManualClock) -> None:
        inner = MemoryStore(clock=clock)
        async with Engine(SealedStore(inner, OLD), clock=clock) as engine:
            one, two = await engine.open(data=SECRET), await engine.open(data=SECRET)
            await rotate(engine, BOTH.text())
            assert (await engine.get(one.id)).data == SECRET
            await one.touch()
            assert await _keys(inner) == [1, 1]  # reading, touching and ending write no data
            await one.update("new")
            await two.close()
            assert await _keys(inner) == [1, 2]
            assert [(await engine.get(each.id)).data for each in (one, two)] == ["new", SECRET]

    async def test_an_unknown_key_is_looked_for_before_data_is_unreadable(
        self, below: Callable[[], Store], clock: ManualClock, ring: RingFile, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with (
            Engine(SealedStore(below(), ring.path), clock=clock) as late,
            Engine(SealedStore(below(), BOTH), clock=clock) as early,
        ):
            session = await early.open(data=SECRET)
            with pytest.raises(DataUnreadable, match="key 2 is not in the ring"):
                _ = (await late.get(session.id)).data
            await settle()
            assert (await late.get(session.id)).state is State.ACTIVE
            ring.write(f"{OLD.text()},{NEW.text()}")
            assert (await late.get(session.id)).data == SECRET
            assert [one.data for one in (await late.find()).sessions] == [SECRET]
            ring.write("half a ri")
            await late.open(data=SECRET)
        assert SECRET not in caplog.text

    async def test_a_file_that_is_broken_changes_nothing(
        self, below: Callable[[], Store], clock: ManualClock, ring: RingFile, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with (
            Engine(SealedStore(below(), ring.path), clock=clock) as engine,
            Engine(SealedStore(below(), BOTH), clock=clock) as early,
        ):
            mine, foreign = await engine.open(data=SECRET), await early.open(data=SECRET)
            text = NEW.text()
            for written in (text[:-4], "", f"1:{text[2:]},2:{OLD.text()[2:]}"):
                ring.write(written)
                with pytest.raises(DataUnreadable):
                    _ = (await engine.get(foreign.id)).data
                await mine.update(lambda data: data)
                assert (await engine.get(mine.id)).data == SECRET
            async with asyncio.timeout(20.0):
                while "key 1 of the ring is not the key 1 of this store" not in caplog.text:
                    await settle()
            assert (await engine.get(mine.id)).data == SECRET
        assert "entry 1 is not" in caplog.text
        assert not any(part in caplog.text for part in (text[2:12], OLD.text()[2:12]))

    async def test_the_file_is_named_by_the_environment(
        self, ring: RingFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("INSESSION_KEYS", raising=False)
        monkeypatch.setenv("INSESSION_KEYS_FILE", str(ring.path))
        assert (Keys.found().numbers, Keys.found().path) == ((1,), ring.path)
        async with connect(f"sqlite:///{tmp_path / 'a.db'}", keys=ring.path) as engine:
            session = await engine.open(data=SECRET)
        async with connect(f"sqlite:///{tmp_path / 'a.db'}", keys=OLD) as engine:
            assert (await engine.get(session.id)).data == SECRET
        monkeypatch.setenv("INSESSION_KEYS_FILE", str(tmp_path / "none"))
        with pytest.raises(ConfigurationError, match="none: the keys cannot be read"):
            Keys.found()

    async def test_another_key_of_a_known_number_is_refused_by_name(self, clock: ManualClock) -> None:
        inner = MemoryStore(clock=clock)
        async with Engine(SealedStore(inner, BOTH), clock=clock) as engine:
            session = await engine.open(data=SECRET)
            with pytest.raises(DataUnreadable, match="key 2 of the ring is not the key 2 of this store"):
                await rotate(engine, Keys({2: THREE, 1: ONE}))
            await session.update("still")
            assert engine.store.keys.numbers == (2, 1)  # type: ignore[attr-defined]
            assert (await engine.get(session.id)).data == "still"
        with pytest.raises(DataUnreadable, match="key 2 of the ring is not the key 2 of this store"):
            async with Engine(SealedStore(inner, Keys({2: THREE})), clock=clock):
                pass
        with pytest.raises(ConfigurationError, match="keys: is a ring"):
            await rotate(engine, 7)


class TestRewrap:
    async def test_everything_in_every_state(self, store_name: str, clock: ManualClock, tmp_path: Path) -> None:
        inner = MAKERS[store_name](tmp_path, clock)
        kinds = [Kind("calls", recovery="keep")]  # its process is a node, which has data too
        async with Engine(SealedStore(inner, OLD), clock=clock, kinds=kinds, secret_owners=True) as engine:
            sessions = [await engine.open(kind="calls", owner=f"o{n % 7}", data={"n": n}) for n in range(PAGE + 9)]
            await sessions[0].close()
            await engine.interrupt(sessions[1].id)
            await sessions[2].items.put("draft", SECRET)
            version = await engine.items.put("memory/ann", SECRET, owner="ann", expires=5.0)
            clock.set(clock.now() + 6.0)
            number = PAGE + 9 + 1 + 2 + 1  # sessions, node, items, key of the owners' digests
            before = await verify(engine)
            assert (before.keys, before.versions, before.unreadable) == ({1: number}, {1: number}, 0)
            records = [(await engine.get(session.id)).record for session in sessions]
            log = [event.position for event in await engine.history(sessions[0].id)]
            await rotate(engine, BOTH)
            told: list[Rewrapped] = []
            done = await rewrap(engine, progress=told.append)
            assert done == Rewrapped(number, number, 0, 0, 2, finished=True)
            assert told[-1] == replace(done, finished=False)
            assert len(told) > 4
            after = await verify(engine)
            assert (after.keys, after.unreadable, after.named) == ({2: number}, 0, ())
            assert [(await engine.get(session.id)).record for session in sessions] == records
            assert log == [event.position for event in await engine.history(sessions[0].id)]
            item = await lying(inner, "memory/ann")
            assert isinstance(item, Item)
            assert (item.version, item.owner, item.expires < clock.now()) == (version, "ann", True)
            assert (await rewrap(engine)).done == 0
            assert (await engine.items.find(CHECKS))[0] == []

    async def test_stopped_in_the_middle_it_goes_on(self, clock: ManualClock) -> None:
        async with Engine(SealedStore(MemoryStore(clock=clock), OLD), clock=clock) as engine:
            for number in range(3 * PAGE):
                await engine.open(data=number)
            await rotate(engine, BOTH)

            def stop(told: Rewrapped) -> None:
                if told.done > PAGE:
                    raise KeyboardInterrupt

            with pytest.raises(KeyboardInterrupt):
                await rewrap(engine, progress=stop)
            assert (await verify(engine)).keys == {2: 2 * PAGE, 1: PAGE}
            assert (await rewrap(engine)).done == PAGE
            assert (await verify(engine)).keys == {2: 3 * PAGE}

    async def test_what_cannot_be_read_is_named_and_left(self, clock: ManualClock) -> None:
        inner = MemoryStore(clock=clock)
        async with Engine(SealedStore(inner, OLD), clock=clock) as engine:
            whole, flipped, clear, lacking = [await engine.open(data=SECRET) for _ in range(4)]
            await engine.items.put("memory/ann", SECRET)
            await flip(inner, flipped.id)
            await flip(inner, "memory/ann")
            await overwrite(inner, clear.id, b"clear")
            await overwrite(inner, lacking.id, b"\xc1\x01\0\0\0\x09\0\0" + bytes(40))
            lay = [(await lying(inner, one.id)).data for one in (flipped, clear, lacking)]
            await rotate(engine, BOTH)
            assert await rewrap(engine) == Rewrapped(1, 1, 4, 0, 2, finished=True)
            assert lay == [(await lying(inner, one.id)).data for one in (flipped, clear, lacking)]
            found = await verify(engine)
            assert (found.keys, found.unreadable) == ({2: 1}, 4)
            changed = "it was changed or moved, or sealed by a foreign key"
            assert sorted(found.named, key=lambda one: one.problem) == sorted(
                [
                    *(Unread(flipped.id, changed), Unread("memory/ann", changed)),
                    *(Unread(clear.id, "it is not sealed"), Unread(lacking.id, "key 9 is not in the ring")),
                ],
                key=lambda one: one.problem,
            )
            assert SECRET not in repr(found)
            assert (await engine.get(whole.id)).data == SECRET

    async def test_others_who_still_use_the_old_key_are_told(self, clock: ManualClock) -> None:
        inner = MemoryStore(clock=clock)
        async with (
            Engine(SealedStore(inner, BOTH), clock=clock) as engine,
            Engine(SealedStore(inner, Keys({1: ONE, 2: TWO})), clock=clock) as late,
        ):
            session = await late.open(data=0)
            assert (await rewrap(engine)).finished
            await (await late.get(session.id)).update(1)
            assert (await verify(engine)).keys == {1: 1}

            def again(told: Rewrapped) -> None:
                put = Put(f"memory/{told.passes}", encode(SECRET))
                late.store.apply_now(writing(0.0, put, change=f"again-{told.passes}"))

            done = await rewrap(engine, progress=again)
            assert (done.finished, done.missed, done.passes) == (False, 0, MOST_PASSES)

    async def test_only_of_stores_that_are_encrypted(self, clock: ManualClock) -> None:
        async with Engine(MemoryStore(clock=clock), clock=clock) as engine:
            for attempt in (rewrap, verify):
                with pytest.raises(ConfigurationError, match="not encrypted"):
                    await attempt(engine)


class TestBrokenAtRest:
    """Below an engine: what is proven to be broken is set aside, and everything else is read as before."""

    @pytest.fixture
    async def engine(self, below: Callable[[], Store], clock: ManualClock) -> AsyncIterator[Engine]:
        async with Engine(SealedStore(below(), OLD), clock=clock) as engine:
            yield engine

    async def test_a_flipped_bit_and_a_swapped_record(self, engine: Engine) -> None:
        inner: Store = engine.store.store  # type: ignore[attr-defined]
        flipped, one, two, good = [await engine.open(name=f"n{n}", data={"text": SECRET}) for n in range(4)]
        await flip(inner, flipped.id)
        first, second = (await lying(inner, one.id)).data, (await lying(inner, two.id)).data
        await overwrite(inner, one.id, second)
        await overwrite(inner, two.id, first)
        for session in (flipped, one, two):
            with pytest.raises(DataUnreadable, match="changed or moved") as raised:
                _ = (await engine.get(session.id)).data
            assert (raised.value.key, raised.value.broken) == (session.id, True)
            await _until_ended(engine, session.id)
            again = await engine.open(name=f"n{[flipped, one, two].index(session)}", data={"text": "anew"})
            assert (again.id, again.data) == (session.id, {"text": "anew"})
        assert (await engine.get(good.id)).data == {"text": SECRET}
        kept, _ = await engine.items.find("~unreadable/")
        assert {entry.data["session"] for entry in kept} == {flipped.id, one.id, two.id}
        # Put back in its place, with its key, it is as good as before.
        bytes_of_one = next(entry.data["data"] for entry in kept if entry.data["session"] == two.id)
        assert decode(open_record(OLD, one.id, one.kind, bytes_of_one), None, one.id) == {"text": SECRET}
        with pytest.raises(DataUnreadable):
            open_record(NEW, one.id, one.kind, bytes_of_one)

    async def test_a_foreign_key_under_a_known_number(self, engine: Engine, clock: ManualClock) -> None:
        other = MemoryStore(clock=clock)
        async with Engine(SealedStore(other, Keys({1: THREE})), clock=clock) as stranger:
            theirs = await stranger.open(name="x", data={"text": SECRET})
        mine = await engine.open(name="x", data={"text": "mine"})
        assert mine.id == theirs.id
        await overwrite(engine.store.store, mine.id, (await lying(other, mine.id)).data)  # type: ignore[attr-defined]
        with pytest.raises(DataUnreadable, match="foreign key"):
            _ = (await engine.get(mine.id)).data
        await _until_ended(engine, mine.id)

    async def test_a_key_that_the_store_has_not_confirmed_ends_nothing(self, clock: ManualClock) -> None:
        """The second key of this ring is not that of the store: what it fails to open is not proven broken."""
        inner = MemoryStore(clock=clock)
        async with Engine(SealedStore(inner, Keys({1: ONE, 5: TWO})), clock=clock) as engine:
            session = await engine.open(data=SECRET)
            sealed = bytearray((await lying(inner, session.id)).data)
            sealed[5] = 5
            await overwrite(inner, session.id, bytes(sealed))
            with pytest.raises(DataUnreadable, match="or key 5 of the ring is not what sealed it"):
                _ = (await engine.get(session.id)).data
            await settle()
            assert (await engine.get(session.id)).state is State.ACTIVE


async def _until_ended(engine: Engine, session_id: str) -> None:
    async with asyncio.timeout(20.0):
        async for event in engine.events(after=START, types={"interrupted"}):
            if event.id == session_id:
                assert event.reason == "data_unreadable"
                break
    assert (await engine.get(session_id)).state is State.INTERRUPTED

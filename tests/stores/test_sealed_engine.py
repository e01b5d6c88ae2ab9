"""Engines over sealed stores: what works on a clear one works here, and what cannot be read can still be ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final

import anyio
import pytest

from insession import Conflict, DataUnreadable, Engine, Interrupted, Kind, Limit, State, Store, connect
from insession.kernel.operations import Load, Loaded
from insession.kernel.urls import sealed
from insession.stores.memory import MemoryStore
from insession.stores.sealed import Keys, SealedStore
from insession.stores.sqlite import SQLiteStore
from insession.testing.clock import ManualClock, settle
from insession.testing.faulty import FaultyStore

pytestmark = pytest.mark.requirement("M93")

RING: Final = Keys.generate(number=7)
OTHER: Final = Keys.generate(number=8)
KINDS: Final = (Kind("call", idle=60.0, limits=(Limit(most=1, then="oldest"),)),)
SECRET: Final = "the plaintext of these tests"
Below = Callable[[], Store]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=["memory", "sqlite"])
def below(request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock) -> Below:
    """The store below: another instance on the same data each time."""
    memory = MemoryStore(clock=clock)
    return lambda: memory if request.param == "memory" else SQLiteStore(tmp_path / "store.db", clock=clock)


@pytest.fixture(params=["inline", "batched"])
async def engine(request: pytest.FixtureRequest, below: Below, clock: ManualClock) -> AsyncIterator[Engine]:
    store: Store = sealed(below(), RING)
    if request.param == "batched":
        store = FaultyStore(store)
    async with Engine(store, clock=clock, kinds=KINDS) as engine:
        yield engine


@pytest.fixture
async def stranger(engine: Engine, below: Below, clock: ManualClock) -> AsyncIterator[Engine]:
    """An engine whose ring lacks the key; it asks its store as the other one does."""
    store: Store = SealedStore(below(), OTHER)
    if isinstance(engine.store, FaultyStore):
        store = FaultyStore(store)
    async with Engine(store, clock=clock, kinds=KINDS) as stranger:
        yield stranger


class TestVerbs:
    async def test_open_update_and_get(self, engine: Engine) -> None:
        session = await engine.open(kind="call", data={"text": SECRET})
        assert session.version == (await engine.get(session.id)).version > 0
        assert await session.update(lambda data: data | {"step": 2}, touch=True, event=True) == {
            "text": SECRET,
            "step": 2,
        }
        assert (await engine.get(session.id)).data == {"text": SECRET, "step": 2}
        assert [one.data for one in (await engine.find(kind="call")).sessions] == [session.data]

    async def test_two_writers(self, engine: Engine) -> None:
        session = await engine.open(data={"n": 0})
        again = await engine.get(session.id)
        await again.update({"n": 1})
        with pytest.raises(Conflict):
            await session.update({"n": 5})
        assert await session.update(lambda data: {"n": data["n"] + 1}) == {"n": 2}

    async def test_interrupt_while_it_runs(self, engine: Engine) -> None:
        session = await engine.open(data={"text": SECRET})
        interrupting: list[asyncio.Task[bool]] = []
        with pytest.raises(Interrupted):
            async with session.running():
                interrupting.append(asyncio.create_task(engine.interrupt(session.id, "user_request")))
                await anyio.sleep_forever()
        assert await interrupting[0]
        after = await engine.get(session.id)
        assert (after.state, after.reason, after.data) == (State.INTERRUPTED, "user_request", {"text": SECRET})

    async def test_limit_and_expiry(self, engine: Engine, clock: ManualClock) -> None:
        first = await engine.open(kind="call", owner="ann", data={"n": 1})
        second = await engine.open(kind="call", owner="ann", data={"n": 2})
        assert (await engine.get(first.id)).reason == "limit"
        clock.set(clock.now() + 100.0)
        after = await engine.get(second.id)
        assert (after.state, after.data) == (State.EXPIRED, {"n": 2})

    async def test_named_ones_are_opened_again(self, engine: Engine) -> None:
        first = await engine.open(name="x", data={"n": 1})
        await first.items.put("draft", SECRET)
        await first.close()
        second = await engine.open(name="x", data={"n": 2})
        assert (second.id, second.data, await second.items.get("draft")) == (first.id, {"n": 2}, None)

    async def test_items(self, engine: Engine) -> None:
        version = await engine.items.put("memory/ann", {"text": SECRET}, owner="ann")
        with pytest.raises(Conflict):
            await engine.items.put("memory/ann", "late", version=version + 1)
        entry = await engine.items.get("memory/ann")
        assert entry is not None
        assert (entry.data, entry.version) == ({"text": SECRET}, version)
        assert [one.data for one in (await engine.items.find("memory/"))[0]] == [{"text": SECRET}]

    async def test_note_of_a_lock(self, engine: Engine) -> None:
        async with engine.lock("turn") as lock:
            waiting = engine.lock("turn", note=SECRET.encode(), wait=None)
            entering = asyncio.create_task(waiting.__aenter__())
            await settle(20)
            assert await lock.take() == (SECRET.encode(),)
            entering.cancel()
            await asyncio.wait([entering])


class TestWrongRing:
    async def test_reading_says_so(self, engine: Engine, stranger: Engine, caplog: pytest.LogCaptureFixture) -> None:
        session = await engine.open(data={"text": SECRET})
        await engine.items.put("memory/ann", SECRET)
        there = await stranger.get(session.id)
        with pytest.raises(DataUnreadable, match=session.id):
            _ = there.data
        with pytest.raises(DataUnreadable, match="key 7 is not in the ring"):
            await stranger.items.get("memory/ann")
        with pytest.raises(DataUnreadable, match=session.id):
            await there.update(lambda data: data)
        assert caplog.messages == [f"data of '{session.id}', and maybe more, cannot be read: key 7 is not in the ring"]

    async def test_one_bad_record_fails_no_page(self, engine: Engine, stranger: Engine) -> None:
        sealed_by_others = await engine.open(owner="ann", data={"n": 1})
        mine = await stranger.open(owner="ann", data={"n": 2})
        page = (await stranger.find(owner="ann")).sessions
        assert {one.id for one in page} == {sealed_by_others.id, mine.id}
        assert [one.data for one in page if one.id == mine.id] == [{"n": 2}]

    async def test_it_is_ended_followed_and_written_over(
        self, engine: Engine, stranger: Engine, clock: ManualClock
    ) -> None:
        one, two, three = [await engine.open(data={"n": n}) for n in range(3)]
        handle = await stranger.get(one.id)
        flags = [handle.interrupted]
        assert await stranger.interrupt(one.id, "user_request")
        assert [*flags, handle.interrupted] == [False, True]
        await (await stranger.get(two.id)).touch()
        assert await stranger.close(two.id)
        await stranger.update(three.id, {"n": "new"})
        assert (await stranger.get(three.id)).data == {"n": "new"}
        idle = await engine.open(kind="call", data={"text": SECRET})
        clock.set(clock.now() + 100.0)
        assert not await stranger.interrupt(idle.id)
        assert (await stranger.get(idle.id)).state is State.EXPIRED


async def test_by_url_and_text(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'store.db'}"
    async with connect(url, keys=RING.text()) as engine:
        session = await engine.open(data={"text": SECRET})
    async with connect(url, keys=f"{OTHER.text()},{RING.text()}") as engine:
        assert (await engine.get(session.id)).data == {"text": SECRET}
    async with connect(url) as engine:
        loaded = (await engine.store.apply([Load((session.id,))]))[0]
        assert isinstance(loaded, Loaded)
        assert loaded.found[0] is not None
        assert SECRET.encode() not in loaded.found[0].data
        # Nobody takes what is sealed for data.
        with pytest.raises(DataUnreadable):
            _ = (await engine.get(session.id)).data


@pytest.mark.parametrize("keys", [OTHER, Keys.generate(number=7)])
async def test_key_of_the_owners_digests_is_missed_at_once(tmp_path: Path, keys: Keys) -> None:
    """It lies in the store like any item: without it every owner would be another one."""
    url = f"sqlite:///{tmp_path / 'store.db'}"
    async with connect(url, keys=RING) as engine:
        await engine.open(owner="ann")
    with pytest.raises(DataUnreadable, match="key 7"):
        async with connect(url, keys=keys):
            pass


async def test_who_has_no_keys_is_told_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    url, keys = f"sqlite:///{tmp_path}/store.db", Keys.generate(number=1)
    for given, warned in ((None, 0), (keys, 0), (None, 1)):
        async with connect(url, keys=given):
            pass
        assert sum("no keys are given" in one.message for one in caplog.records) == warned

"""Carrying a store to another one: what fits together, what is carried, and that a stop anywhere harms nothing."""

from __future__ import annotations

import asyncio
from itertools import count
from typing import Any

import pytest

from insession import ConfigurationError, Engine, LockLost, StoreError, StoreMoved, StoreUnavailable, connect
from insession.kernel.events import START
from insession.kernel.kinds import Kind
from insession.kernel.moving import Copied, copy, copy_between
from insession.kernel.operations import Find, Mark, Marked, Standing
from insession.kernel.record import NODE_KIND
from insession.stores.memory import MemoryStore
from insession.testing.clock import ManualClock, settle
from insession.testing.contract.samples import everything, update
from insession.testing.faulty import Fault, FaultyStore

NAMES = ("old", "new")
KINDS = (Kind("keeps", recovery="keep"), Kind("chat"))


async def contents(store: Any) -> list[Any]:
    """All that a copy carries."""
    return [
        *await everything(store, "all", state=None),
        *await everything(store, "kind", NODE_KIND, state=None),
        *await everything(store, "item", ""),
    ]


async def populate(engine: Engine, number: int = 30) -> None:
    """Sessions in every state, nodes, items."""
    for place in range(number):
        session = await engine.open(kind=("chat", "keeps")[place % 2], owner=f"o{place % 3}", data=place)
        await session.items.put("below", place)
        await engine.items.put(f"memory/{place}", place, owner="ann")
        if place % 3 == 0:
            await session.close("done")


async def move(source: Any, target: Any, *, finish: bool = True) -> Copied:
    return await copy(source, target, finish=finish, names=NAMES)


async def stands(store: Any) -> Marked:
    (answer,) = await store.apply([Mark()])
    return answer  # type: ignore[no-any-return]


@pytest.fixture
def source(clock: ManualClock) -> MemoryStore:
    return MemoryStore(clock=clock)


@pytest.fixture
def target(clock: ManualClock) -> MemoryStore:
    return MemoryStore(clock=clock)


async def test_everything_is_carried(source: MemoryStore, target: MemoryStore, clock: ManualClock) -> None:
    async with Engine(source, clock=clock, kinds=KINDS) as engine:
        await populate(engine)
        copied = await move(source, target)
    assert await contents(target) == await contents(source)
    assert (copied.finished, copied.records, copied.items, copied.removed) == (True, 31, 60, 0)
    assert copied.written == 91
    async with Engine(target, clock=clock, kinds=KINDS) as engine:
        assert await engine.count() == 20
        session = await engine.open(kind="chat")
        assert session.version > max(one.version for one in await contents(source))


async def test_what_changes_meanwhile_is_carried_by_the_next_pass(
    source: MemoryStore, target: MemoryStore, clock: ManualClock
) -> None:
    async with Engine(source, clock=clock, kinds=KINDS) as engine:
        await populate(engine)
        await move(source, target, finish=False)
        (one, two, *_) = (await engine.find(owner="o2")).sessions
        clock.set(clock.now() + 1.0)
        await one.update("new")
        await engine.touch(two.id)
        await engine.items.delete("memory/1")
        await engine.erase("o1")
        again = await move(source, target, finish=False)
        assert again.written == 2
        assert again.removed == 21
        assert await contents(target) == await contents(source)
        assert (await stands(source)).standing is Standing.OPEN
        assert (await move(source, target)).written == 0


async def test_a_busy_source_is_not_waited_for(source: MemoryStore, target: MemoryStore, clock: ManualClock) -> None:
    async with Engine(source, clock=clock, kinds=KINDS) as engine:
        await populate(engine, 300)
        numbers = count()

        def write(so_far: Copied) -> None:
            if so_far.finished:
                return
            for session in (engine.store.apply_now(Find("kind", "chat", most=200))).entries:  # type: ignore[union-attr]
                engine.store.apply_now(_update(session.id, clock, next(numbers)))  # type: ignore[union-attr]

        copied = await copy(source, target, finish=True, names=NAMES, progress=write)
        assert copied.passes <= 10
        assert copied.finished
    assert await contents(target) == await contents(source)


def _update(session_id: str, clock: ManualClock, number: int) -> Any:
    return update(session_id, clock.now(), data=b"%d" % number)


async def test_a_moved_store_is_said_to_be_one(source: MemoryStore, target: MemoryStore, clock: ManualClock) -> None:
    async with Engine(source, clock=clock, kinds=KINDS) as engine:
        session = await engine.open(kind="chat")
        await move(source, target)
        for verb in (
            engine.open(kind="chat"),
            engine.open(kind="chat", name="a"),
            session.update(1),
            session.touch(),
            session.close(),
            engine.interrupt_all(),
            engine.items.put("a/b", 1),
            engine.lock("x").__aenter__(),
            engine.purge(),
        ):
            with pytest.raises(StoreMoved, match="has moved to new") as raised:
                await verb
            assert raised.value.store == "new"
        assert (await engine.get(session.id)).state == "active"
    with pytest.raises(StoreMoved):
        await Engine(source, clock=clock).__aenter__()


async def test_the_same_in_batches(source: MemoryStore, target: MemoryStore, clock: ManualClock) -> None:
    async with Engine(FaultyStore(source), clock=clock, kinds=KINDS) as engine:
        session = await engine.open(kind="chat")
        await move(source, target)
        with pytest.raises(StoreMoved):
            await engine.open(kind="chat", name="a")
        with pytest.raises(StoreMoved):
            await session.touch()
        assert (await engine.get(session.id)).state == "active"


async def test_a_store_that_is_being_filled_says_so(
    source: MemoryStore, target: MemoryStore, clock: ManualClock
) -> None:
    async with Engine(target, clock=clock) as early:
        await move(source, target, finish=False)
        with pytest.raises(StoreUnavailable, match="being filled from old") as raised:
            await early.open()
        assert not isinstance(raised.value, StoreMoved)
        with pytest.raises(StoreUnavailable, match="being filled from old"):
            await Engine(target, clock=clock).__aenter__()
        cursor = (await target.events(None, 1, None)).cursor
        await move(source, target)
        assert (await target.events(cursor, 1, None)).trimmed
        await early.open()


async def test_a_lock_is_not_carried(source: MemoryStore, target: MemoryStore, clock: ManualClock) -> None:
    async with Engine(source, clock=clock) as engine:
        with pytest.raises(LockLost):
            async with engine.lock("report", ttl=9.0) as lock:
                await move(source, target)
                with pytest.raises(StoreMoved):
                    await engine.items.put("report/1", 1, fence=lock.fence)
                for _ in range(10):
                    await clock.advance(1.0)
    async with Engine(target, clock=clock) as engine, engine.lock("report") as again:
        assert again.fence.token > lock.fence.token
        with pytest.raises(LockLost):
            await engine.items.put("report/1", 1, fence=lock.fence)


async def test_the_log_is_not_carried(source: MemoryStore, target: MemoryStore, clock: ManualClock) -> None:
    async with Engine(source, clock=clock) as engine:
        await engine.open()
        await move(source, target)
    assert (await target.events(START, 10, None)).events == ()
    cursor = (await source.events(None, 1, None)).cursor
    assert (await target.events(cursor, 10, None)).trimmed


async def test_finished_twice_is_finished(source: MemoryStore, target: MemoryStore, clock: ManualClock) -> None:
    async with Engine(source, clock=clock) as engine:
        await engine.open()
        await move(source, target)
    async with Engine(target, clock=clock) as engine:
        await engine.open()
        assert await move(source, target) == Copied(finished=True)
        assert await engine.count() == 2


@pytest.mark.parametrize("side", ["source", "target"])
@pytest.mark.parametrize("fault", [Fault.BEFORE, Fault.LOST])
async def test_stopped_anywhere_it_goes_on(
    source: MemoryStore, target: MemoryStore, clock: ManualClock, side: str, fault: Fault
) -> None:
    async with Engine(source, clock=clock, kinds=KINDS) as engine:
        await populate(engine)
    expected = await contents(source)
    stops = 0
    for stop in count():
        # A copy of a copy, stopped at its n-th trip, then called again.
        first, second = FaultyStore(await _copy_of(source, clock)), FaultyStore(MemoryStore(clock=clock))
        (first if side == "source" else second).fail(*[Fault.NONE] * stop, fault)
        try:
            await move(first, second)
        except StoreError:
            stops += 1
            assert (await move(first, second)).finished
        first.plan.clear()
        second.plan.clear()
        assert await contents(second) == expected
        assert [(await stands(one)).standing for one in (first, second)] == [Standing.MOVED, Standing.OPEN]
        if stops <= stop:
            break
    assert stops > 10


async def _copy_of(source: MemoryStore, clock: ManualClock) -> MemoryStore:
    whole = MemoryStore(clock=clock)
    # The source stays as it is: only a finished one is marked.
    await whole.apply([Mark(Standing.FILLING, "old")])
    await copy(source, whole, finish=False, names=NAMES)
    await whole.apply([Mark(Standing.OPEN, number=10_000)])
    return whole


async def test_a_target_that_was_emptied_is_filled_again(
    source: MemoryStore, target: MemoryStore, clock: ManualClock
) -> None:
    async with Engine(source, clock=clock, kinds=KINDS) as engine:
        await populate(engine)
    await move(source, target)
    anew = MemoryStore(clock=clock)
    assert (await move(source, anew)).finished
    assert await contents(anew) == await contents(source)


async def test_only_what_goes_together_is_copied(source: MemoryStore, target: MemoryStore, clock: ManualClock) -> None:
    with pytest.raises(ConfigurationError, match="new: is the store that everything is to be copied from"):
        await move(source, source)
    assert (await stands(source)).standing is Standing.OPEN
    async with Engine(target, clock=clock) as engine:
        await engine.open()
    with pytest.raises(ConfigurationError, match="new: holds something of its own"):
        await move(source, target)
    assert (await stands(target)).standing is Standing.OPEN
    third, fourth = MemoryStore(clock=clock), MemoryStore(clock=clock)
    await copy(target, third, finish=False, names=("new", "third"))
    with pytest.raises(ConfigurationError, match="third: is being filled from new; give another"):
        await copy(source, third, finish=False, names=("old", "third"))
    with pytest.raises(ConfigurationError, match="third: is being filled from new itself"):
        await copy(third, fourth, finish=False, names=("third", "fourth"))
    await copy(target, third, finish=True, names=("new", "third"))
    with pytest.raises(ConfigurationError, match="new: has moved to third; copy from there"):
        await copy(target, fourth, finish=False, names=("new", "fourth"))
    with pytest.raises(ConfigurationError, match="new: has moved to third itself"):
        await copy(source, target, finish=False, names=("old", "new"))
    await copy(third, fourth, finish=True, names=("third", "fourth"))
    assert len(await contents(fourth)) == 1


async def test_a_second_copier_is_stopped_when_the_first_has_finished(
    source: MemoryStore, target: MemoryStore, clock: ManualClock
) -> None:
    async with Engine(source, clock=clock, kinds=KINDS) as engine:
        await populate(engine)
    late = FaultyStore(target)
    held = copy(source, late, finish=False, names=NAMES, progress=lambda _: late.hold())
    copying = asyncio.ensure_future(held)
    await settle()
    assert (await move(source, target)).finished
    late.release()
    with pytest.raises(ConfigurationError, match="somebody else has let it take over"):
        await copying
    assert await contents(target) == await contents(source)


async def test_between_urls(tmp_path: Any) -> None:
    old, new = (f"sqlite:///{tmp_path}/{name}.db?synchronous=normal" for name in ("old", "new"))
    seen: list[Copied] = []
    async with connect(old, namespace="a") as engine:
        await engine.open()
    copied = await copy_between(old, new, finish=True, namespace="a", target_namespace="b", progress=seen.append)
    assert copied.records == 1
    assert seen
    with pytest.raises(StoreMoved) as raised:
        await connect(old, namespace="a").__aenter__()
    assert raised.value.store == f"sqlite:///{tmp_path}/new.db (namespace b)"
    async with connect(new, namespace="b") as engine:
        assert await engine.count() == 1


async def test_a_target_in_memory_is_refused(tmp_path: Any) -> None:
    old = f"sqlite:///{tmp_path}/old.db"
    async with connect(old):
        pass
    with pytest.raises(ConfigurationError, match="memory:: ends with this process"):
        await copy_between(old, "memory:", finish=True)
    async with connect(old) as engine:
        await engine.open()

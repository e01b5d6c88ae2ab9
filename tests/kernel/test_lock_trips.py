"""Locks that read with their grant, and are given back with the last change under them."""

from __future__ import annotations

import asyncio

import pytest

from insession import Conflict, Displaced, Engine, LockLost, LockTimeout
from insession.kernel.operations import Commit, Done, Find, Guard, Load, Put, Refused, Why
from insession.testing.clock import ManualClock, settle

from .jobs import Holder


def writing(engine: Engine, key: str, lock: object, *, version: int = 0) -> Commit:
    guard = Guard.VERSION if version else Guard.ANY
    put = Put(key, b"\x01", guard, version)
    return Commit(engine.clock.now(), engine._change(), engine.name, (put,), (), lock.fence)  # type: ignore[attr-defined]


async def leases(engine: Engine) -> list[str]:
    return [lease.name for lease in (await engine._ask(Find("lease", ""))).entries]


async def test_what_is_loaded_is_what_the_holder_before_has_left(engine: Engine, other: Engine) -> None:
    async with engine.lock("report", load=Load(("a/b",))) as first:
        assert first.loaded is not None
        assert first.loaded.found == (None,)
        waiter = asyncio.ensure_future(_loaded(other))
        await settle()
        await engine.items.put("a/b", 1)
    assert await waiter == b"\x01"


async def _loaded(engine: Engine) -> bytes:
    async with engine.lock("report", load=Load(("a/b",))) as lock:
        assert lock.loaded is not None
        (item,) = lock.loaded.found
        assert item is not None
        return item.data


async def test_finishing_writes_and_gives_back_at_once(engine: Engine) -> None:
    async with engine.lock("report") as lock:
        (answer,) = await lock.finish(writing(engine, "a/b", lock))
        assert isinstance(answer, Done)
        assert await leases(engine) == []
        assert engine.locks.held == {}
        async with engine.lock("report", wait=0):
            """Somebody else has it, while the first block goes on."""


async def test_with_somebody_waiting_it_stays_held_until_the_block_ends(engine: Engine, other: Engine) -> None:
    async with engine.lock("report") as lock:
        waiter = Holder(other)
        await settle()
        await lock.finish(writing(engine, "a/b", lock))
        await settle()
        held = [waiter.held]
    await settle()
    assert [*held, waiter.held] == [False, True]
    await waiter.let_go()


async def test_a_refused_change_is_answered_and_the_lock_is_given_back(engine: Engine) -> None:
    async with engine.lock("report") as lock:
        (answer,) = await lock.finish(writing(engine, "a/b", lock, version=7))
        assert answer == Refused(Why.MISSING)
    assert await leases(engine) == []
    with pytest.raises(Conflict):
        await engine.items.put("a/b", 1, version=7)


async def test_finishing_after_a_loss(engine: Engine, clock: ManualClock) -> None:
    with pytest.raises(LockLost):
        async with engine.lock("report", ttl=10.0, cancel=False) as lock:
            lock.until = 0.0
            await clock.advance(4.0)
            assert isinstance(lock.error, LockLost)
            await lock.finish(writing(engine, "a/b", lock))
    assert await engine.items.get("a/b") is None


async def test_a_block_that_is_not_cancelled_sees_its_loss(engine: Engine, other: Engine) -> None:
    steps = []
    with pytest.raises(Displaced):
        async with engine.lock("report", cancel=False) as lock:
            thief = Holder(other, displace=True, grace=5.0)
            await settle()
            steps.append(type(lock.error))
            await settle()
            steps.append(type(lock.error))
    assert steps == [Displaced, Displaced]
    await settle()
    await thief.let_go()


async def test_notes_are_taken_with_the_grant(engine: Engine, other: Engine, clock: ManualClock) -> None:
    first = Holder(engine)
    await settle()
    second = Holder(engine, take=True, note=b"2")
    await settle()
    third = Holder(other, note=b"3")
    await settle()
    await first.let_go()
    await settle()
    assert second.held
    assert second.lock.notes == (b"3",)
    await second.let_go()
    await clock.advance(10.0)
    assert isinstance(third.error, LockTimeout)
    assert third.error.taken


async def test_after_standing_still_the_waiters_of_a_process_ask_in_their_order(
    engine: Engine, other: Engine, clock: ManualClock
) -> None:
    first = Holder(other, ttl=10.0)
    await settle()
    waiters = [Holder(engine, ttl=ttl, wait=None) for ttl in (9.0, 7.0, 5.0, 3.0)]
    await settle()
    # All at once, as a process does that was stopped: every ticket has run out, and so has the holder's.
    clock.set(clock.now() + 30.0)
    await clock.advance(0.1)
    await settle()
    for place, waiter in enumerate(waiters):
        assert [one.held for one in waiters] == [number == place for number in range(4)]
        await waiter.let_go()
        await settle()
    assert isinstance(first.error, LockLost)

"""Leases by ticket: for a holder who is in no process of ours."""

from __future__ import annotations

import asyncio

import pytest

from insession import Displaced, Engine, LockLost, LockTimeout, connect
from insession.kernel.operations import Granted, Waiting
from insession.kernel.tickets import Tickets
from insession.testing import ManualClock


async def somebody_waits(engine: Engine, name: str) -> None:
    while (await Tickets(engine).find(name))[0][0].waiting == ():  # noqa: ASYNC110 - nothing tells of it
        await asyncio.sleep(0)


async def test_a_permit_that_nobody_renews_runs_out() -> None:
    clock = ManualClock()
    async with connect("memory:", clock=clock) as engine:
        tickets = Tickets(engine)
        first = await tickets.acquire("x", "a", ttl=10.0)
        assert isinstance(first, Granted)
        assert isinstance(await tickets.acquire("x", "b", ttl=30.0), Waiting)
        await clock.advance(11.0)
        second = await tickets.acquire("x", "b")
        assert isinstance(second, Granted)
        assert second.token > first.token
        with pytest.raises(LockLost):
            await tickets.renew("x", "a", first.token)
        with pytest.raises(LockLost):
            await tickets.release("x", "a", first.token)
        # A ticket that is granted anew is not given back by what its earlier permit left behind.
        await clock.advance(31.0)
        third = await tickets.acquire("x", "a")
        assert isinstance(third, Granted)
        with pytest.raises(LockLost):
            await tickets.release("x", "a", first.token)
        await tickets.renew("x", "a", third.token)


async def test_a_permit_that_fences_nothing_any_more() -> None:
    async with connect("memory:") as engine:
        tickets = Tickets(engine)
        held = await tickets.acquire("x", "a")
        assert isinstance(held, Granted)

        async def displacing() -> None:
            async with engine.lock("x", displace=True, grace=60.0):
                pass

        task = asyncio.create_task(displacing())
        async with asyncio.timeout(10.0):
            await somebody_waits(engine, "x")
            with pytest.raises(LockLost):
                await tickets.renew("x", "a", held.token)
            with pytest.raises(Displaced):
                await tickets.acquire("x", "a")
            await tickets.release("x", "a")
            await task


async def test_a_note_that_was_taken_is_not_queued_anew() -> None:
    async with connect("memory:") as engine:
        tickets = Tickets(engine)
        async with engine.lock("turn") as lock:
            assert isinstance(await tickets.acquire("turn", "a", note=b"hello"), Waiting)
            assert await lock.take() == (b"hello",)
            waits = await tickets.acquire("turn", "a", note=b"hello", again=True)
            assert isinstance(waits, Waiting)
            assert waits.taken
        with pytest.raises(LockTimeout) as refused:
            await tickets.acquire("turn", "a", note=b"hello", again=True)
        assert refused.value.taken

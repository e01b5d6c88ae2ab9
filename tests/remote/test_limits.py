"""How many sessions there are at once: ours, the service's, and those that are borrowed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from functools import partial
from typing import Any
from uuid import UUID

import pytest

from insession import StoreUnavailable
from insession.remote import CredentialsRefused, SessionLimit, SessionPool
from insession.stores.memory import MemoryStore
from insession.testing import FaultyStore, ManualClock
from insession.testing.clock import settle

from .conftest import Make
from .tiny import Client, Fault, Searcher, Tiny, find
from .waiting import happens, while_time_passes


def _waiting(pool: SessionPool[Any, Any], number: int) -> bool:
    return pool.stats()["waiting"] == number


def _found(tiny: Tiny, number: int) -> bool:
    return tiny.counts["find"] == number


@pytest.mark.requirement("S56", "S60")
async def test_places_are_handed_on_in_order(make: Make, tiny: Tiny) -> None:
    async with make(max_sessions=2) as pool:
        tokens = [await pool.acquire(), await pool.acquire()]
        order: list[int] = []

        async def wait(number: int) -> UUID:
            token = await pool.acquire()
            order.append(number)
            return token

        waiting = []
        for number in range(4):
            waiting.append(asyncio.ensure_future(wait(number)))
            await happens(partial(_waiting, pool, number + 1))
        waiting[1].cancel()
        await settle()
        assert pool.stats()["waiting"] == 3
        for token in tokens:
            await pool.finalize(token)
        more = [await waiting[0], await waiting[2]]
        for token in more:
            await pool.finalize(token)
        await waiting[3]
        assert order == [0, 2, 3]
        assert tiny.counts["peak_sessions"] == 2


@pytest.mark.requirement("S56")
async def test_who_waits_too_long_hears_of_the_limit(make: Make, tiny: Tiny) -> None:
    clock = ManualClock()
    async with make(max_sessions=1, clock=clock) as pool:
        await pool.acquire()
        with pytest.raises(SessionLimit, match="max_sessions") as caught:
            await while_time_passes(clock, pool.acquire())
        assert not caught.value.service_full
        assert tiny.counts["login"] == 1


@pytest.mark.requirement("S57")
async def test_pools_on_one_store_share_the_places(make: Make, tiny: Tiny) -> None:
    tiny.most = 4

    async def work(pool: SessionPool[Any, Any]) -> None:
        for _ in range(5):
            token = await pool.acquire()
            await pool.invoke(token, find())
            await pool.finalize(token)

    async with make(max_sessions=4) as one, make(max_sessions=4) as two, make(max_sessions=4) as three:
        await asyncio.gather(*[work(pool) for pool in (one, two, three) for _ in range(3)])
    assert tiny.counts["logins_full"] == 0
    assert 2 <= tiny.counts["peak_sessions"] <= 4
    assert tiny.counts["logins_ok"] == tiny.counts["logouts_ok"] == 45


@pytest.mark.requirement("S58")
async def test_a_full_service_is_asked_again_and_is_no_matter_of_credentials(make: Make, tiny: Tiny) -> None:
    tiny.most = 1
    clock = ManualClock()
    async with make(clock=clock, pause=2.0, longest_pause=2.0) as pool:
        main = await pool.acquire()
        with pytest.raises(SessionLimit, match="limit of the service") as caught:
            await while_time_passes(clock, pool.acquire(), 0.1)
        assert caught.value.service_full
        assert tiny.counts["login"] > 2
        assert await pool.invoke(main, find()) == "x"
    async with make() as pool:
        main = await pool.acquire()
        waiting = asyncio.ensure_future(pool.acquire())
        await happens(lambda: tiny.counts["logins_full"] > 3)
        await pool.finalize(main)
        assert await pool.invoke(await waiting, find()) == "x"


@pytest.mark.requirement("S74")
async def test_borrowed_sessions_serve_one_call_each(make: Make, tiny: Tiny) -> None:
    async with make(max_sessions=3) as pool:
        await pool.acquire(shared=True)
        free = [asyncio.Event() for _ in range(9)]
        tiny.fail("find", *[Fault(hold=one) for one in free])
        calls = [asyncio.ensure_future(pool.send(find(number))) for number in range(9)]
        for done in range(9):
            await happens(partial(_found, tiny, min(done + 3, 9)))
            free[done].set()
        assert await asyncio.gather(*calls) == list(range(9))
        assert (tiny.counts["overlaps"], tiny.counts["peak_sessions"], tiny.counts["logins_ok"]) == (0, 3, 3)


async def test_who_borrows_has_it_alone(make: Make, tiny: Tiny) -> None:
    clock = ManualClock()
    async with make(clock=clock) as pool:
        async with pool.borrow() as token:
            assert await pool.invoke(token, find()) == "x"
            with pytest.raises(SessionLimit):
                await while_time_passes(clock, pool.send(find()))
        assert await pool.send(find()) == "x"
        assert tiny.counts["logins_ok"] == 1
        await pool.finalize(token)
        assert await pool.send(find()) == "x"
        assert tiny.counts["logins_ok"] == 2


async def test_who_waits_to_borrow_and_is_cancelled_keeps_nothing(make: Make, tiny: Tiny) -> None:
    async with make() as pool:
        async with pool.borrow():
            waiting = asyncio.ensure_future(pool.send(find()))
            await happens(lambda: pool.stats()["waiting"])
        waiting.cancel()
        await settle()
        assert await pool.send(find()) == "x"
        assert pool.stats()["waiting"] == 0


async def test_what_was_opened_to_be_borrowed_ends_when_nobody_does(make: Make, tiny: Tiny) -> None:
    clock = ManualClock()
    async with make(max_sessions=3, clock=clock) as pool:
        free = asyncio.Event()
        tiny.fail("find", *[Fault(hold=free)] * 3)
        calls = [asyncio.ensure_future(pool.send(find())) for _ in range(3)]
        async with asyncio.timeout(10):
            while tiny.counts["find"] < 3:
                await clock.advance(0.01)
                await asyncio.sleep(0.001)
        free.set()
        await asyncio.gather(*calls)
        async with asyncio.timeout(10):
            while len(tiny.sessions) > 1:
                await clock.advance(1.0)
                await asyncio.sleep(0.001)
        await clock.advance(100.0)
        assert await pool.send(find()) == "x"
        assert tiny.counts["logins_ok"] == 3


@pytest.mark.requirement("S32")
async def test_a_wrong_password_is_tried_once_by_all_pools(make: Make, tiny: Tiny, client: Client) -> None:
    wrong = Client(client.port, password="guess")
    async with make(wrong) as one, make(wrong) as two:
        answers = await asyncio.gather(
            *[pool.acquire() for pool in (one, two) for _ in range(4)], return_exceptions=True
        )
        assert {type(answer) for answer in answers} == {CredentialsRefused}
        assert tiny.counts["login"] == 1
    async with make(wrong) as later:
        with pytest.raises(CredentialsRefused) as caught:
            await later.acquire()
        assert caught.value.latched
        assert tiny.counts["login"] == 1
        tiny.password = "guess"
        await later.retry_credentials()
        await later.acquire()
    async with make(wrong) as pool:
        await pool.acquire()


@pytest.mark.requirement("S23", "S32")
async def test_a_refusal_while_the_store_is_away_is_told_when_it_is_back(
    make: Make, tiny: Tiny, client: Client, store: MemoryStore
) -> None:
    wrong, faulty = Client(client.port, password="guess"), FaultyStore(store)
    async with make(wrong, store=faulty) as pool, make(wrong) as other:
        faulty.down = True
        for _ in range(2):
            with pytest.raises(CredentialsRefused):
                await pool.acquire()
        faulty.down = False
        for one in (pool, other):
            with pytest.raises(CredentialsRefused):
                await one.acquire()
    assert tiny.counts["login"] == 1


async def test_another_account_is_not_latched(make: Make, tiny: Tiny, client: Client) -> None:
    async with make(Client(client.port, password="guess")) as pool:
        with pytest.raises(CredentialsRefused):
            await pool.acquire()
    async with make(Client(client.port, account="bob")) as pool:
        await pool.acquire()
    async with make() as pool:
        await pool.acquire()


@pytest.mark.requirement("S49", "S81")
async def test_a_store_that_is_away_fails_no_call(make: Make, tiny: Tiny, store: MemoryStore) -> None:
    faulty = FaultyStore(store)
    async with make(store=faulty) as pool:
        token = await pool.acquire()
        faulty.down = True
        assert await pool.invoke(token, find()) == "x"
        tiny.expire()
        assert await pool.invoke(token, find()) == "x"
        other = await pool.acquire()
        assert await pool.invoke(other, find()) == "x"
        await pool.finalize(other)
        assert len(tiny.sessions) == 1
        faulty.down = False
        held = pool._holding.find(token)
        await happens(lambda: held.row is not None and not held.row.dirty)
        session = held.row.session if held.row is not None else None
        assert session is not None
        assert (await session.refresh()).data.ticket.ref in tiny.sessions


@pytest.mark.requirement("S81")
async def test_under_a_limit_nobody_begins_without_the_store(make: Make, tiny: Tiny, store: MemoryStore) -> None:
    faulty = FaultyStore(store)
    async with make(store=faulty, max_sessions=2) as pool:
        token = await pool.acquire()
        faulty.down = True
        with pytest.raises(StoreUnavailable):
            await pool.acquire()
        tiny.expire()
        assert await pool.invoke(token, find()) == "x"
        faulty.down = False
        await pool.acquire()


async def test_a_place_that_was_lost_is_waited_for_before_a_renewal(make: Make, tiny: Tiny) -> None:
    clock = ManualClock()
    async with (
        make(clock=clock, max_sessions=1, acquire_timeout=5.0) as pool,
        make(clock=clock, max_sessions=1) as other,
    ):
        token = await pool.acquire()
        clock.set(clock.now() + 31.0)
        theirs = await other.acquire()
        await clock.advance(0.1)
        tiny.sessions.pop(next(iter(tiny.sessions)))
        with pytest.raises(SessionLimit):
            await while_time_passes(clock, pool.invoke(token, find()))
        await other.finalize(theirs)
        assert await while_time_passes(clock, pool.invoke(token, find())) == "x"


@pytest.mark.requirement("S13")
async def test_the_loop_is_never_held_up(make: Make, tmp_path: Any, tiny: Tiny) -> None:
    async def use() -> None:
        async with make(store=f"sqlite:///{tmp_path}/remote.db") as pool:
            token = await pool.acquire()
            for _ in range(20):
                await pool.invoke(token, find())
            blob = await pool.detach(token)
            await pool.attach(token, blob)

    # What it would be on a quiet machine: a few milliseconds; scrypt alone takes 50. A busy one holds anybody up.
    stalls = []
    for _ in range(10):
        stalls.append(await longest_stall(use()))
        if stalls[-1] < 0.1:
            break
    assert min(stalls) < 0.1


async def longest_stall(work: Coroutine[Any, Any, None]) -> float:
    """The longest time, in seconds, that the loop did nothing else while some work was done."""
    task, longest = asyncio.ensure_future(work), 0.0
    while not task.done():
        begun = time.monotonic()
        await asyncio.sleep(0)
        longest = max(longest, time.monotonic() - begun)
    await task
    return longest


@pytest.mark.requirement("S46")
@pytest.mark.parametrize("searches", [True, False])
async def test_a_lost_login_is_repeated_once_and_its_session_is_suspect(
    make: Make, tiny: Tiny, *, searches: bool
) -> None:
    who = (Searcher if searches else Client)(tiny.port)
    tiny.fail("login", Fault(after=True))
    async with make(who) as pool:
        token = await pool.acquire()
        assert tiny.counts["login"] == 2
        assert tiny.counts["peak_sessions"] <= 2
        assert pool.stats()["suspect"] == 1
        if searches:
            await happens(lambda: len(tiny.sessions) == 1)
        assert await pool.invoke(token, find()) == "x"
    tiny.always["login"] = Fault(after=True)
    async with make(who) as pool:
        with pytest.raises(Exception, match="connection ended"):
            await pool.acquire()
        assert tiny.counts["login"] == 4
    if searches:
        assert tiny.sessions == {}

"""Where two things meet: endings and logins, cancellation and places, lost permits and hand-overs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from insession import ConfigurationError
from insession.remote import (
    Busy,
    OutcomeLost,
    PoolClosed,
    Renewal,
    SessionExpired,
    SessionLimit,
    SessionPool,
    Ticket,
    UnknownToken,
    exit_on_sigterm,
)
from insession.stores.memory import MemoryStore
from insession.testing import Fault as StoreFault
from insession.testing import FaultyStore, ManualClock

from .conftest import Make
from .tiny import Client, Fault, Searcher, Tiny, find, save
from .waiting import happens, while_time_passes


@pytest.mark.requirement("S2", "S4")
async def test_closing_during_a_renewal(make: Make, tiny: Tiny) -> None:
    async with make(logout_timeout=0.2) as pool:
        token = await pool.acquire()
        tiny.expire()
        tiny.fail("login", Fault(hold=asyncio.Event()))
        calls = [asyncio.ensure_future(pool.invoke(token, find(one))) for one in range(3)]
        await happens(lambda: tiny.counts["login"] == 2)
        await pool.close()
        answers = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(answer) for answer in answers} == {PoolClosed}


@pytest.mark.requirement("S2")
@pytest.mark.parametrize("renewal", [False, True])
async def test_a_login_under_way_at_the_end_is_logged_out(make: Make, tiny: Tiny, *, renewal: bool) -> None:
    async with make() as pool:
        token = await pool.acquire() if renewal else None
        tiny.expire()
        tiny.fail("login", Fault(hold=(free := asyncio.Event())))
        logins = tiny.counts["login"]
        calling = asyncio.ensure_future(pool.acquire() if token is None else pool.invoke(token, find()))
        await happens(lambda: tiny.counts["login"] > logins)
        closing = asyncio.ensure_future(pool.close())
        await asyncio.sleep(0)
        free.set()
        await closing
        await asyncio.wait([calling])
        assert (tiny.sessions, tiny.counts["logouts_ok"]) == ({}, 1)
        assert calling.exception() is None or renewal


async def test_a_login_that_fails_at_the_end_is_not_tried_again(make: Make, tiny: Tiny) -> None:
    async with make() as pool:
        tiny.always["login"] = Fault(say="busy", hold=(free := asyncio.Event()))
        opening = asyncio.ensure_future(pool.acquire())
        await happens(lambda: tiny.counts["login"] == 1)
        closing = asyncio.ensure_future(pool.close())
        await asyncio.sleep(0)
        free.set()
        await closing
        with pytest.raises(Busy):
            await opening
    assert tiny.counts["login"] == 1


@pytest.mark.requirement("S56")
async def test_a_place_is_free_when_a_renewal_is_over_too(make: Make, tiny: Tiny) -> None:
    async with make(max_sessions=1) as pool:
        token = await pool.acquire()
        tiny.expire()
        tiny.fail("login", Fault(hold=(free := asyncio.Event())))
        call = asyncio.ensure_future(pool.invoke(token, find()))
        await happens(lambda: tiny.counts["login"] == 2)
        await pool.finalize(token)
        waiting = asyncio.ensure_future(pool.acquire())
        await happens(lambda: pool.stats()["waiting"] == 1)
        free.set()
        with pytest.raises(UnknownToken):
            await call
        await waiting
        assert (tiny.counts["peak_sessions"], tiny.counts["logouts_ok"], len(tiny.sessions)) == (1, 1, 1)
        found = await pool.engine.find(kind=pool._holding._register.kind.name)
        assert len(found.sessions) == 1


@pytest.mark.requirement("S82")
async def test_who_attaches_and_no_longer_wants_to_leaves_nothing(make: Make, tiny: Tiny) -> None:
    async with make(max_sessions=1) as pool, make(max_sessions=1) as other:
        token = await pool.acquire()
        blob = await pool.detach(token)
        attaching = asyncio.ensure_future(other.attach(token, blob))
        await happens(lambda: other._holding._coming)
        attaching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await attaching
        assert await other.invoke(await other.acquire(), find()) == "x"
        assert (tiny.counts["logouts_ok"], tiny.counts["peak_sessions"], len(tiny.sessions)) == (1, 1, 1)


@pytest.mark.requirement("S51")
async def test_whoever_detaches_and_no_longer_wants_to_has_let_go(make: Make, tiny: Tiny) -> None:
    clock = ManualClock()
    async with make(clock=clock) as pool:
        token = await pool.acquire()
        detaching = asyncio.ensure_future(pool.detach(token, lifetime=60.0))
        await happens(lambda: pool._holding._coming)
        detaching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await detaching
        await happens(lambda: pool.stats()["detached"] == 1)
        await while_time_passes(clock, happens(lambda: not tiny.sessions), step=5.0)


@pytest.mark.requirement("S51", "S64")
async def test_finalizing_what_is_being_detached(make: Make, tiny: Tiny) -> None:
    async with make() as pool:
        token = await pool.acquire()
        detaching = asyncio.ensure_future(pool.detach(token))
        await happens(lambda: pool._holding._coming)
        await pool.finalize(token)
        with pytest.raises(UnknownToken):
            await detaching
        stats = pool.stats()
        assert (stats["total_finalized"], stats["detached"], stats["active_sessions"]) == (1, 0, 0)
        detached = await pool.engine.find(kind=pool._holding._register.detached.name)
        assert (tiny.sessions, tiny.counts["logouts_ok"], detached.sessions) == ({}, 1, [])


@pytest.mark.requirement("S45")
async def test_closing_during_a_login(make: Make, tiny: Tiny) -> None:
    tiny.fail("login", Fault(after=True, hold=(answered := asyncio.Event())))
    async with make(Searcher(tiny.port), logout_timeout=1.0) as pool:
        opening = asyncio.ensure_future(pool.acquire())
        await happens(lambda: tiny.counts["login"] == 1)
        answered.set()
        tiny.fail("login", Fault(hold=asyncio.Event()))
        await happens(lambda: tiny.counts["login"] == 2)
        await pool.close()
        with pytest.raises(PoolClosed):
            await opening
    assert tiny.sessions == {}


@pytest.mark.requirement("S15", "S60")
async def test_who_no_longer_wants_a_session_leaves_none(make: Make, tiny: Tiny) -> None:
    tiny.fail("login", Fault(hold=(free := asyncio.Event())))
    async with make(max_sessions=1) as pool:
        opening = asyncio.ensure_future(pool.acquire())
        await happens(lambda: tiny.counts["login"] == 1)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        free.set()
        token = await pool.acquire()
        assert (tiny.counts["logouts_ok"], len(tiny.sessions)) == (1, 1)
        assert await pool.invoke(token, find()) == "x"


async def test_a_login_that_fails_when_nobody_waits_any_more_is_no_noise(
    make: Make, tiny: Tiny, caplog: pytest.LogCaptureFixture
) -> None:
    tiny.fail("login", Fault(say="error", hold=(free := asyncio.Event())))
    async with make() as pool:
        opening = asyncio.ensure_future(pool.acquire())
        await happens(lambda: tiny.counts["login"] == 1)
        opening.cancel()
        await asyncio.wait([opening])
        free.set()
        assert await pool.invoke(await pool.acquire(), find()) == "x"
    assert "never retrieved" not in caplog.text


async def test_finalizing_twice_at_once(pool: SessionPool[Any, Any], tiny: Tiny) -> None:
    token = await pool.acquire()
    await asyncio.gather(pool.finalize(token), pool.finalize(token))
    assert (tiny.counts["logout"], pool.stats()["total_finalized"]) == (1, 1)


@pytest.mark.requirement("S5")
async def test_a_place_is_free_when_the_log_out_is_done(make: Make, tiny: Tiny) -> None:
    tiny.fail("logout", Fault(hold=(free := asyncio.Event())))
    async with make(max_sessions=1, logout_timeout=0.1) as pool:
        await pool.finalize(await pool.acquire())
        waiting = asyncio.ensure_future(pool.acquire())
        await happens(lambda: pool.stats()["waiting"] == 1)
        assert len(tiny.sessions) == 1
        await waiting
        free.set()
    assert tiny.counts["peak_sessions"] == 1


@pytest.mark.requirement("S82")
async def test_a_session_whose_place_was_lost_is_handed_over_without_one(make: Make, tiny: Tiny) -> None:
    clock = ManualClock()
    async with make(clock=clock, max_sessions=1) as pool, make(clock=clock, max_sessions=1) as other:
        token = await pool.acquire()
        clock.set(clock.now() + 31.0)
        await clock.advance(0.1)
        blob = await pool.detach(token)
        await other.attach(token, blob)
        assert await other.invoke(token, find()) == "x"
        blob = await other.detach(token)
        theirs = pool._holding.cap
        permit = other._holding.cap
        assert theirs is not permit
        with pytest.raises(SessionLimit):
            await theirs.take(0.0)
        await pool.attach(token, blob)


@pytest.mark.requirement("S82")
async def test_one_that_finds_no_place_is_logged_out(make: Make, tiny: Tiny) -> None:
    clock = ManualClock()
    async with make(clock=clock) as unlimited, make(clock=clock, max_sessions=1) as limited:
        await limited.acquire()
        token = await unlimited.acquire()
        blob = await unlimited.detach(token)
        with pytest.raises(SessionLimit):
            await while_time_passes(clock, limited.attach(token, blob))
        await happens(lambda: len(tiny.sessions) == 1)


async def test_idle_without_renewal_is_left_to_the_service(make: Make, tiny: Tiny) -> None:
    clock = ManualClock()
    async with make(clock=clock, idle=10.0, auto_renew=False) as pool:
        token = await pool.acquire()
        await clock.advance(11.0)
        assert await pool.invoke(token, find()) == "x"
        tiny.expire()
        with pytest.raises(SessionExpired):
            await pool.invoke(token, find())


async def test_a_hook_that_fails_fails_nobody(make: Make, tiny: Tiny) -> None:
    def broken(_: Renewal) -> None:
        raise RuntimeError("as the test wants it")

    async with make(on_renewal=broken) as pool:
        token = await pool.acquire()
        tiny.expire()
        assert await pool.invoke(token, find()) == "x"


@pytest.mark.requirement("S49")
async def test_lost_answers_of_the_store_fail_no_call(make: Make, tiny: Tiny, store: MemoryStore) -> None:
    faulty = FaultyStore(store)
    async with make(store=faulty) as pool:
        token = await pool.acquire()
        for fault in (StoreFault.LOST, StoreFault.NEVER, StoreFault.BEFORE) * 2:
            tiny.expire()
            faulty.fail(*[fault] * 6)
            assert await pool.invoke(token, find()) == "x"
        faulty.plan.clear()
        held = pool._holding.find(token)
        await happens(lambda: held.row is not None and not held.row.dirty)
    assert tiny.sessions == {}


@pytest.mark.requirement("S49")
async def test_a_session_ends_although_the_store_is_away(make: Make, tiny: Tiny, store: MemoryStore) -> None:
    faulty = FaultyStore(store)
    async with make(store=faulty) as pool:
        tokens = [await pool.acquire(), await pool.acquire()]
        faulty.down = True
        await pool.finalize(tokens[0])
        assert len(tiny.sessions) == 1
        tiny.fail("logout", Fault(before=True))
        await pool.finalize(tokens[1])
        assert len(tiny.sessions) == 1
        faulty.down = False
    async with make(store=faulty):
        await happens(lambda: not tiny.sessions)


async def test_a_search_for_lost_sessions_that_hangs_is_tried_again(make: Make, tiny: Tiny) -> None:
    class Slow(Searcher):
        searches = 0

        async def find_lost(self, tag: str) -> Sequence[Ticket]:
            self.searches += 1
            if self.searches == 1:
                await asyncio.sleep(60)
            return await super().find_lost(tag)

    who = Slow(tiny.port)
    tiny.fail("login", Fault(after=True))
    async with make(who, logout_timeout=0.2) as pool:
        await pool.acquire()
        await happens(lambda: len(tiny.sessions) == 1)
        assert who.searches >= 2


async def test_a_login_is_given_up_in_time(make: Make, tiny: Tiny) -> None:
    clock = ManualClock()
    tiny.always["login"] = Fault(hold=asyncio.Event())
    async with make(clock=clock) as pool:
        with pytest.raises(OutcomeLost, match="took too long"):
            await while_time_passes(clock, pool.acquire())
        assert pool.stats()["suspect"] == 1


@pytest.mark.requirement("S23")
async def test_changed_credentials_are_tried_again(make: Make, tiny: Tiny) -> None:
    who = Client(tiny.port, password="guess")
    async with make(who) as pool:
        for _ in range(3):
            with pytest.raises(Exception, match="refuse"):
                await pool.acquire()
        who.password = "another guess"
        with pytest.raises(Exception, match="refuse"):
            await pool.acquire()
        assert tiny.counts["login"] == 2
        who.password = tiny.password
        assert await pool.invoke(await pool.acquire(), save()) == "x"


async def test_the_handler_of_sigterm_belongs_to_the_main_thread() -> None:
    with pytest.raises(ConfigurationError, match="main thread"):
        await asyncio.to_thread(exit_on_sigterm)

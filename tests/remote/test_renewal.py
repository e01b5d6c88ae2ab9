"""Renewal: once for all who need it, and never in a loop."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import pytest

from insession.remote import (
    CredentialsRefused,
    Denied,
    NotSent,
    Renewal,
    SessionExpired,
    SessionGone,
    SessionPool,
    SessionState,
    StateLost,
    Ticket,
)
from insession.remote.renewing import Renewing
from insession.testing import ManualClock
from insession.testing.clock import settle

from .conftest import Make
from .tiny import Client, Fault, Tiny, find, save
from .waiting import happens, while_time_passes


async def _all(calls: list[asyncio.Task[Any]]) -> list[Any]:
    return await asyncio.gather(*calls)


@pytest.mark.requirement("S19", "S18", "S20")
@pytest.mark.parametrize("number", [2, 32])
async def test_one_login_for_all_who_find_a_session_dead(pool: SessionPool[Any, Any], tiny: Tiny, number: int) -> None:
    token = await pool.acquire()
    tiny.expire()
    slow = asyncio.Event()
    tiny.fail("login", Fault(hold=slow))
    first = [asyncio.ensure_future(pool.invoke(token, find(one))) for one in range(number)]
    await happens(lambda: tiny.counts["login"] == 2)
    late = [asyncio.ensure_future(pool.invoke(token, save(one))) for one in range(number)]
    await settle()
    slow.set()
    assert await asyncio.gather(*first, *late) == [*range(number), *range(number)]
    assert (tiny.counts["logins_ok"], tiny.counts["peak_logins"]) == (2, 1)
    assert sorted(tiny.saved) == list(range(number))


@pytest.mark.requirement("S21")
async def test_a_report_on_an_earlier_generation_renews_nothing(pool: SessionPool[Any, Any], tiny: Tiny) -> None:
    token = await pool.acquire()
    held = pool._holding.find(token)
    renewing: Renewing = pool._holding.renewing
    await renewing.renew(held, 1, SessionGone("dead"))
    await renewing.renew(held, 1, SessionGone("dead, says an answer to the earlier one"))
    assert (tiny.counts["logins_ok"], pool.generation(token)) == (2, 2)


@pytest.mark.requirement("S28", "S68")
async def test_the_token_survives_and_the_hook_sees_both_generations(make: Make, tiny: Tiny) -> None:
    renewals: list[Renewal] = []
    states: list[str] = []

    def note(_: UUID, __: SessionState, after: SessionState) -> None:
        states.append(after)

    async with make(on_renewal=renewals.append, on_state=note) as pool:
        token = await pool.acquire()
        tiny.expire()
        assert await pool.invoke(token, find()) == "x"
        assert renewals == [Renewal(token, 1, 2)]
        assert pool.stats()["token_renewals"] == 1
    assert states == [
        *("authenticating", "connected", "executing", "reconnecting", "connected"),
        *("executing", "connected", "disconnected"),
    ]


@pytest.mark.requirement("S30")
async def test_a_save_that_met_a_dead_session_is_sent_once_more(pool: SessionPool[Any, Any], tiny: Tiny) -> None:
    token = await pool.acquire()
    tiny.expire()
    await pool.invoke(token, save("order"))
    assert tiny.saved == ["order"]


@pytest.mark.requirement("S22")
async def test_a_denial_renews_at_most_once(pool: SessionPool[Any, Any], tiny: Tiny) -> None:
    token = await pool.acquire()
    tiny.always["find"] = Fault(say="denied")
    for _ in range(10):
        with pytest.raises(Denied):
            await pool.invoke(token, find())
    assert tiny.counts["logins_ok"] == 2
    assert len(tiny.sessions) == 1
    assert pool.state(token) is SessionState.CONNECTED
    assert await pool.invoke(token, save()) == "x"


async def test_a_denial_that_was_a_dead_session_is_healed(pool: SessionPool[Any, Any], tiny: Tiny) -> None:
    token = await pool.acquire()
    tiny.fail("find", Fault(say="denied"))
    assert await pool.invoke(token, find()) == "x"
    assert tiny.counts["logins_ok"] == 2


@pytest.mark.requirement("S23")
async def test_refused_credentials_are_tried_once(pool: SessionPool[Any, Any], tiny: Tiny, client: Client) -> None:
    token, other = await pool.acquire(), await pool.acquire()
    tiny.expire()
    tiny.password = "changed"
    calls = [pool.invoke(token, find(one)) for one in range(8)]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(answer) for answer in answers} == {CredentialsRefused}
    assert tiny.counts["logins_refused"] == 1
    before = tiny.counts["login"]
    for one in (token, other):
        with pytest.raises(CredentialsRefused) as caught:
            await pool.invoke(one, find())
        assert caught.value.latched
    with pytest.raises(CredentialsRefused):
        await pool.acquire()
    assert tiny.counts["login"] == before
    client.password = "changed"
    assert await pool.invoke(token, find()) == "x"


@pytest.mark.requirement("S24")
async def test_a_renewal_that_fails_is_told_to_all_and_tried_again_later(
    make: Make, tiny: Tiny, client: Client
) -> None:
    clock = ManualClock()
    async with make(clock=clock, max_retries=0, pause=8.0, longest_pause=8.0) as pool:
        token = await pool.acquire()
        tiny.expire()
        port, client.port = client.port, 1
        held, refused = pool._holding.find(token), tiny.counts["login"]
        held.ticket = Ticket(ref="dead")
        client.port = port
        tiny.fail("login", Fault(say="busy"))
        slow = asyncio.Event()
        tiny.fail("find", Fault(hold=slow))
        calls = [asyncio.ensure_future(pool.invoke(token, save(one))) for one in range(4)]
        slow.set()
        answers = await asyncio.gather(*calls[:1], return_exceptions=True)
        assert isinstance(answers[0], SessionExpired)
        assert "session expired" in str(answers[0])
        assert tiny.counts["login"] == refused + 1
        assert pool.state(token) in {SessionState.ERROR, SessionState.AUTHENTICATING}
        assert await while_time_passes(clock, _all(calls[1:])) == [1, 2, 3]
        assert pool.state(token) is SessionState.CONNECTED


@pytest.mark.requirement("S25")
async def test_without_renewal_it_says_session_expired(make: Make, tiny: Tiny) -> None:
    async with make(auto_renew=False) as pool:
        token = await pool.acquire()
        tiny.expire()
        for _ in range(2):
            with pytest.raises(SessionExpired, match="session expired"):
                await pool.invoke(token, find())
        assert (tiny.counts["login"], tiny.counts["find"]) == (1, 1)
        assert pool.state(token) is SessionState.ERROR


@pytest.mark.requirement("S26")
async def test_an_idle_session_is_renewed_before_it_is_used(make: Make, tiny: Tiny) -> None:
    clock = ManualClock()
    async with make(clock=clock, idle=300.0) as pool:
        token = await pool.acquire()
        await clock.advance(299.0)
        await pool.invoke(token, find())
        await clock.advance(301.0)
        first = next(iter(tiny.sessions))
        await pool.invoke(token, find())
        assert tiny.counts["logins_ok"] == 2
        assert list(tiny.sessions) == tiny.seen[1:]
        assert first not in tiny.sessions
        assert tiny.counts["peak_sessions"] == 1


@pytest.mark.requirement("S26")
async def test_idle_off_and_a_stepped_wall_clock(make: Make, tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    async with make(idle=0) as off, make(idle=300.0) as pool:
        tokens = [await off.acquire(), await pool.acquire()]
        monkeypatch.setattr("time.time", lambda: 4e9)
        await off.invoke(tokens[0], find())
        await pool.invoke(tokens[1], find())
    assert tiny.counts["logins_ok"] == 2


async def test_a_session_of_known_life_is_renewed_before_its_end(make: Make, tiny: Tiny, client: Client) -> None:
    class Short(Client):
        async def login(self, tag: str) -> Ticket:
            return Ticket(ref=(await super().login(tag)).ref, expires=100.0)

    clock = ManualClock()
    async with make(Short(client.port), clock=clock) as pool:
        token = await pool.acquire()
        await clock.advance(79.0)
        await pool.invoke(token, find())
        assert tiny.counts["logins_ok"] == 1
        await clock.advance(2.0)
        await pool.invoke(token, find())
        assert tiny.counts["logins_ok"] == 2


@pytest.mark.requirement("S27")
async def test_few_logins_at_a_time(pool: SessionPool[Any, Any], tiny: Tiny) -> None:
    tokens = [await pool.acquire() for _ in range(9)]
    tiny.expire()
    tiny.counts["peak_logins"] = 0
    await asyncio.gather(*[pool.invoke(token, find()) for token in tokens])
    assert tiny.counts["logins_ok"] == 18
    assert 1 <= tiny.counts["peak_logins"] <= 2


@pytest.mark.requirement("S29")
async def test_a_log_out_that_hangs_holds_up_no_renewal(make: Make, tiny: Tiny) -> None:
    clock = ManualClock()
    async with make(clock=clock, idle=10.0) as pool:
        token = await pool.acquire()
        await clock.advance(11.0)
        free = asyncio.Event()
        tiny.fail("logout", Fault(hold=free))
        assert await while_time_passes(clock, pool.invoke(token, find())) == "x"
        free.set()
        async with asyncio.timeout(10):
            while len(tiny.sessions) > 1:
                await clock.advance(1.0)
                await asyncio.sleep(0.001)


@pytest.mark.requirement("S31")
async def test_what_rests_on_a_dead_session_is_not_sent_in_a_new_one(pool: SessionPool[Any, Any], tiny: Tiny) -> None:
    token = await pool.acquire()
    page = find("page 2", generation=pool.generation(token))
    assert await pool.invoke(token, page) == "page 2"
    tiny.expire()
    with pytest.raises(StateLost):
        await pool.invoke(token, page)
    with pytest.raises(StateLost):
        await pool.invoke(token, page)
    assert tiny.seen == [tiny.seen[0]]


@pytest.mark.requirement("S59")
async def test_sessions_that_die_at_once_are_not_renewed_for_ever(make: Make, tiny: Tiny) -> None:
    async with make(max_renewals=5) as pool:
        token = await pool.acquire()
        with pytest.raises(SessionExpired, match=r"session expired .* 6 logins in a minute, each dead at once"):
            for _ in range(20):
                tiny.expire()
                await pool.invoke(token, find())
        assert tiny.counts["logins_ok"] == 6


@pytest.mark.requirement("S59")
async def test_two_that_evict_each_other_come_to_an_end(make: Make, tiny: Tiny, client: Client) -> None:
    tiny.most, tiny.evicts = 1, True
    async with make(max_renewals=4) as one, make(Client(client.port, account="bob"), max_renewals=4) as two:
        tokens = [(one, await one.acquire()), (two, await two.acquire())]
        gone = 0
        for _ in range(10):
            for pool, token in tokens:
                try:
                    await pool.invoke(token, find())
                except SessionExpired:
                    gone += 1
        assert gone
        assert tiny.counts["logins_ok"] <= 2 + 2 * 5


async def test_a_cancelled_caller_leaves_the_renewal_to_the_others(pool: SessionPool[Any, Any], tiny: Tiny) -> None:
    token = await pool.acquire()
    tiny.expire()
    slow = asyncio.Event()
    tiny.fail("login", Fault(hold=slow))
    first = asyncio.ensure_future(pool.invoke(token, find(1)))
    await happens(lambda: tiny.counts["login"] == 2)
    second = asyncio.ensure_future(pool.invoke(token, find(2)))
    first.cancel()
    await settle()
    slow.set()
    assert await second == 2
    assert tiny.counts["logins_ok"] == 2


async def test_a_session_finalized_during_its_renewal_leaves_nothing(pool: SessionPool[Any, Any], tiny: Tiny) -> None:
    token = await pool.acquire()
    tiny.expire()
    slow = asyncio.Event()
    tiny.fail("login", Fault(hold=slow))
    call = asyncio.ensure_future(pool.invoke(token, find()))
    await happens(lambda: tiny.counts["login"] == 2)
    await pool.finalize(token)
    slow.set()
    with pytest.raises(Exception, match="no session"):
        await call
    await happens(lambda: not tiny.sessions)


@pytest.mark.requirement("S75")
async def test_a_login_is_retried_where_it_may_pass(make: Make, tiny: Tiny, client: Client) -> None:
    tiny.fail("login", Fault(say="busy"), Fault(say="busy"))
    async with make() as pool:
        await pool.acquire()
        assert tiny.counts["login"] == 3
        tiny.always["login"] = Fault(say="busy")
        with pytest.raises(Exception, match="busy"):
            await pool.acquire()
        assert tiny.counts["login"] == 3 + 4
        client.port = 1
        with pytest.raises(NotSent):
            await pool.acquire()
        client.port = tiny.port

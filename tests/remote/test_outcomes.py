"""Three outcomes: it ran, it did not run, nobody knows."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from insession.remote import (
    NOT_DONE,
    RESEND,
    Busy,
    Call,
    NotDone,
    NotSent,
    OutcomeLost,
    OutcomeUnknown,
    SessionPool,
    SessionState,
    Ticket,
    Verdict,
)
from insession.testing import ManualClock
from insession.testing.clock import settle

from .conftest import Make
from .tiny import Client, Fault, ServiceError, Tiny, find, save
from .waiting import happens

LOST = [Fault(before=True), Fault(after=True)]


@pytest.mark.requirement("S33", "S34")
@pytest.mark.parametrize("fault", LOST)
async def test_a_save_of_unknown_outcome_is_sent_once(pool: SessionPool[Any, Any], tiny: Tiny, fault: Fault) -> None:
    token = await pool.acquire()
    tiny.fail("save", fault)
    before = time.time()
    with pytest.raises(OutcomeUnknown) as caught:
        await pool.invoke(token, save("order"))
    assert tiny.counts["save"] == 1
    unknown = caught.value
    assert (unknown.service, unknown.call, unknown.request, unknown.token) == ("tiny", "save", "order", token)
    assert before - 1 <= unknown.at <= time.time() + 1


@pytest.mark.requirement("S33")
async def test_an_answer_that_comes_too_late_is_an_unknown_outcome(make: Make, tiny: Tiny) -> None:
    clock = ManualClock()
    async with make(clock=clock) as pool:
        token = await pool.acquire()
        tiny.fail("save", Fault(hold=asyncio.Event()))
        call = asyncio.ensure_future(pool.invoke(token, save("order", timeout=30.0)))
        await happens(lambda: tiny.counts["save"])
        await clock.advance(31.0)
        with pytest.raises(OutcomeUnknown):
            await call
        assert tiny.counts["save"] == 1
        assert await pool.invoke(token, find()) == "x"


async def test_what_waited_too_long_for_its_turn_was_not_sent(make: Make, tiny: Tiny) -> None:
    clock = ManualClock()
    async with make(clock=clock) as pool:
        token = await pool.acquire()
        free = asyncio.Event()
        tiny.fail("find", Fault(hold=free))
        slow = asyncio.ensure_future(pool.invoke(token, find()))
        await happens(lambda: tiny.counts["find"])
        waiting = asyncio.ensure_future(pool.invoke(token, save("order", timeout=5.0)))
        await settle()
        await clock.advance(6.0)
        with pytest.raises(NotSent):
            await waiting
        free.set()
        assert await slow == "x"
        assert tiny.counts["save"] == 0


@pytest.mark.requirement("S35")
@pytest.mark.parametrize("there", [True, False])
async def test_a_verify_function_finds_out(pool: SessionPool[Any, Any], tiny: Tiny, *, there: bool) -> None:
    token = await pool.acquire()

    async def verify(unknown: OutcomeUnknown) -> str | Verdict:
        # In the same session: nothing is held while this looks.
        await pool.invoke(token, find())
        return "found" if unknown.request in tiny.saved else RESEND

    tiny.fail("save", Fault(after=True) if there else Fault(before=True))
    answer = await pool.invoke(token, save("order"), verify=verify)
    assert (answer, tiny.saved) == ("found" if there else "order", ["order"])


@pytest.mark.requirement("S35")
async def test_not_done_and_a_second_loss(pool: SessionPool[Any, Any], tiny: Tiny) -> None:
    token = await pool.acquire()

    async def no(_: OutcomeUnknown) -> Verdict:
        return NOT_DONE

    async def again(_: OutcomeUnknown) -> Verdict:
        return RESEND

    async def broken(_: OutcomeUnknown) -> Verdict:
        raise ServiceError("nobody knows")

    tiny.always["save"] = Fault(before=True)
    with pytest.raises(NotDone):
        await pool.invoke(token, save(), verify=no)
    assert tiny.counts["save"] == 1
    with pytest.raises(OutcomeUnknown):
        await pool.invoke(token, save(), verify=again)
    assert tiny.counts["save"] == 3
    with pytest.raises(OutcomeUnknown):
        await pool.invoke(token, save(), verify=broken)


@pytest.mark.requirement("S34")
async def test_what_was_not_sent_may_be_sent_again(make: Make, tiny: Tiny, client: Client) -> None:
    class Unlucky(Client):
        refusals = 2

        async def send(self, call: Call[Any], ticket: Ticket) -> Any:
            if self.refusals:
                self.refusals -= 1
                raise NotSent("refused")
            return await super().send(call, ticket)

    unlucky = Unlucky(client.port)
    async with make(unlucky) as pool:
        token = await pool.acquire()
        assert await pool.invoke(token, save("order")) == "order"
        assert tiny.saved == ["order"]
        unlucky.refusals = 9
        with pytest.raises(NotSent):
            await pool.invoke(token, save("order"))
        assert unlucky.refusals == 9 - 4
        assert pool.stats()["retries"] == 2 + 3


@pytest.mark.requirement("S36")
@pytest.mark.parametrize("fault", LOST)
async def test_what_is_idempotent_survives(pool: SessionPool[Any, Any], tiny: Tiny, fault: Fault) -> None:
    token = await pool.acquire()
    tiny.fail("find", fault, fault, fault)
    assert await pool.invoke(token, find()) == "x"
    assert tiny.counts["find"] == 4
    tiny.always["find"] = fault
    with pytest.raises(OutcomeLost):
        await pool.invoke(token, find())
    assert tiny.counts["find"] == 8


@pytest.mark.requirement("S36")
async def test_within_a_total_deadline(make: Make, tiny: Tiny) -> None:
    async with make(max_retries=1_000, retry_within=0.3) as pool:
        token = await pool.acquire()
        tiny.always["find"] = Fault(before=True)
        begun = time.monotonic()
        for call in (find(), find(timeout=0.1)):
            with pytest.raises((OutcomeLost, NotSent)):
                await pool.invoke(token, call)
        assert time.monotonic() - begun < 5


@pytest.mark.requirement("S37", "S38")
async def test_what_took_no_effect_is_tried_again_where_that_is_wanted(pool: SessionPool[Any, Any], tiny: Tiny) -> None:
    token = await pool.acquire()
    tiny.fail("find", Fault(say="busy"))
    assert await pool.invoke(token, find()) == "x"
    tiny.fail("save", Fault(say="busy"))
    with pytest.raises(Busy):
        await pool.invoke(token, save("one"))
    assert (tiny.counts["save"], tiny.saved) == (1, [])
    tiny.fail("save", Fault(say="busy"))
    assert await pool.invoke(token, save("two", retry_busy=True)) == "two"
    assert tiny.saved == ["two"]
    assert not Call(service="unheard of", request=None).idempotent


@pytest.mark.requirement("S39")
async def test_while_one_waits_another_is_served(make: Make, tiny: Tiny) -> None:
    clock = ManualClock()
    async with make(clock=clock, pause=100.0, longest_pause=100.0, retry_within=1e6) as pool:
        token = await pool.acquire()
        tiny.fail("find", Fault(before=True))
        waiting = asyncio.ensure_future(pool.invoke(token, find("waits")))
        await happens(lambda: tiny.counts["find"] and pool.state(token) is SessionState.CONNECTED)
        assert await pool.invoke(token, save("passes")) == "passes"
        assert not waiting.done()
        while not waiting.done():
            await clock.advance(10.0)
            await asyncio.sleep(0.001)
        assert await waiting == "waits"


@pytest.mark.requirement("S39")
async def test_pauses_grow_have_full_jitter_and_a_cap(make: Make) -> None:
    options = make(pause=0.5, longest_pause=10.0).options  # type: ignore[attr-defined]
    for tries, most in ((1, 0.5), (2, 1.0), (3, 2.0), (9, 10.0), (1_000, 10.0)):
        pauses = [options.jittered(tries) for _ in range(300)]
        assert 0.0 <= min(pauses) < 0.2 * most
        assert 0.8 * most < max(pauses) <= most


async def test_the_service_s_own_refusal_passes_and_the_session_lives(pool: SessionPool[Any, Any], tiny: Tiny) -> None:
    token = await pool.acquire()
    tiny.fail("save", Fault(say="error"))
    with pytest.raises(ServiceError):
        await pool.invoke(token, save())
    assert await pool.invoke(token, save()) == "x"
    assert tiny.counts["logins_ok"] == 1


async def test_callers_get_the_service_s_own_exception(make: Make, tiny: Tiny, client: Client) -> None:
    class Own(Client):
        async def send(self, call: Call[Any], ticket: Ticket) -> Any:
            raise Busy("deadlock", error=ServiceError("deadlock, in its own words"))

    async with make(Own(client.port), max_retries=0) as pool:
        token = await pool.acquire()
        with pytest.raises(ServiceError, match="own words"):
            await pool.invoke(token, find())
    async with make(Own(client.port), max_retries=0, translate=lambda error: KeyError(str(error))) as pool:
        token = await pool.acquire()
        with pytest.raises(KeyError, match="deadlock"):
            await pool.invoke(token, find())

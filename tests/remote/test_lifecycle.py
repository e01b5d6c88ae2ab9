"""Sessions come and go, each logged out once."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from typing import Any
from uuid import uuid4

import pytest

from insession import ConfigurationError
from insession.remote import PoolClosed, SessionPool, SessionState, UnknownToken
from insession.stores.memory import MemoryStore

from .conftest import Make
from .tiny import Client, Fault, Tiny, find, save
from .waiting import happens


@pytest.mark.requirement("S6", "S7")
async def test_every_token_is_a_session_of_its_own(pool: SessionPool[Any, Any], tiny: Tiny) -> None:
    tokens = [await pool.acquire() for _ in range(3)]
    assert len(set(tokens)) == tiny.counts["logins_ok"] == 3
    for token in tokens:
        assert await pool.invoke(token, find("a")) == "a"
        assert await pool.invoke(token, save("b")) == "b"
    first, second, third = list(tiny.sessions)
    assert tiny.seen == [first, first, second, second, third, third]


@pytest.mark.requirement("S8", "S9")
async def test_finalize_ends_that_session_only(pool: SessionPool[Any, Any], tiny: Tiny) -> None:
    one, two = await pool.acquire(), await pool.acquire()
    await pool.finalize(one)
    await pool.finalize(one)
    assert (len(tiny.sessions), tiny.counts["logout"]) == (1, 1)
    before = tiny.counts.total()
    for token in (one, uuid4()):
        with pytest.raises(UnknownToken):
            await pool.invoke(token, find())
    assert tiny.counts.total() == before
    assert pool.state(one) is SessionState.DISCONNECTED
    assert await pool.invoke(two, find()) == "x"


@pytest.mark.requirement("S2", "S4")
@pytest.mark.parametrize("ending", [None, ValueError("mine"), KeyboardInterrupt("ctrl-c")])
async def test_leaving_the_block_logs_out_whatever_ends_it(
    make: Make, tiny: Tiny, ending: BaseException | None
) -> None:
    async def work() -> None:
        async with make() as pool:
            pools.append(pool)
            for _ in range(3):
                await pool.acquire()
            if ending is not None:
                raise ending

    pools: list[SessionPool[Any, Any]] = []
    with nullcontext() if ending is None else pytest.raises(type(ending), match=str(ending)):
        await work()
    assert (tiny.sessions, tiny.counts["logout"]) == ({}, 3)
    before = tiny.counts.total()
    with pytest.raises(PoolClosed):
        await pools[0].acquire()
    with pytest.raises(PoolClosed):
        await pools[0].send(find())
    assert tiny.counts.total() == before


@pytest.mark.requirement("S2")
async def test_a_task_that_is_cancelled_logs_out(make: Make, tiny: Tiny) -> None:
    begun = asyncio.Event()

    async def work() -> None:
        async with make() as pool:
            await pool.acquire()
            begun.set()
            await asyncio.sleep(60)

    task = asyncio.ensure_future(work())
    await begun.wait()
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (tiny.sessions, tiny.counts["logout"]) == ({}, 1)


@pytest.mark.requirement("S3")
async def test_a_pool_ends_its_own_sessions_only_and_only_once(make: Make, tiny: Tiny) -> None:
    async with make() as other:
        theirs = await other.acquire()
        async with make() as pool:
            await pool.acquire()
            await asyncio.gather(pool.close(), pool.close())
            await pool.close()
        del pool
        assert (len(tiny.sessions), tiny.counts["logout"]) == (1, 1)
        assert await other.invoke(theirs, find()) == "x"
    assert tiny.counts["logout"] == 2


@pytest.mark.requirement("S5")
@pytest.mark.parametrize("how", ["held", "away"])
async def test_ending_is_bounded_and_what_is_not_done_is_owed(
    make: Make, tiny: Tiny, how: str, store: MemoryStore
) -> None:
    async with make(logout_timeout=0.2) as pool:
        await pool.acquire()
        tiny.always["logout"] = Fault(hold=asyncio.Event()) if how == "held" else Fault(before=True)
        async with asyncio.timeout(20):
            await pool.close()
    assert len(tiny.sessions) == 1
    tiny.always.clear()
    async with make():
        await happens(lambda: not tiny.sessions)


@pytest.mark.requirement("S10")
@pytest.mark.parametrize("say", ["refused", "error", "busy"])
async def test_a_login_that_fails_leaves_nothing_behind(
    pool: SessionPool[Any, Any], tiny: Tiny, say: str, store: MemoryStore
) -> None:
    tiny.always["login"] = Fault(say=say)
    with pytest.raises(Exception, match=f"says: {say}"):
        await pool.acquire()
    assert pool.stats()["active_sessions"] == pool.stats()["total_created"] == 0
    assert (await pool._engine.find(kind=pool._holding._register.kind.name, state=None)).sessions == []
    mine = [task for task in asyncio.all_tasks() if "insession/remote" in repr(task)]
    assert [repr(task) for task in mine if "_end_spares" not in repr(task)] == []


@pytest.mark.requirement("S14")
async def test_a_service_never_sees_two_requests_in_one_session(pool: SessionPool[Any, Any], tiny: Tiny) -> None:
    token = await pool.acquire()
    assert await asyncio.gather(*[pool.invoke(token, find(number)) for number in range(20)]) == list(range(20))
    assert tiny.counts["overlaps"] == 0


@pytest.mark.requirement("S15")
async def test_a_cancelled_call_leaves_the_session_usable(pool: SessionPool[Any, Any], tiny: Tiny) -> None:
    token = await pool.acquire()
    tiny.fail("find", Fault(hold=asyncio.Event()))
    call = asyncio.ensure_future(pool.invoke(token, find("lost")))
    await happens(lambda: tiny.counts["find"])
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert await pool.invoke(token, find("next")) == "next"
    assert pool.state(token) is SessionState.CONNECTED


async def test_it_is_used_within_its_block(make: Make, client: Client) -> None:
    pool: Any = make()
    with pytest.raises(ConfigurationError, match="async with"):
        await pool.acquire()
    async with pool:
        with pytest.raises(ConfigurationError, match="once"):
            await pool.__aenter__()
    with pytest.raises(ConfigurationError, match="max_sessions"):
        make(max_session=3)
    with pytest.raises(ConfigurationError, match="login_limit"):
        make(login_limit=0)

"""What is the Redis store's own: what a server can do to it."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

import insession
from insession import ConfigurationError, OutcomeUnknown, StoreFull, StoreUnavailable
from insession.kernel.contract import Store
from insession.kernel.events import ENDINGS, EventType
from insession.kernel.operations import Count, Counted, Done, End, Ends, Load, Loaded, Pick, Put, Refused, Touch, Why
from insession.kernel.urls import parse_url
from insession.stores.redis import RedisStore
from insession.testing.clock import ManualClock
from insession.testing.contract.log import woken
from insession.testing.contract.samples import (
    ask,
    done,
    due_after,
    end,
    end_of_log,
    ended,
    ending,
    fresh_change,
    opened,
    opening,
    record_of,
    session,
    the_log,
    the_record,
    update,
    writing,
)
from tests.servers.valkey import Valkey, free_port

CALLS = ("functions", "scripts", "plain scripts")
NOW = 1_800_000_000.0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Valkey]:
    """A server that a test may do anything to; what it answered is on the disk."""
    server = Valkey(tmp_path, "--appendonly", "yes", "--appendfsync", "always")
    server.start()
    yield server
    server.stop()


def made(server: Valkey, **options: Any) -> RedisStore:
    return RedisStore(parse_url(server.url), clock=ManualClock(NOW), **options)


@pytest.fixture
async def store(server: Valkey) -> AsyncIterator[Store]:
    store = made(server)
    await store.open()
    yield store
    await store.close()


@pytest.mark.parametrize("calls", CALLS)
async def test_a_server_that_forgets_the_program_is_brought_it_again(server: Valkey, calls: Any) -> None:
    store = made(server, calls=calls)
    await store.open()
    record = await opened(store, session("one", NOW))
    for place, words in enumerate((("FUNCTION", "FLUSH"), ("SCRIPT", "FLUSH"))):
        server.ask(*words)
        await done(store, update(record.id, NOW, data=b"%d" % place, event=EventType.UPDATED))
    assert (await the_record(store, record.id)).data == b"1"
    assert len(await the_log(store)) == 3
    await store.close()


async def test_a_user_who_may_not_load_functions_runs_scripts(server: Valkey) -> None:
    server.ask("ACL", "SETUSER", "ann", "on", ">pw", "~insession:*", "&insession:*", "+@all", "-function")
    url = f"redis://ann:pw@127.0.0.1:{server.port}"
    store = RedisStore(parse_url(url), clock=ManualClock(NOW))
    await store.open()
    await opened(store, session("one", NOW))
    assert b"calls=1," in server.ask("INFO", "commandstats").partition(b"cmdstat_evalsha:")[2][:8]
    await store.close()


async def test_one_call_for_a_batch(server: Valkey, store: Store) -> None:
    await opened(store, session("first", NOW))
    before = server.ask("INFO", "commandstats").partition(b"cmdstat_fcall:calls=")[2].partition(b",")[0]
    await store.apply([opening(session(f"s{place}", NOW, owner="ann")) for place in range(50)])
    after = server.ask("INFO", "commandstats").partition(b"cmdstat_fcall:calls=")[2].partition(b",")[0]
    assert int(after) == int(before) + 1


async def test_killed_connections_are_made_anew(server: Valkey, store: Store) -> None:
    record = await opened(store, session("one", NOW))
    for place in range(3):
        server.ask("CLIENT", "KILL", "TYPE", "normal")
        answer = await _until_it_answers(store, update(record.id, NOW, data=b"%d" % place))
        assert isinstance(answer, Done)
    assert (await the_record(store, record.id)).data == b"2"


async def _until_it_answers(store: Store, operation: Any) -> Any:
    """Sent again as an engine does; the change's id says whether it was done."""
    for _ in range(100):
        try:
            (answer,) = await store.apply([operation])
        except (StoreUnavailable, OutcomeUnknown):
            await asyncio.sleep(0.02)
        else:
            return answer
    raise AssertionError("it does not answer")


async def test_a_killed_listener_is_woken_by_what_it_missed(server: Valkey, store: Store) -> None:
    other = made(server)
    await other.open()
    record = await opened(other, session("one", NOW))
    waker = store.waker(ENDINGS)
    server.ask("CLIENT", "KILL", "TYPE", "pubsub")
    await ended(other, end(record.id, ending(NOW)))
    assert await woken(waker)
    (event,) = await the_log(store, types=ENDINGS)
    assert event.id == record.id
    await other.close()


async def test_restarts_lose_nothing_that_was_answered(server: Valkey, store: Store) -> None:
    record = await opened(store, session("one", NOW, idle=1e6))
    done_, tries = 0, 0
    stop = asyncio.Event()

    async def count() -> None:
        nonlocal done_, tries
        while not stop.is_set():
            tries += 1
            commit = writing(NOW, Put(f"{record.id}/{tries}", b"x"))
            assert isinstance(await _until_it_answers(store, commit), Done)
            done_ += 1

    task = asyncio.ensure_future(count())
    for how in (signal.SIGTERM, signal.SIGKILL, signal.SIGTERM):
        await asyncio.sleep(0.05)
        server.stop(how)
        server.start()
    await asyncio.sleep(0.05)
    stop.set()
    await task
    loaded = await ask(store, Load((), record.id), Loaded)
    assert len(loaded.under) == done_ == tries
    assert all(len(item.changes) == 1 for item in loaded.under)


async def test_a_cursor_of_an_earlier_run_is_told_that_it_is_trimmed(server: Valkey, store: Store) -> None:
    record = await opened(store, session("one", NOW))
    cursor = await end_of_log(store)
    server.stop()
    server.start()
    page = await store.events(cursor, 10, None)
    assert page.trimmed
    assert [event.id for event in await the_log(store, page.cursor)] == [record.id]
    assert not (await store.events(await end_of_log(store), 10, None)).trimmed


@pytest.mark.parametrize("calls", ["functions", "scripts"])
async def test_a_full_server_refuses_openings_while_reading_and_ending_go_on(server: Valkey, calls: Any) -> None:
    store = made(server, calls=calls)
    await store.open()
    first, second, _ = [await opened(store, session(name, NOW, data=b"x")) for name in "abc"]
    server.ask("CONFIG", "SET", "maxmemory", "1")
    with pytest.raises(StoreFull, match="maxmemory"):
        await store.apply([opening(session("new", NOW))])
    with pytest.raises(StoreFull):
        await store.apply([end(first.id, ending(NOW)), opening(session("new", NOW))])
    assert (await the_record(store, first.id)).live
    assert await due_after(store, Touch(second.id, NOW + 5, 0.0)) == NOW + 65
    assert await ended(store, end(first.id, ending(NOW))) == (first.id,)
    await ask(store, End(Pick("all", most=1), ending(NOW)), Ends)
    assert await ask(store, Count("all"), Counted) == Counted(1)
    assert len(await the_log(store, types=ENDINGS)) == 2
    server.ask("CONFIG", "SET", "maxmemory", "0")
    await opened(store, session("new", NOW))
    await store.close()


async def test_a_full_server_before_redis_7_goes_on_reading(server: Valkey) -> None:
    store = made(server, calls="plain scripts")
    await store.open()
    record = await opened(store, session("one", NOW))
    server.ask("CONFIG", "SET", "maxmemory", "1")
    for operation in (opening(session("new", NOW)), end(record.id, ending(NOW)), Touch(record.id, NOW + 5, 0.0)):
        with pytest.raises(StoreFull):
            await store.apply([operation])
    assert await the_record(store, record.id) == record
    assert len(await the_log(store)) == 1
    await store.close()


async def test_neighbours_of_an_opening_that_a_full_server_refuses_go_on(server: Valkey) -> None:
    async with insession.connect(made(server)) as engine:
        session_ = await engine.open(kind="call", owner="ann")
        server.ask("CONFIG", "SET", "maxmemory", "1")
        opening_, closing = await asyncio.gather(
            engine.open(kind="call", owner="bob"), session_.close(), return_exceptions=True
        )
        assert isinstance(opening_, StoreFull)
        assert not isinstance(closing, Exception)
        assert session_.state == "closed"
        server.ask("CONFIG", "SET", "maxmemory", "0")


async def test_a_server_that_is_not_there() -> None:
    store = RedisStore(parse_url(f"redis://ann:hunter2@127.0.0.1:{free_port()}/0"), patience=0.5)
    with pytest.raises(StoreUnavailable, match=r"redis://ann:\*\*\*@127.0.0.1") as raised:
        await store.open()
    assert "hunter2" not in str(raised.value)
    with pytest.raises(StoreUnavailable, match="not open"):
        await store.apply([Load(("a",))])


async def test_a_wrong_password(server: Valkey) -> None:
    store = RedisStore(parse_url(f"redis://:hunter2@127.0.0.1:{server.port}"))
    with pytest.raises(ConfigurationError, match="refuses this user") as raised:
        await store.open()
    assert "hunter2" not in str(raised.value)


async def test_a_server_that_stopped_answering(server: Valkey) -> None:
    store = made(server, patience=0.3)
    await store.open()
    record = await opened(store, session("one", NOW))
    assert server.process is not None
    os.kill(server.process.pid, signal.SIGSTOP)
    try:
        before = time.monotonic()
        with pytest.raises(OutcomeUnknown, match=r"no answer within 0\.3 s"):
            await store.apply([update(record.id, NOW, data=b"x")])
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match=r"valkey://:\*\*\*@"):
                await store.apply([Load((record.id,))])
            with pytest.raises(StoreUnavailable):
                await store.events(None, 1, None)
        assert time.monotonic() - before < 3.0
    finally:
        os.kill(server.process.pid, signal.SIGCONT)
    assert await record_of(store, record.id) is not None
    await store.close()


async def test_a_cancelled_call_leaves_its_answer_to_nobody(store: Store) -> None:
    records = [await opened(store, session(f"s{place}", NOW)) for place in range(5)]
    for turns in range(12):
        task = asyncio.ensure_future(store.apply([Load((records[0].id,))]))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        answers = await asyncio.gather(*(store.apply([Load((record.id,))]) for record in records))
        assert [answer[0] for answer in answers] == [Loaded((record,)) for record in records]
        await asyncio.gather(task, return_exceptions=True)


async def test_a_change_whose_answer_was_lost_is_done_when_it_is_sent_again(server: Valkey) -> None:
    store = made(server, patience=0.3)
    await store.open()
    record = await opened(store, session("one", NOW))
    assert server.process is not None
    commit = update(record.id, NOW, version=record.version, data=b"x", event=EventType.UPDATED)
    os.kill(server.process.pid, signal.SIGSTOP)
    try:
        with pytest.raises(OutcomeUnknown):
            await store.apply([commit])
    finally:
        os.kill(server.process.pid, signal.SIGCONT)
    await done(store, commit)
    assert [event.type for event in await the_log(store)] == [EventType.OPENED, EventType.UPDATED]
    await store.close()


async def test_one_operation_that_fails_on_the_server_fails_no_neighbour_there(server: Valkey, store: Store) -> None:
    record = await opened(store, session("one", NOW))
    key = f"insession:{{default.0}}:i{record.id}/bad"
    server.ask("LPUSH", key, "no string")
    good = update(record.id, NOW, data=b"good")
    with pytest.raises(OutcomeUnknown, match="WRONGTYPE"):
        await store.apply([writing(NOW, Put(f"{record.id}/bad", b"x")), good])
    assert (await the_record(store, record.id)).data == b"good"


async def test_namespaces_see_nothing_of_each_other(server: Valkey, store: Store) -> None:
    other = made(server, namespace="other")
    await other.open()
    waker = other.waker({EventType.OPENED})
    record = await opened(store, session("one", NOW, owner="ann"))
    assert await record_of(other, record.id) is None
    assert await ask(other, Count("all"), Counted) == Counted(0)
    assert await the_log(other) == []
    assert not waker._set
    await opened(other, session("one", NOW, owner="ann"))
    assert await woken(waker)
    await other.close()


async def test_an_owner_that_looks_like_a_key(store: Store) -> None:
    for owner in ("+", "}", "{x}", "0call+ann", "a:b"):
        record = await opened(store, session("one", NOW, owner=owner))
        assert await ask(store, Count("owner", owner), Counted) == Counted(1)
        assert await ended(store, End(Pick("owner", owner, most=9), ending(NOW))) == (record.id,)


async def test_a_forked_store_and_one_that_was_opened_twice(store: Store) -> None:
    with pytest.raises(ConfigurationError, match="opened before"):
        await store.open()
    await store.close()
    with pytest.raises(StoreUnavailable, match="not open"):
        await store.events(None, 1, None)


async def test_a_page_looks_at_so_many_positions(store: Store) -> None:
    record = await opened(store, session("one", NOW, idle=1e6))
    for _ in range(25):
        batch = [update(record.id, NOW, event=EventType.UPDATED, change=fresh_change()) for _ in range(100)]
        answers = await store.apply(batch)
        assert all(isinstance(answer, Done) for answer in answers)
    await ended(store, end(record.id, ending(NOW)))
    (event,) = await the_log(store, types=ENDINGS)
    assert (event.type, event.position) == (EventType.INTERRUPTED, 2502)


async def test_an_hour_off_ends_nothing_early(server: Valkey) -> None:
    store = RedisStore(parse_url(server.url))
    async with insession.connect(store) as engine:
        assert abs(engine.clock.now() - time.time()) < 1.0
        session_ = await engine.open(kind="call", idle=60)
        refused = await ask(store, end(session_.id, ending(time.time() + 3600)), Refused)
        assert refused.why is Why.PAST_DUE


async def test_engines_interrupt_across_stores(server: Valkey) -> None:
    async with insession.connect(server.url) as here, insession.connect(server.url) as there:
        session_ = await here.open(kind="call", owner="ann")
        started = asyncio.Event()

        async def work() -> None:
            async with session_.running():
                started.set()
                await asyncio.sleep(30)

        task = asyncio.ensure_future(work())
        await started.wait()
        await there.interrupt(session_.id, "stop")
        with pytest.raises(insession.Interrupted):
            await asyncio.wait_for(task, 5)

"""Many write at once, connections and servers go away: nothing is lost, revived, or passed by a reader."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg
import pytest

import insession
from insession.errors import OutcomeUnknown, StoreError, StoreUnavailable
from insession.kernel.clock import Clock
from insession.kernel.contract import Store
from insession.kernel.events import ENDINGS, START, EventType
from insession.kernel.limits import Limit
from insession.kernel.operations import Count, Counted, Done, Load
from insession.kernel.urls import store_from
from insession.stores.postgres.batch import Batch
from insession.testing.contract.samples import ask as ask_store
from insession.testing.contract.samples import opened, opening, record_of, session, the_log
from tests.processes.running import ROOT
from tests.servers.postgres import PostgresServer, ask, fresh_schema, running_server, shared_server

WRITERS = 6
EACH = 40
RESTARTS = int(os.environ.get("INSESSION_RESTARTS", "3"))
"""More of them for a longer look."""


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


async def opened_store(stack: AsyncExitStack, url: str) -> Store:
    store = store_from(url, namespace="default")
    await store.open()
    stack.push_async_callback(store.close)
    return store


async def read_on(store: Store, cursor: str, seen: list[str]) -> str:
    """Everything after a cursor; the cursor then."""
    more = True
    while more:
        page = await store.events(cursor, 50, None)
        assert not page.trimmed
        seen += [event.id for event in page.events]
        cursor, more = page.cursor, page.more
    return cursor


async def test_no_cursor_passes_an_event_that_is_not_visible_yet(stack: AsyncExitStack) -> None:
    """One writer has written and not committed, another one writes: a reader sees neither or both, in their order."""
    schema = fresh_schema()
    url = shared_server().url(schema)
    store = await opened_store(stack, url)
    cursor, seen = (await store.events(None, 1, None)).cursor, list[str]()
    first, second = session("first", Clock().now()), session("second", Clock().now())
    held = await asyncpg.connect(host=str(shared_server().folder), user="insession", database="postgres")
    transaction = held.transaction()
    await transaction.start()
    batch = Batch([opening(first)], store._schema.space, 0.0)  # type: ignore[attr-defined]
    await held.fetch(store._schema.apply, True, *batch.arguments())  # type: ignore[attr-defined]
    writing = asyncio.ensure_future(store.apply([opening(second)]))
    for _ in range(20):
        cursor = await read_on(store, cursor, seen)
        assert seen == []
    assert not writing.done()
    await transaction.commit()
    await held.close()
    await writing
    await read_on(store, cursor, seen)
    assert seen == [first.id, second.id]


async def test_following_reader_misses_nothing(stack: AsyncExitStack) -> None:
    url = shared_server().url(fresh_schema())
    stores = [await opened_store(stack, url) for _ in range(WRITERS)]
    reader = await opened_store(stack, url)
    cursor, seen = (await reader.events(None, 1, None)).cursor, list[str]()

    async def write(place: int, store: Store) -> list[str]:
        records = [session(f"{place}-{number}", Clock().now()) for number in range(EACH)]
        for record in records:
            await store.apply([opening(record)])
        return [record.id for record in records]

    writing = asyncio.gather(*(write(*one) for one in enumerate(stores)))
    while not writing.done():
        cursor = await read_on(reader, cursor, seen)
    written = [one for ids in await writing for one in ids]
    await read_on(reader, cursor, seen)
    assert Counter(seen) == Counter(written)
    assert seen == [event.id for event in await the_log(reader)]


@pytest.mark.parametrize("then", ["deny", "oldest", "least recently used"])
async def test_limit_is_never_exceeded(stack: AsyncExitStack, then: str) -> None:
    url = shared_server().url(fresh_schema())
    stores = [await opened_store(stack, url) for _ in range(4)]
    limits = [Limit(most=3, then=then)]  # type: ignore[arg-type]
    opening_all = asyncio.gather(
        *(
            store.apply([opening(session(f"{place}-{number}", Clock().now(), owner="ann"), limits=limits)])
            for place, store in enumerate(stores)
            for number in range(50)
        )
    )
    most = 0
    while not opening_all.done():
        most = max(most, (await ask_store(stores[0], Count("owner", "ann"), Counted)).number)
    answers = await opening_all
    assert most <= 3
    assert sum(isinstance(answer, Done) for (answer,) in answers) == (3 if then == "deny" else 200)
    assert len(await the_log(stores[0], types=ENDINGS)) == (0 if then == "deny" else 197)


@pytest.mark.processes
async def test_random_batches_of_four_processes_never_wait_for_each_other_in_a_circle() -> None:
    url = shared_server().url(fresh_schema())
    log = shared_server().folder / "log"
    before = log.stat().st_size
    processes = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.stores.random_batches", url, str(place), "4"),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
        )
        for place in range(4)
    ]
    said = await asyncio.gather(*(process.communicate() for process in processes))
    assert [process.returncode for process in processes] == [0] * 4
    assert all(int(out) > 100 for out, _ in said)
    assert "deadlock detected" not in _since(log, before)


def _since(log: Path, size: int) -> str:
    with log.open("rb") as file:
        file.seek(size)
        return file.read().decode()


async def test_several_open_the_same_names_at_once(stack: AsyncExitStack) -> None:
    url = shared_server().url(fresh_schema())
    stores = [await opened_store(stack, url) for _ in range(4)]
    at = Clock().now()
    for number in range(10):
        names = [f"s{number}", f"t{number}"]
        answers = await asyncio.gather(
            *(
                store.apply([opening(session(name, at)) for name in names[:: 1 if place % 2 else -1]])
                for place, store in enumerate(stores)
            )
        )
        assert sum(isinstance(answer, Done) for batch in answers for answer in batch) == len(names)


async def cut_off(server: PostgresServer, *, listeners: bool) -> int:
    """Terminate the connections of one kind; how many they were."""
    rows = await ask(
        server,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
        "AND application_name = $1",
        "insession listening" if listeners else "insession",
    )
    return len(rows)


async def test_listener_that_is_cut_off_listens_again_and_looks(stack: AsyncExitStack) -> None:
    with running_server() as server:
        here, there = await opened_store(stack, server.url()), await opened_store(stack, server.url())
        await opened(here, session("one", Clock().now()))
        for number in range(3):
            waker = there.waker({EventType.OPENED})
            cursor = (await there.events(None, 1, None)).cursor
            async with asyncio.timeout(10.0):
                while not await cut_off(server, listeners=True):
                    pass  # they are still connecting again
            record = await opened(here, session(f"s{number}", Clock().now()))
            seen: list[str] = []
            while not seen:
                await asyncio.wait_for(waker.wait(), 10)
                cursor = await read_on(there, cursor, seen)
            assert seen == [record.id]
        await stack.aclose()


async def drive(engine: insession.Engine, stop: asyncio.Event, done: dict[str, str | None]) -> Counter[str]:
    """Open and close sessions until told to stop: ids, and the reason of those whose closing was acknowledged."""
    met: Counter[str] = Counter()

    async def caller(place: int) -> None:
        number = 0
        while not stop.is_set():
            number += 1
            try:
                one = await engine.open(kind="call", owner=f"o{place}")
                done[one.id] = None
                met["opened"] += 1
                await one.close(f"r{number}")
                done[one.id] = f"r{number}"
            except (OutcomeUnknown, StoreUnavailable) as error:
                met[type(error).__name__] += 1

    await asyncio.gather(*(caller(place) for place in range(32)))
    return met


async def check_all(engine: insession.Engine, done: dict[str, str | None]) -> None:
    """What was acknowledged is there, once."""
    events = [event for event in await the_log(engine.store, START, limit=1000) if event.kind == "call"]
    opened_ones = Counter(event.id for event in events if event.type is EventType.OPENED)
    ended = {event.id: event.reason for event in events if event.type in ENDINGS}
    assert set(opened_ones.values()) <= {1}
    assert Counter(event.id for event in events if event.type in ENDINGS).most_common(1)[0][1] == 1
    assert set(done) <= set(opened_ones)
    assert {one: reason for one, reason in done.items() if reason} == {
        one: ended.get(one) for one, reason in done.items() if reason
    }


@pytest.mark.timeout(120)
async def test_writers_that_are_cut_off_lose_nothing() -> None:
    with running_server() as server:
        async with insession.connect(server.url(), kinds=[insession.Kind("call")]) as engine:
            stop, done = asyncio.Event(), dict[str, str | None]()
            driving = asyncio.ensure_future(drive(engine, stop, done))
            for _ in range(10):
                await asyncio.sleep(0.1)
                await cut_off(server, listeners=False)
            stop.set()
            met = await driving
            assert met["opened"] > 50
            await check_all(engine, done)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("how", ["stopped", "crashed"])
async def test_server_that_restarts_loses_nothing(how: str) -> None:
    with running_server() as server:
        async with insession.connect(server.url(), kinds=[insession.Kind("call")]) as engine:
            stop, done = asyncio.Event(), dict[str, str | None]()
            driving = asyncio.ensure_future(drive(engine, stop, done))
            for _ in range(RESTARTS):
                await asyncio.sleep(0.3)
                number = len(done)
                await asyncio.to_thread(server.stop, signal.SIGINT if how == "stopped" else signal.SIGQUIT)
                await asyncio.to_thread(server.start)
                async with asyncio.timeout(2):
                    while len(done) == number:  # noqa: ASYNC110 - everything that goes on is what is waited for
                        await asyncio.sleep(0.01)
            stop.set()
            met = await driving
            assert met["opened"] > 50
            await check_all(engine, done)


async def test_server_that_is_gone_is_told_by_the_deadline(stack: AsyncExitStack) -> None:
    with running_server() as server:
        store = await opened_store(stack, server.url(timeout=0.5))
        record = await opened(store, session("one", Clock().now()))
        server.stop()
        for operation in (Load((record.id,)), opening(session("two", Clock().now()))):
            with pytest.raises(StoreError, match="postgresql://insession"):
                async with asyncio.timeout(3):
                    await store.apply([operation])
        server.start()
        assert await record_of(store, record.id) == record
        await stack.aclose()

"""What is PostgreSQL's own: its URL, what lies in the database, and being woken."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import asyncpg
import pytest

from insession.errors import ConfigurationError, StoreUnavailable
from insession.kernel.clock import Clock
from insession.kernel.contract import Store
from insession.kernel.events import ENDINGS, START, EventType
from insession.kernel.operations import Acquire, Count, Counted, Granted, Release, Waiting
from insession.kernel.urls import StoreURL, parse_url, store_from
from insession.testing.contract.samples import ask as ask_store
from insession.testing.contract.samples import end, ended, ending, opened, session, the_log
from tests.servers.postgres import ask, fresh_schema, shared_server


class Stores:
    """Opens stores on one schema, and closes them."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self.schema = fresh_schema()
        self._stack = stack

    async def open(self, namespace: str = "default", **options: object) -> Store:
        store = store_from(shared_server().url(self.schema, **options), namespace=namespace)
        await store.open()
        self._stack.push_async_callback(store.close)
        return store


@pytest.fixture
async def stores() -> AsyncIterator[Stores]:
    async with AsyncExitStack() as stack:
        yield Stores(stack)


def parsed(url: str) -> StoreURL:
    return parse_url(url)


class TestURL:
    def test_parts(self) -> None:
        url = parsed("postgresql://ann:p%40ss@one:5433,two,[::1]:1/sessions?schema=s")
        assert (url.user, url.password, url.path) == ("ann", "p@ss", "/sessions")
        assert url.hosts == (("one", 5433), ("two", None), ("::1", 1))
        assert url.shown == "postgresql://ann:***@one:5433,two,[::1]:1/sessions"
        assert "p@ss" not in repr(url)
        assert "p%40ss" not in repr(url)

    @pytest.mark.parametrize("server", ["one:0", "one:65536", "one:x", "a:b:c", "[::1"])
    def test_malformed_server(self, server: str) -> None:
        with pytest.raises(ConfigurationError) as error:
            parsed(f"postgresql://ann:secret@{server}/sessions")
        assert "secret" not in str(error.value)

    @pytest.mark.parametrize(
        ("options", "says"),
        [
            ("poll=3", "did you mean 'pool'"),
            ("pool=0", "pool is a number"),
            ("pool=many", "pool is a number"),
            ("timeout=-1", "timeout is a number"),
            ("schema=A-B", "schema is a lower-case word"),
            ("sslmode=maybe", "sslmode is one of"),
            ("pgbouncer=2", "pgbouncer is one of"),
            ("listen=nowhere", "listen is host:port"),
            ("host=/tmp", "not both"),
        ],
    )
    def test_options_that_cannot_be(self, options: str, says: str) -> None:
        with pytest.raises(ConfigurationError, match=says) as error:
            store_from(f"postgresql://ann:secret@here/sessions?{options}", namespace="default")
        assert "secret" not in str(error.value)

    async def test_unreachable_server_is_named_without_the_password(self) -> None:
        store = store_from("postgresql://ann:secret@127.0.0.1:1/sessions?timeout=1", namespace="default")
        with pytest.raises(StoreUnavailable) as error:
            await store.open()
        assert "postgresql://ann:***@127.0.0.1:1/sessions" in str(error.value)
        assert "secret" not in str(error.value)

    async def test_unknown_database_is_a_matter_of_configuration(self) -> None:
        url = shared_server().url().replace("/postgres?", "/nothing?")
        with pytest.raises(ConfigurationError, match="database"):
            await store_from(url, namespace="default").open()


class TestSchema:
    async def test_many_open_it_at_once(self, stores: Stores) -> None:
        opened_ones = await asyncio.gather(*(stores.open() for _ in range(5)))
        clock = Clock()
        record = await opened(opened_ones[0], session("one", clock.now()))
        for store in opened_ones:
            assert [event.id for event in await the_log(store)] == [record.id]

    async def test_namespaces_see_nothing_of_each_other(self, stores: Stores) -> None:
        here, there = await stores.open("here"), await stores.open("there")
        await opened(here, session("one", Clock().now(), owner="ann"))
        assert await ask_store(there, Count("owner", "ann"), Counted) == Counted(0)
        assert await the_log(there) == []
        ours, theirs = await here.events(START, 1, None), await there.events(START, 1, None)
        assert ours.cursor.partition(":")[0] != theirs.cursor.partition(":")[0]
        assert (await there.events(ours.cursor, 1, None)).trimmed
        at = Clock().now()
        await ask_store(here, Acquire("l", "a", at, 60.0), Granted)
        await ask_store(there, Acquire("l", "b", at, 60.0), Granted)

    async def test_one_made_by_a_newer_insession_is_refused(self, stores: Stores) -> None:
        await stores.open()
        await ask(shared_server(), f'UPDATE "{stores.schema}".versions SET version = 1000')  # noqa: S608
        with pytest.raises(ConfigurationError, match="newer insession"):
            await stores.open()

    async def test_database_of_another_encoding_is_refused(self, stores: Stores) -> None:
        name = fresh_schema()
        await ask(shared_server(), f"CREATE DATABASE {name} ENCODING 'SQL_ASCII' TEMPLATE template0")
        url = shared_server().url(stores.schema).replace("/postgres?", f"/{name}?")
        with pytest.raises(ConfigurationError, match="UTF8"):
            await store_from(url, namespace="default").open()

    async def test_time_is_the_servers(self, stores: Stores) -> None:
        store = await stores.open()
        ((there,),) = await ask(shared_server(), "SELECT extract(epoch FROM clock_timestamp())::double precision")
        assert 0 <= await store.now() - there < 10

    async def test_another_life_of_the_server_is_another_epoch(self, stores: Stores) -> None:
        store = await stores.open()
        cursor = (await store.events(None, 1, None)).cursor
        await ask(shared_server(), f'UPDATE "{stores.schema}"."default.state" SET epoch = 0')  # noqa: S608
        again = await stores.open()
        assert (await again.events(cursor, 1, None)).trimmed


class TestWaking:
    async def test_another_process_is_told_at_once(self, stores: Stores) -> None:
        here, there = await stores.open(), await stores.open()
        waker = there.waker({EventType.OPENED})
        began = time.monotonic()
        await opened(here, session("one", Clock().now()))
        await asyncio.wait_for(waker.wait(), 10)
        # The slow look comes after a second.
        assert time.monotonic() - began < 0.8

    async def test_lease_that_was_handed_on_is_told_at_once(self, stores: Stores) -> None:
        here, there = await stores.open(), await stores.open()
        at = Clock().now()
        await ask_store(here, Acquire("l", "a", at, 60.0), Granted)
        await ask_store(there, Acquire("l", "b", at, 60.0), Waiting)
        waker = there.waker((), leases=True)
        began = time.monotonic()
        await here.apply([Release("l", "a", at)])
        await asyncio.wait_for(waker.wait(), 10)
        assert time.monotonic() - began < 0.8

    async def test_nobody_is_told_what_nobody_waits_for(self, stores: Stores) -> None:
        here, there = await stores.open(), await stores.open()
        said: asyncio.Queue[str] = asyncio.Queue()
        direct = await asyncpg.connect(host=str(shared_server().folder), user="insession", database="postgres")
        try:
            await direct.add_listener(f"insession {stores.schema} default", lambda *heard: said.put_nowait(heard[3]))
            follower = there.waker(ENDINGS)
            first = await opened(here, session("one", Clock().now()))
            await ended(here, end(first.id, ending(Clock().now())))
            assert (await asyncio.wait_for(said.get(), 10)).partition(" ")[2] == "0 interrupted"
            await asyncio.wait_for(follower.wait(), 10)
            waker = there.waker({EventType.OPENED})
            await asyncio.wait_for(waker.wait(), 10)
            await opened(here, session("two", Clock().now()))
            assert (await asyncio.wait_for(said.get(), 10)).partition(" ")[2] == "0 opened"
        finally:
            await direct.close()

    async def test_what_nobody_told_is_seen_by_looking(self, stores: Stores) -> None:
        """A process may die between its commit and its signal."""
        here, there = await stores.open(pgbouncer=1), await stores.open()
        waker = there.waker({EventType.OPENED})
        await asyncio.sleep(0)
        here._listening.tell = lambda *_, **__: None  # type: ignore[attr-defined]
        await opened(here, session("one", Clock().now()))
        await asyncio.wait_for(waker.wait(), 10)

    async def test_without_a_connection_that_listens(self, stores: Stores) -> None:
        """Behind PgBouncer nobody listens, but everybody looks."""
        here, there = await stores.open(), await stores.open(pgbouncer=1)
        waker = there.waker({EventType.OPENED})
        await opened(here, session("one", Clock().now()))
        await asyncio.wait_for(waker.wait(), 10)
        record = await opened(there, session("two", Clock().now()))
        assert record.id in [event.id for event in await the_log(here)]

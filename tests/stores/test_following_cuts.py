"""Connections that break while an engine ends sessions itself: nothing that ended stays unheard, by whatever way."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

import insession
from insession import Engine, StoreError
from insession.kernel.events import ENDINGS, Event
from tests.servers import valkey
from tests.servers.postgres import fresh_schema, shared_server
from tests.servers.proxy import PostgresTrips, Proxy, RedisTrips, proxied

KINDS = (insession.Kind("device", idle=600.0),)
PATIENCE = 30.0
SESSIONS = 240


class Heard:
    """Counts what a listener hears."""

    def __init__(self) -> None:
        self.ids: Counter[str] = Counter()

    def heard(self, event: Event) -> None:
        self.ids[event.id] += 1

    def missed(self) -> None:
        raise AssertionError


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not true():  # noqa: ASYNC110 - there is no event for what a handle has heard
            await asyncio.sleep(0.01)


@pytest.fixture(params=["redis", "postgres"])
async def engines(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[Proxy, Engine, Engine]]:
    """A proxy, an engine behind it, and another one with a way of its own."""
    async with AsyncExitStack() as stack:
        if request.param == "redis":
            server = valkey.shared()
            proxy, port = await stack.enter_async_context(proxied(("127.0.0.1", server.port), RedisTrips))
            urls = [f"redis://:{server.password}@127.0.0.1:{port}/0", server.url]
            namespace = valkey.namespace_of(tmp_path)
        else:
            database, schema, namespace = shared_server(), fresh_schema(), "default"
            below = database.folder / schema
            below.mkdir()
            way = f"{database.folder}/.s.PGSQL.5432"
            proxy, _ = await stack.enter_async_context(proxied(way, PostgresTrips, f"{below}/.s.PGSQL.5432"))
            urls = [f"postgresql://insession@/postgres?host={below}&schema={schema}", database.url(schema)]
        mine, other = [
            await stack.enter_async_context(insession.connect(url, namespace=namespace, kinds=KINDS)) for url in urls
        ]
        yield proxy, mine, other


async def end_all(engine: Engine, ids: list[str], chance: random.Random) -> None:
    """End them, alone and several at once, however often the connection breaks."""
    left = list(ids)
    while left:
        some = left[: chance.choice((1, 1, 8))]
        answers = await asyncio.gather(*(engine.close(one, "cut") for one in some), return_exceptions=True)
        assert all(isinstance(answer, bool | StoreError) for answer in answers), answers
        left = left[len(some) :] + [
            one for one, answer in zip(some, answers, strict=True) if isinstance(answer, StoreError)
        ]


async def cut(proxy: Proxy, chance: random.Random, working: asyncio.Future[Any]) -> None:
    while not working.done():
        await asyncio.sleep(chance.uniform(0.002, 0.05))
        proxy.hang_up()


@pytest.mark.parametrize("listens", ["from the first", "in the middle", "never"])
async def test_what_ended_while_connections_broke_is_heard(engines: tuple[Proxy, Engine, Engine], listens: str) -> None:
    proxy, mine, other = engines
    chance, heard = random.Random(listens), Heard()
    sessions = [await mine.open(kind="device") for _ in range(SESSIONS)]
    assert not any(session.interrupted for session in sessions)
    await asyncio.gather(*(session.refresh() for session in sessions[:3]))
    ids = [session.id for session in sessions]
    chance.shuffle(ids)
    first, rest = ids[: SESSIONS // 4], ids[SESSIONS // 4 :]
    if listens == "from the first":
        mine.listen("device", heard, ENDINGS)
    await end_all(mine, first, chance)
    if listens == "in the middle":
        mine.listen("device", heard, ENDINGS)
    half = len(rest) // 2
    working = asyncio.gather(end_all(mine, rest[:half], chance), end_all(other, rest[half:], chance))
    await asyncio.gather(working, cut(proxy, chance, working))
    await until(lambda: all(session.interrupted for session in sessions))
    assert {session.reason for session in sessions} == {"cut"}
    if listens != "never":
        wanted = set(ids if listens == "from the first" else rest)
        await until(lambda: wanted <= set(heard.ids))
        assert set(heard.ids.values()) == {1}
        assert set(heard.ids) == wanted

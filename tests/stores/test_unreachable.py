"""A server that is not there, dies, or never answers: every call ends by its deadline, with an error that says where.

A URL's ``timeout`` is the deadline of one question. A change whose answer was lost is asked once more, and a connection
may have to be made for that, so that an engine's verb ends within a few of them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, cast

import pytest

import insession
from insession import Engine, OutcomeUnknown, StoreUnavailable
from tests.servers import valkey
from tests.servers.postgres import fresh_schema, shared_server
from tests.servers.proxy import PostgresTrips, Proxy, RedisTrips, proxied
from tests.servers.valkey import free_port

TIMEOUT: Final = 0.3
DEADLINE: Final = 4 * TIMEOUT + 2.0
"""Seconds that a verb, or opening and closing an engine, may take on a busy machine."""
SECRET: Final = "hunter2"  # what no message may say
GONE: Final = {
    "redis": f"redis://ann:{SECRET}@127.0.0.1:{{port}}/0?timeout={TIMEOUT}",
    "postgres": f"postgresql://ann:{SECRET}@127.0.0.1:{{port}}/postgres?timeout={TIMEOUT}",
}


@asynccontextmanager
async def _redis() -> AsyncGenerator[tuple[Proxy, str]]:
    server = valkey.shared()
    async with proxied(("127.0.0.1", server.port), RedisTrips) as (proxy, port):
        yield proxy, f"redis://:{server.password}@127.0.0.1:{port}/0?timeout={TIMEOUT}"


@asynccontextmanager
async def _postgres() -> AsyncGenerator[tuple[Proxy, str]]:
    server = shared_server()
    async with proxied(f"{server.folder}/.s.PGSQL.5432", PostgresTrips) as (proxy, port):
        # It trusts everybody, so that the password is only one that must not be shown.
        options = f"schema={fresh_schema()}&timeout={TIMEOUT}&sslmode=disable"
        yield proxy, f"postgresql://insession:{SECRET}@127.0.0.1:{port}/postgres?{options}"


PATHS: Final = {"redis": _redis, "postgres": _postgres}


@pytest.fixture(params=list(PATHS))
def name(request: pytest.FixtureRequest) -> str:
    return cast("str", request.param)


@pytest.fixture
async def way(name: str) -> AsyncIterator[tuple[Proxy, str]]:
    """A proxy before a server, and the URL of a store behind it."""
    async with PATHS[name]() as found:
        yield found


async def refused(call: Callable[[], Awaitable[object]], *types: type[Exception]) -> None:
    """It fails in time, with one of these errors, which says where and no secret."""
    begin = time.monotonic()
    with pytest.raises(types or (StoreUnavailable,)) as raised:
        await call()
    assert time.monotonic() - begin < DEADLINE
    said = f"{raised.value!r} {raised.value.__cause__!r}"
    assert "127.0.0.1" in str(raised.value)
    assert ":***@" in str(raised.value)
    assert SECRET not in said
    assert valkey.shared().password not in said


async def entering(url: str) -> None:
    """Open an engine, and close it again."""
    async with insession.connect(url, namespace="unreachable"):
        pass


async def test_nobody_listens(name: str) -> None:
    await refused(lambda: entering(GONE[name].format(port=free_port())))


async def test_somebody_listens_who_never_answers(way: tuple[Proxy, str]) -> None:
    proxy, url = way
    proxy.silent = True
    await refused(lambda: entering(url))


@pytest.mark.parametrize("answers", [1, 2, 3, 5, 8])
async def test_it_falls_silent_while_the_engine_opens(way: tuple[Proxy, str], answers: int) -> None:
    proxy, url = way
    proxy.answers_left = answers
    begin = time.monotonic()
    try:
        await refused(lambda: entering(url))
    except pytest.fail.Exception:
        # So many answers may be enough; then closing has to end as well.
        assert time.monotonic() - begin < DEADLINE


@pytest.mark.parametrize("answers", [1, 2, 3, 5])
async def test_it_hangs_up_while_the_engine_opens(way: tuple[Proxy, str], answers: int) -> None:
    proxy, url = way
    proxy.answers_left = answers
    proxy.hangs_up = True
    await refused(lambda: entering(url))


def _verbs(engine: Engine, session: insession.Session) -> dict[str, Callable[[], Awaitable[object]]]:
    return {
        "open": lambda: engine.open(owner="ann"),
        "get": lambda: engine.get(session.id),
        "update": lambda: session.update({"n": 2}),
        "touch": session.touch,
        "interrupt": lambda: engine.interrupt(session.id),
        "interrupt all": engine.interrupt_all,
        "find": engine.find,
        "count": engine.count,
        "item": lambda: engine.items.put("some/thing", 1),
        "events": lambda: anext(engine.events(after=insession.START)),
        "history": lambda: engine.history(session.id),
        "purge": engine.purge,
        "running": lambda: _run(session),
        "lock": lambda: _lock(engine),
    }


async def _run(session: insession.Session) -> None:
    async with session.running():
        pass


async def _lock(engine: Engine) -> None:
    async with engine.lock("some", wait=0):
        pass


async def _each_verb(url: str, fall: Callable[[], None]) -> None:
    kind = insession.Kind("session", window=0.0)
    async with insession.connect(url, namespace="unreachable", kinds=[kind]) as engine:
        session = await engine.open(owner="ann", data={"n": 1})
        fall()
        verbs = _verbs(engine, session)
        await refused(verbs["update"], OutcomeUnknown, StoreUnavailable)
        await refused(verbs["get"])
        await asyncio.gather(*(refused(call, StoreUnavailable, OutcomeUnknown) for call in verbs.values()))


async def test_it_falls_silent_while_an_engine_runs(way: tuple[Proxy, str]) -> None:
    proxy, url = way

    def fall() -> None:
        proxy.silent = True

    await _each_verb(url, fall)


async def test_it_dies_while_an_engine_runs(way: tuple[Proxy, str]) -> None:
    proxy, url = way
    await _each_verb(url, proxy.die)


async def at_last(call: Callable[[], Awaitable[Any]]) -> Any:
    """What a call gives once the store is reached: a busy machine may take longer to connect than these deadlines."""
    while True:
        with suppress(StoreUnavailable):
            return await call()


async def test_it_answers_again_and_the_engine_goes_on(way: tuple[Proxy, str]) -> None:
    proxy, url = way
    async with insession.connect(url, namespace="unreachable") as engine:
        session = await engine.open(owner="ann", data={"n": 1})
        proxy.silent = True
        await refused(lambda: session.update({"n": 2}), StoreUnavailable, OutcomeUnknown)
        proxy.silent = False
        async with asyncio.timeout(20.0):
            await at_last(session.refresh)
            assert session.data["n"] in {1, 2}
            await at_last(lambda: session.update({"n": 3}))
            assert await at_last(lambda: engine.interrupt(session.id))

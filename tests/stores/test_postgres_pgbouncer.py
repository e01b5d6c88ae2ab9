"""Behind PgBouncer in transaction mode, which gives each transaction any of its connections."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest

import insession
from insession import EventType
from insession.kernel.clock import Clock
from insession.kernel.urls import store_from
from insession.testing.contract.samples import opened, session, the_log
from tests.servers.pgbouncer import PgBouncer, running_pgbouncer
from tests.servers.postgres import fresh_schema, shared_server

SESSIONS = 60


@pytest.fixture
def bouncer() -> Iterator[PgBouncer]:
    with running_pgbouncer(shared_server()) as bouncer:
        yield bouncer


async def live(engine: insession.Engine, number: int) -> None:
    """Everything that a session does."""
    one = await engine.open(kind="call", owner=f"o{number}", data={"step": 0})
    for _ in range(3):
        await one.update(lambda data: {"step": data["step"] + 1})
    assert (await engine.get(one.id)).data == {"step": 3}
    async with engine.lock(f"l{number % 5}", wait=20.0):
        await one.close("done")


async def test_many_clients_share_few_connections(bouncer: PgBouncer) -> None:
    url = bouncer.url(fresh_schema())
    kinds = [insession.Kind("call")]
    async with insession.connect(url, kinds=kinds) as here, insession.connect(url, kinds=kinds) as there:
        await asyncio.gather(*(live((here, there)[number % 2], number) for number in range(SESSIONS)))
        ended = await the_log(here.store, types={EventType.INTERRUPTED, EventType.CLOSED})
        assert len([event for event in ended if event.kind == "call"]) == SESSIONS


async def test_by_a_second_address_it_listens(bouncer: PgBouncer) -> None:
    schema = fresh_schema()
    here = store_from(bouncer.url(schema), namespace="default")
    there = store_from(bouncer.url(schema, listen=shared_server().folder), namespace="default")
    await here.open()
    await there.open()
    waker = there.waker({EventType.OPENED})
    began = time.monotonic()
    record = await opened(here, session("one", Clock().now()))
    await asyncio.wait_for(waker.wait(), 10)
    assert time.monotonic() - began < 0.8
    assert [event.id for event in await the_log(there)] == [record.id]
    await here.close()
    await there.close()

"""Round trips, counted on the wire by a proxy between a store and its server; `tests.servers.proxy` says what is one.

Counted is what callers wait for. Beside that an engine that hears of an ending reads it in the log, and PostgreSQL is
sent a `NOTIFY` after a commit with an event; both are counted apart and bounded here as well.
A session that this process does not know costs one trip to read before it can be updated or touched, so that
`Engine.update` and `Engine.touch` by id take two. `Engine.interrupt_all` asks for the end of the log before each slice,
and with it takes two for each. An opening under a name is one; a session that is due is expired (one) and read
again (one) by whoever meets it. A lost race of an update by function is one more. The first use of a connection that is
new to it prepares PostgreSQL's statement, which is one more, once.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import pytest

import insession
from insession import Engine, Limit, LimitReached
from insession.kernel.operations import Load
from insession.testing.clock import ManualClock
from tests.servers import valkey
from tests.servers.postgres import fresh_schema, shared_server
from tests.servers.proxy import BATCH, LOG, PREPARE, TELL, PostgresTrips, Proxy, RedisTrips, proxied

CALLERS = 32
KINDS = (
    insession.Kind("device", idle=600.0, limits=(Limit(most=3, then="oldest"),)),
    insession.Kind("seat", idle=600.0, limits=(Limit(most=2),)),
    insession.Kind("eager", idle=600.0, window=0.0),
)


@asynccontextmanager
async def _redis(folder: Path) -> AsyncGenerator[tuple[Proxy, str, str]]:
    server = valkey.shared()
    async with proxied(("127.0.0.1", server.port), RedisTrips) as (proxy, port):
        yield proxy, f"redis://:{server.password}@127.0.0.1:{port}/0", valkey.namespace_of(folder)


@asynccontextmanager
async def _postgres(_: Path) -> AsyncGenerator[tuple[Proxy, str, str]]:
    server = shared_server()
    # Not the test's folder, whose path is too long for a socket.
    below = server.folder / fresh_schema()
    below.mkdir()
    socket = f"{below}/.s.PGSQL.5432"
    async with proxied(f"{server.folder}/.s.PGSQL.5432", PostgresTrips, socket) as (proxy, _port):
        yield proxy, f"postgresql://insession@/postgres?host={below}&schema={below.name}", "default"


PATHS = {"redis": _redis, "postgres": _postgres}


class Counting:
    """An engine behind a proxy, on a clock that stands still: nothing is asked unless somebody asks."""

    def __init__(self, proxy: Proxy, url: str, namespace: str, clock: ManualClock) -> None:
        self.proxy = proxy
        self.clock = clock
        self.engine: Engine = insession.connect(url, namespace=namespace, kinds=KINDS, clock=clock)
        self.refusal = 2 if url.startswith("postgres") else 1
        """Trips of a lone change that changes nothing: PostgreSQL tries a plain statement, then asks what is wrong."""

    async def warm(self) -> None:
        """Use every connection for everything once."""
        store = self.engine.store
        await asyncio.gather(*(store.apply([Load(("00" * 16,))]) for _ in range(8)))
        await asyncio.gather(*(store.events(None, 0, None) for _ in range(8)))
        session = await self.engine.open(kind="device", owner="warm")
        await session.update({"warm": True}, event=True)
        await self.settle()

    async def settle(self) -> None:
        """Wait until nothing is asked any more: what runs beside the callers has ended."""
        seen: Counter[str] | None = None
        while seen != self.proxy.asked:
            seen = Counter(self.proxy.asked)
            for _ in range(5):
                # A question to the server and back gives all that is under way its time.
                await self.engine.store.events(None, 0, None)
                # And one behind whatever the engine itself asks when it starts.
                await self.engine._ask(Load(("00" * 16,)))
                seen[LOG] += 1
                seen[BATCH] += 1

    async def begin(self) -> None:
        """Count from here."""
        await self.settle()
        self.proxy.asked.clear()

    async def trips(self, *, events: int = 0) -> int:
        """Trips of operations since; beside them only what that many events are worth."""
        asked = Counter(self.proxy.asked)
        asked.pop(PREPARE, 0)  # the first use of a statement on a connection
        batches = asked.pop(BATCH, 0)
        assert asked.pop(TELL, 0) <= events
        # An event that is followed wakes the reader of the log; one page more says that there is no more.
        assert asked.pop(LOG, 0) <= 2 * events
        assert not asked, asked
        return batches


@pytest.fixture(params=list(PATHS))
async def counting(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Counting]:
    async with PATHS[cast("str", request.param)](tmp_path) as (proxy, url, namespace):
        one = Counting(proxy, url, namespace, ManualClock())
        async with one.engine:
            await one.warm()
            yield one


async def test_opening_with_index_limit_and_event_is_one_trip(counting: Counting) -> None:
    engine = counting.engine
    for place in range(3):
        await counting.begin()
        await engine.open(kind="device", owner="ann", data={"place": place})
        assert await counting.trips(events=1) == 1
    await counting.begin()
    # The fourth displaces the oldest: its ending and both events are of the same trip.
    await engine.open(kind="device", owner="ann")
    assert await counting.trips(events=2) == 1
    assert await engine.count(owner="ann", kind="device") == 3


async def test_an_opening_that_the_limit_refuses_is_one_trip(counting: Counting) -> None:
    engine = counting.engine
    for _ in range(2):
        await engine.open(kind="seat", owner="ann")
    await counting.begin()
    with pytest.raises(LimitReached):
        await engine.open(kind="seat", owner="ann")
    assert await counting.trips() == 1


async def test_opening_under_a_name_is_one_trip(counting: Counting) -> None:
    await counting.begin()
    await counting.engine.open(kind="device", owner="ann", name="phone")
    assert await counting.trips(events=1) == 1


async def test_reading_is_one_trip(counting: Counting) -> None:
    session = await counting.engine.open(kind="device", owner="ann", data={"n": 1})
    await counting.begin()
    assert (await counting.engine.get(session.id)).data == {"n": 1}
    assert await counting.trips() == 1
    await session.refresh()
    assert await counting.trips() == 2


async def test_updates_are_one_trip_each(counting: Counting) -> None:
    session = await counting.engine.open(kind="device", owner="ann", data={"n": 0})
    await counting.begin()
    await session.update({"n": 1})
    assert await counting.trips() == 1
    await session.update(lambda data: {"n": data["n"] + 1}, touch=True, event=True)
    assert await counting.trips(events=1) == 2
    assert (await counting.engine.get(session.id)).data == {"n": 2}


async def test_an_update_by_id_is_two_trips(counting: Counting) -> None:
    session = await counting.engine.open(kind="device", owner="ann", data={"n": 0})
    await counting.begin()
    await counting.engine.update(session.id, {"n": 1})
    assert await counting.trips() == 2


async def test_a_lost_race_is_one_trip_more(counting: Counting) -> None:
    session = await counting.engine.open(kind="device", owner="ann", data={"n": 0})
    rival = await counting.engine.get(session.id)
    await rival.update({"n": 5})
    await counting.begin()
    assert await session.update(lambda data: {"n": data["n"] + 1}) == {"n": 6}
    assert await counting.trips() == 1 + counting.refusal


async def test_a_touch_is_one_trip_and_none_inside_its_window(counting: Counting) -> None:
    session = await counting.engine.open(kind="device", owner="ann")
    eager = await counting.engine.open(kind="eager", owner="ann")
    await counting.begin()
    for _ in range(3):
        # The window is 5 % of the idle time, here 30 s.
        counting.clock.set(counting.clock.now() + 9.0)
        await session.touch()
    assert await counting.trips() == 0
    counting.clock.set(counting.clock.now() + 9.0)
    await session.touch()
    assert await counting.trips() == 1
    await session.touch()
    assert await counting.trips() == 1
    for expected in (2, 3):
        counting.clock.set(counting.clock.now() + 1.0)
        await eager.touch()
        assert await counting.trips() == expected
    # The first thing that this asks is the session; its touch then lies in the window.
    await counting.engine.touch(eager.id)
    assert await counting.trips() == 5


async def test_an_ending_by_id_is_one_trip(counting: Counting) -> None:
    engine = counting.engine
    closed, interrupted, held = [await engine.open(kind="device", owner=f"o{place}") for place in range(3)]
    await counting.begin()
    assert await engine.close(closed.id)
    assert await counting.trips(events=1) == 1
    assert await engine.interrupt(interrupted.id, "stop")
    assert await counting.trips(events=2) == 2
    assert await held.interrupt("stop")
    assert await counting.trips(events=3) == 3
    # Who comes too late is told by the answer.
    assert not await engine.interrupt(closed.id)
    assert await counting.trips(events=3) == 3 + counting.refusal


async def test_an_interrupt_of_work_here_is_one_trip(counting: Counting) -> None:
    session = await counting.engine.open(kind="device", owner="ann")
    entered = asyncio.Event()

    async def work() -> None:
        async with session.running():
            entered.set()
            await asyncio.get_running_loop().create_future()

    task = asyncio.create_task(work())
    await entered.wait()
    await counting.begin()
    batches = counting.engine.batcher.batches
    assert await counting.engine.interrupt(session.id, "stop")
    # The work is told by this process itself, before anything is read; how it stopped is written down later.
    assert counting.engine.batcher.batches == batches + 1
    with pytest.raises(insession.Interrupted):
        await task
    async with asyncio.timeout(5.0):
        while counting.proxy.asked[BATCH] < 2:
            await counting.engine.store.events(None, 0, None)
    assert counting.proxy.asked[BATCH] == 2


async def test_finding_and_counting_are_one_trip_each(counting: Counting) -> None:
    for _ in range(3):
        await counting.engine.open(kind="device", owner="ann")
    await counting.begin()
    assert len((await counting.engine.find(owner="ann", kind="device")).sessions) == 3
    assert await counting.trips() == 1
    assert await counting.engine.count(owner="ann", kind="device") == 3
    assert await counting.trips() == 2


async def test_what_arrives_together_is_one_trip_a_batch(counting: Counting) -> None:
    engine = counting.engine
    # Where two batches may be under way, this many callers are sent as two at once.
    batches = engine.store.abreast
    await counting.begin()
    sessions = await asyncio.gather(*(engine.open(kind="eager", owner=f"o{place}") for place in range(CALLERS)))
    assert await counting.trips(events=CALLERS) == batches
    await counting.begin()
    await asyncio.gather(*(engine.get(session.id) for session in sessions))
    assert await counting.trips() == batches
    await counting.begin()
    await asyncio.gather(*(session.update({"n": 1}) for session in sessions))
    assert await counting.trips() == batches
    counting.clock.set(counting.clock.now() + 1.0)
    await counting.begin()
    await asyncio.gather(*(session.touch() for session in sessions))
    assert await counting.trips() == batches
    await counting.begin()
    await asyncio.gather(*(session.close() for session in sessions))
    assert await counting.trips(events=CALLERS) == batches

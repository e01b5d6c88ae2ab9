"""Random batches of several processes, while their connections are killed: what lies in the server stays sound."""

from __future__ import annotations

import asyncio
import math
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from redis.asyncio import Redis

from insession.kernel.events import ENDINGS, Event, EventType
from insession.kernel.record import Record
from insession.kernel.urls import parse_url
from insession.stores.redis import RedisStore
from insession.stores.redis.records import CODES, id_of, item_of, packed_id, record_of
from insession.testing.clock import ManualClock
from insession.testing.contract.samples import the_log
from tests.servers.valkey import Valkey

from .redis_worker import LIMIT, NOW

PREFIX = b"insession{default}"
ROOT = Path(__file__).parents[2]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Valkey]:
    server = Valkey(tmp_path)
    server.start()
    yield server
    server.stop()


class Inside:
    """Everything that lies in the server."""

    def __init__(self, values: dict[bytes, Any]) -> None:
        self.records = [record_of(id_of(key[1:]), raw) for key, raw in values.items() if key[:1] == b"s"]
        self.items = [item_of(key[1:].decode(), raw) for key, raw in values.items() if key[:1] == b"i"]
        self.sets = {key: value for key, value in values.items() if isinstance(value, dict)}
        self.counted: bytes = values[b"m"]

    @classmethod
    async def of(cls, server: Valkey) -> Inside:
        values: dict[bytes, Any] = {}
        async with Redis(port=server.port, password=server.password) as client:
            async for key in client.scan_iter(count=1000):
                kind = await client.type(key)
                if kind == b"string":
                    values[key.removeprefix(PREFIX)] = await client.get(key)
                elif kind == b"zset":
                    values[key.removeprefix(PREFIX)] = dict(
                        cast("Any", await client.zrange(key, 0, -1, withscores=True))
                    )
        return cls(values)

    def expected(self) -> dict[bytes, dict[bytes, float]]:
        """The sorted sets that records and items call for."""
        sets: dict[bytes, dict[bytes, float]] = defaultdict(dict)
        for record in self.records:
            for key, score in _places(record):
                sets[key][packed_id(record.id)] = score
        for item in self.items:
            sets[b"I"][item.key.encode()] = 0.0
            if item.owner is not None:
                sets[b"W" + item.owner.encode()][item.key.encode()] = 0.0
            if item.expires < math.inf:
                sets[b"E"][item.key.encode()] = item.expires
        return sets


def _places(record: Record) -> Iterator[tuple[bytes, float]]:
    where = f"{CODES[record.state]}{record.kind}"
    yield f"k{where}".encode(), record.rank
    if record.owner is not None:
        yield f"o{where}+{record.owner}".encode(), record.rank
    if record.node is not None:
        yield f"n{where}+{record.node}".encode(), record.rank
    if record.finish:
        yield f"f{where}".encode(), record.rank
    if record.live:
        yield f"d{record.kind}".encode(), record.due


async def work(server: Valkey, seed: int, seconds: float, what: str) -> int:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.stores.redis_worker", server.url, str(seed), str(seconds), what),
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    said, _ = await process.communicate()
    assert process.returncode == 0
    return int(said)


async def worry(server: Valkey, stop: asyncio.Event) -> None:
    """Kill connections, and make the server forget its program, until told to stop."""
    while not stop.is_set():
        for words in ("CLIENT KILL TYPE normal", "FUNCTION FLUSH", "CLIENT KILL TYPE pubsub"):
            await asyncio.sleep(0.1)
            server.ask(*words.split())


def check_lives(events: list[Event]) -> None:
    """Each life of an id is opened, then perhaps updated, then ended once; versions rise; nobody exceeds a limit."""
    live: dict[str, Event] = {}
    owned: Counter[tuple[str, str]] = Counter()
    last = 0
    for event in events:
        if event.type is EventType.DISPLACED:
            continue
        assert event.version > last
        last = event.version
        if event.type is EventType.OPENED:
            assert event.id not in live
            live[event.id] = event
            if event.owner is not None:
                owned[event.kind, event.owner] += 1
                assert owned[event.kind, event.owner] <= LIMIT
        elif event.type in ENDINGS:
            begun = live.pop(event.id)
            assert (begun.kind, begun.owner) == (event.kind, event.owner)
            if event.owner is not None:
                owned[event.kind, event.owner] -= 1
        else:
            assert event.id in live


async def batches_of_processes(server: Valkey, processes: int, seconds: float, *, purges: bool) -> int:
    stop, what = asyncio.Event(), "purges" if purges else "keeps"
    worrying = asyncio.ensure_future(worry(server, stop))
    sent = await asyncio.gather(*(work(server, seed, seconds, what) for seed in range(processes)))
    stop.set()
    await worrying
    inside = await Inside.of(server)
    assert all(f"\0{record.kind}\0".encode() in inside.counted for record in inside.records)
    leases = {key: inside.sets.pop(key, {}) for key in (b"L", b"U")}
    assert leases[b"L"].keys() == leases[b"U"].keys()
    assert inside.sets == inside.expected()
    store = RedisStore(parse_url(server.url), clock=ManualClock(NOW))
    await store.open()
    events = await the_log(store, limit=1000)
    await store.close()
    check_lives(events)
    if not purges:
        # What rests on its session being live only may be done twice if its answer was lost; no session opens twice.
        openings = [event.change for event in events if event.type is EventType.OPENED]
        assert len(set(openings)) == len(openings)
    live = {event.id for event in events if event.type is EventType.OPENED}
    assert {record.id for record in inside.records} <= live
    return sum(sent)


@pytest.mark.processes
@pytest.mark.parametrize("purges", [True, False])
async def test_random_batches_of_processes_leave_everything_sound(server: Valkey, purges: bool) -> None:
    assert await batches_of_processes(server, 3, 1.5, purges=purges) > 100

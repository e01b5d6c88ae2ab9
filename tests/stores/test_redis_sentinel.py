"""A master with a replica, and a sentinel that promotes it."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from insession import ConfigurationError, OutcomeUnknown, StoreUnavailable
from insession.kernel.events import ENDINGS, EventType
from insession.kernel.urls import parse_url
from insession.stores.redis import RedisStore
from insession.testing.clock import ManualClock
from insession.testing.contract.log import woken
from insession.testing.contract.samples import (
    end,
    end_of_log,
    ended,
    ending,
    opened,
    session,
    the_log,
    the_record,
    update,
)
from tests.servers.valkey import Sentinel, Valkey, free_port

NOW = 1_800_000_000.0
TIMEOUT = 0.3
"""After so many seconds the sentinel holds a master for dead."""


class Trio:
    """Master, replica and sentinel."""

    def __init__(self, folder: Path) -> None:
        for name in ("master", "replica", "sentinel"):
            (folder / name).mkdir()
        self.master = Valkey(folder / "master", "--repl-diskless-sync-delay", "0")
        password = self.master.password
        replicates = ("--replicaof", f"127.0.0.1 {self.master.port}", "--masterauth", password)
        self.replica = Valkey(folder / "replica", *replicates)
        self.replica.password = password
        self.sentinel = Sentinel(folder / "sentinel", self.master)

    def start(self) -> None:
        self.master.start()
        self.replica.start()
        self.sentinel.start()
        self.level()

    def level(self) -> None:
        """Wait until the replica has what the master has."""
        end_ = time.monotonic() + 10
        while time.monotonic() < end_:
            lines = self.master.ask("INFO", "replication").decode().splitlines()
            offset = next(line.partition(":")[2] for line in lines if line.startswith("master_repl_offset:"))
            if any("state=online" in line and f"offset={offset}," in line for line in lines):
                return
            time.sleep(0.01)
        raise AssertionError("the replica does not follow")

    def stop(self) -> None:
        self.sentinel.stop()
        self.replica.stop()
        self.master.stop()


@pytest.fixture
def trio(tmp_path: Path) -> Iterator[Trio]:
    trio = Trio(tmp_path)
    try:
        trio.start()
        yield trio
    finally:
        trio.stop()


async def test_a_failover_is_survived(trio: Trio) -> None:
    store = RedisStore(parse_url(trio.sentinel.url()), clock=ManualClock(NOW))
    await store.open()
    record = await opened(store, session("one", NOW, data=b"before"))
    cursor = await end_of_log(store)
    waker = store.waker(ENDINGS)
    trio.level()
    trio.master.stop(signal.SIGKILL)
    start = time.monotonic()
    while True:
        try:
            await store.apply([update(record.id, NOW, data=b"after", event=EventType.UPDATED, change="once")])
        except (StoreUnavailable, OutcomeUnknown):
            await asyncio.sleep(0.02)
        else:
            break
    assert time.monotonic() - start < TIMEOUT + 10.0
    assert (await the_record(store, record.id)).data == b"after"
    # What the old master wrote last may be lost: its log is another one.
    page = await store.events(cursor, 10, None)
    assert page.trimmed
    assert [event.type for event in await the_log(store, page.cursor)] == [EventType.OPENED, EventType.UPDATED]
    assert await woken(waker)
    assert await ended(store, end(record.id, ending(NOW))) == (record.id,)
    assert await woken(waker)
    await store.close()


async def test_a_master_that_no_sentinel_knows(trio: Trio) -> None:
    url = trio.sentinel.url().replace("/ours/", "/theirs/").replace("127.0.0.1", f"127.0.0.1:{free_port()},127.0.0.1")
    store = RedisStore(parse_url(url), patience=0.5)
    with pytest.raises(StoreUnavailable, match="no sentinel knows a master 'theirs'"):
        await store.open()


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://host",
        "redis+sentinel:///ours",
        "redis+sentinel://host/ours/x",
        "redis://one,two/0",
        "redis://one/0?tls=yes",
        "redis://one/0?ca=file",
        "redis://one/zero",
        "redis://one/0?sentinel_password=x",
        "rediss://one/0?cert=file",
    ],
)
def test_a_url_that_cannot_work(url: str) -> None:
    with pytest.raises(ConfigurationError):
        RedisStore.from_url(parse_url(url), namespace="default", clock=None)

"""What the servers of a cluster can do to a store: slots that move, masters that go."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from redis.crc import key_slot

from insession import ConfigurationError, StoreUnavailable
from insession.kernel.events import ENDINGS, EventType
from insession.kernel.operations import (
    Count,
    Counted,
    Done,
    Put,
)
from insession.kernel.urls import parse_url
from insession.stores.redis import ClusterStore
from insession.testing.clock import ManualClock
from insession.testing.contract.log import woken
from insession.testing.contract.samples import (
    ask,
    done,
    end,
    end_of_log,
    ended,
    ending,
    everything,
    opened,
    record_of,
    session,
    the_log,
    the_record,
    update,
)
from tests.servers import cluster as servers
from tests.servers.cluster import keep_whole, name_of, said, until
from tests.servers.valkey import Valkey, shared
from tests.stores.clusters import NOW, everywhere, ids, made, running, until_it_answers


def client(server: Valkey) -> Any:
    return Redis(port=server.port, password=server.password)


def moved(source: Valkey, target: Valkey, slot: int, *, begin: bool = True, finish: bool = True) -> None:
    """Move a slot key by key, as `valkey-cli --cluster reshard` does."""
    names = name_of(source), name_of(target)
    if begin:
        said(target, "CLUSTER", "SETSLOT", str(slot), "IMPORTING", names[0])
        said(source, "CLUSTER", "SETSLOT", str(slot), "MIGRATING", names[1])
    if not finish:
        return
    with client(source) as asked:
        keys = asked.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 1000)
        asked.migrate("127.0.0.1", target.port, keys, 0, 5000, auth=source.password)
    for server in (target, source):
        said(server, "CLUSTER", "SETSLOT", str(slot), "NODE", names[1])


async def test_a_slot_that_moves(tmp_path: Path) -> None:
    with running(tmp_path) as cluster:
        store, other = (made(cluster, "moving", patience=0.5) for _ in range(2))
        await store.open()
        await other.open()
        waker = other.waker({EventType.UPDATED})
        record = await opened(store, session("one", NOW, owner="ann"))
        slot = key_slot(f"moving.{store._routing.of_id(record.id)}".encode())
        place = next(place for place in range(3) if slot < (place + 1) * servers.SLOTS // 3)
        source, target = cluster.masters[place], cluster.masters[place - 1]
        moved(source, target, slot, finish=False)
        # The program would see a part of the keys: nothing of it runs.
        with pytest.raises(StoreUnavailable):
            await store.apply([update(record.id, NOW, Put(f"{record.id}/a", b"x"), data=b"during")])
        moved(source, target, slot, begin=False)
        assert (await the_record(store, record.id)) == record
        await done(store, update(record.id, NOW, data=b"after", event=EventType.UPDATED))
        assert (await the_record(other, record.id)).data == b"after"
        assert await woken(waker)
        assert [event.type for event in await the_log(store)] == [EventType.OPENED, EventType.UPDATED]
        await store.close()
        await other.close()


async def test_a_slot_that_moves_whole(tmp_path: Path) -> None:
    with running(tmp_path) as cluster:
        store = made(cluster, "moving")
        await store.open()
        records = await everywhere(store)
        waker = store.waker({EventType.UPDATED})
        source, target = cluster.masters[:2]
        if source.ask("CLUSTER", "GETSLOTMIGRATIONS").startswith(b"-"):
            pytest.skip("this server moves slots key by key only")
        last = str(servers.SLOTS // servers.MASTERS - 1)
        said(source, "CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", "0", last, "NODE", name_of(target))
        turns = 0
        while b"cluster_size:2" not in source.ask("CLUSTER", "INFO"):
            turns += 1
            for record in records[turns % 4 :: 4]:
                commit = update(record.id, NOW + 30, data=b"%d" % turns)
                assert isinstance(await until_it_answers(store, commit), Done)
            assert turns < 1000
        for record in records:
            commit = update(record.id, NOW + 30, data=b"after", event=EventType.UPDATED)
            assert isinstance(await until_it_answers(store, commit), Done)
            assert await woken(waker)
        assert {record.data for record in await everything(store, "all")} == {b"after"}
        await store.close()


async def test_a_user_who_may_do_what_is_needed_only(tmp_path: Path) -> None:
    rights = ("+@read", "+@write", "+@scripting", "+@pubsub", "+@connection", "+info", "+time", "+cluster|slots")
    with running(tmp_path) as cluster:
        for server in cluster.servers:
            said(server, "ACL", "SETUSER", "ann", "on", ">pw", "~insession{*", "&insession{*", *rights)
        url = f"valkey+cluster://ann:pw@127.0.0.1:{cluster.servers[0].port}"
        store = ClusterStore(parse_url(url), clock=ManualClock(NOW))
        await store.open()
        records = await everywhere(store)
        assert ids(await everything(store, "all")) == ids(records)
        await store.close()
        wrong = ClusterStore(parse_url(url.replace("ann:pw", "ann:hunter2")))
        with pytest.raises(ConfigurationError, match="refuses this user") as raised:
            await wrong.open()
        assert "hunter2" not in str(raised.value)


async def test_a_server_that_is_not_one_of_a_cluster() -> None:
    store = ClusterStore(parse_url(shared().url.replace("valkey://", "valkey+cluster://")))
    with pytest.raises(ConfigurationError, match="not one of a cluster"):
        await store.open()


async def test_a_master_that_restarts(tmp_path: Path) -> None:
    with running(tmp_path) as cluster:
        store = made(cluster, "restarting", patience=1.0)
        await store.open()
        records = await everywhere(store)
        cursor = await end_of_log(store)
        waker = store.waker(ENDINGS)
        cluster.masters[1].stop(signal.SIGKILL)
        cluster.masters[1].start()
        keep_whole(cluster.servers)
        for record in records:
            assert isinstance(await until_it_answers(store, update(record.id, NOW + 30, data=b"after")), Done)
        # Its partitions begin new epochs, the others go on.
        page = await store.events(cursor, 100, None)
        assert page.trimmed
        seen = [*page.events, *await the_log(store, page.cursor)]
        assert 0 < len(seen) < len(records)
        for record in records:
            await ended(store, end(record.id, ending(NOW + 31)))
            assert await woken(waker)
        await store.close()


async def test_a_master_that_is_gone_leaves_the_others(tmp_path: Path) -> None:
    with running(tmp_path) as cluster:
        for server in cluster.servers:
            said(server, "CONFIG", "SET", "cluster-require-full-coverage", "no")
        store = made(cluster, "gone", patience=0.4)
        await store.open()
        records = await everywhere(store)
        cluster.masters[2].stop(signal.SIGKILL)
        answered = 0
        for record in records:
            start = time.monotonic()
            try:
                answered += await record_of(store, record.id) == record
            except StoreUnavailable:
                assert time.monotonic() - start < 3.0
        assert 0 < answered < len(records)
        with pytest.raises(StoreUnavailable):
            await ask(store, Count("all"), Counted)
        await store.close()


async def test_a_failover_is_survived(tmp_path: Path) -> None:
    with running(tmp_path, replicas=1) as cluster:
        master, replica = cluster.masters[0], cluster.servers[3]
        cluster.replicate(replica, master)
        store = made(cluster, "failing")
        await store.open()
        waker = store.waker(ENDINGS)
        records = await everywhere(store)
        cluster.level(master)
        master.stop(signal.SIGKILL)
        until(lambda: b"role:master" in replica.ask("INFO", "replication"), 20.0)
        for record in records:
            commit = update(record.id, NOW + 30, data=b"after", event=EventType.UPDATED)
            assert isinstance(await until_it_answers(store, commit), Done)
        assert {record.data for record in await everything(store, "all")} == {b"after"}
        for record in records:
            await ended(store, end(record.id, ending(NOW + 31)))
            assert await woken(waker)
        await store.close()

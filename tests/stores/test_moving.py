"""Copies between stores of different sorts: what one has comes to the other as it is, and lives on there."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, closing
from itertools import count
from pathlib import Path
from typing import Final

import pytest

from insession import ConfigurationError, State, connect
from insession.kernel.contract import Store
from insession.kernel.moving import Copied, copy, copy_between
from insession.kernel.operations import Counted, Mark, Purge, Put, Standing
from insession.kernel.record import NODE_KIND, Record
from insession.stores.sealed import Keys, SealedStore
from insession.testing.clock import ManualClock
from insession.testing.contract.samples import (
    ask,
    done,
    end,
    ended,
    ending,
    everything,
    expire,
    opened,
    session,
    update,
    writing,
)
from tests.servers import postgres

from .conftest import MAKERS

PAIRS: Final = (
    *(("sqlite", "redis"), ("sqlite", "postgres"), ("postgres", "redis-cluster"), ("redis-cluster", "sqlite")),
    *(("redis", "postgres"), ("memory", "redis-plain")),
)
Made = Callable[[str], Awaitable[Store]]


@pytest.fixture
async def made(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Made]:
    """Opens an empty store of a sort, and closes it after the test."""
    numbers = count()
    async with AsyncExitStack() as stack:

        async def make(name: str) -> Store:
            folder = tmp_path / f"{name}-{next(numbers)}"
            folder.mkdir()
            store = MAKERS[name](folder, clock)
            await store.open()
            stack.push_async_callback(store.close)
            return store

        yield make


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


async def populated(store: Store, clock: ManualClock) -> None:
    """Sessions of several owners in every state, of a node, and items everywhere; in every partition."""
    at = clock.now()
    for place in range(48):
        owner = (f"owner-{place % 12}", None)[place % 5 == 4]
        kind = ("call", "chat", NODE_KIND)[place % 3]
        record = session(
            f"s{place}",
            at + place,
            kind=kind,
            owner=owner,
            node=("n", None)[place % 2],
            idle=500.0 + place,
            finish=place % 7 == 0,
            data=bytes(place * 100),
        )
        record = await opened(store, record)
        puts = [Put(f"{record.id}/{word}", word.encode(), owner=owner, expires=at + 1e6 + place) for word in ("a", "b")]
        await done(store, update(record.id, at + place, *puts))
        await done(store, writing(at, Put(f"wide-{place % 10}/{place}", bytes(place), owner=owner)))
        if place % 4:
            await ended(store, end(record.id, ending(at + place, state=list(State)[place % 4])))


async def contents(store: Store) -> list[object]:
    return [
        *await everything(store, "all", state=None),
        *await everything(store, "kind", NODE_KIND, state=None),
        *await everything(store, "item", ""),
    ]


async def carried(source: Store, target: Store, *, finish: bool = True) -> Copied:
    return await copy(source, target, finish=finish, names=("old", "new"))


@pytest.mark.parametrize(("source", "target"), PAIRS)
async def test_what_one_has_comes_to_the_other_as_it_is(
    source: str, target: str, made: Made, clock: ManualClock
) -> None:
    old, new = await made(source), await made(target)
    await populated(old, clock)
    first = await carried(old, new, finish=False)
    (record, *_) = await everything(old, "all")
    await done(old, update(record.id, record.opened, data=b"new"))
    assert await ended(old, expire(clock.now() + 510.0))
    copied = await carried(old, new)
    expected = await contents(old)
    assert await contents(new) == expected
    assert (first.records, first.items, copied.finished) == (48, 144, True)
    assert 0 < copied.written < 20
    for index, value in (("owner", "owner-3"), ("node", "n"), ("finish", None), ("item owner", "owner-3")):
        mine = await everything(old, index, value, state=None)  # type: ignore[arg-type]
        assert mine
        assert await everything(new, index, value, state=None) == mine  # type: ignore[arg-type]
    await _lives_on(new, clock, max(one.version for one in expected if isinstance(one, Record)))


async def _lives_on(store: Store, clock: ManualClock, highest: int) -> None:
    at = clock.now() + 520.0
    assert await ended(store, expire(at))
    assert (await opened(store, session("fresh", at))).version > highest
    counted = await ask(store, Purge(at + 1e5, "call"), Counted)
    assert counted.number > 0


async def test_sealed_data_are_carried_as_they_lie_there(tmp_path: Path) -> None:
    old, new = (f"sqlite:///{tmp_path}/{name}.db?synchronous=normal" for name in ("old", "new"))
    keys = Keys.generate().text()
    async with connect(old, keys=keys) as engine:
        session = await engine.open(owner="ann", data={"secret": 1})
        await engine.items.put("memory/1", "secret")
        await copy_between(old, new, finish=True)
    async with connect(new, keys=keys) as engine:
        (found,) = (await engine.find(owner="ann")).sessions
        assert (found.id, found.data) == (session.id, {"secret": 1})
        entry = await engine.items.get("memory/1")
        assert entry is not None
        assert entry.data == "secret"


async def test_a_cluster_of_which_a_part_was_taken_hold_of(made: Made, clock: ManualClock) -> None:
    source, target = await made("memory"), await made("redis-cluster")
    await populated(source, clock)
    names = ("old", "new")
    await target._one(0, Mark(Standing.FILLING, "old"))  # type: ignore[attr-defined]
    assert (await copy(source, target, finish=True, names=names)).finished
    assert len(await everything(target, "item", "")) == len(await everything(source, "item", ""))


async def test_two_schemas_of_a_database_are_two_stores(tmp_path: Path) -> None:
    server = postgres.shared_server()
    old, new, other = f"sqlite:///{tmp_path}/old.db", *(server.url(postgres.fresh_schema()) for _ in range(2))
    async with connect(old) as engine:
        await engine.open()
    assert (await copy_between(old, new, finish=True)).finished
    with pytest.raises(ConfigurationError, match=r"has moved to .*schema=s"):
        await copy_between(old, other, finish=True)


async def test_through_wrappers_data_are_sealed_anew(made: Made, clock: ManualClock) -> None:
    old, new = await made("sqlite"), await made("sqlite")
    await populated(old, clock)
    wrapped = SealedStore(new, Keys.generate())
    await carried(old, wrapped)
    assert await contents(wrapped) == await contents(old)
    clear = {one.data for one in await contents(old)}  # type: ignore[attr-defined]
    assert not clear & {one.data for one in await contents(new)}  # type: ignore[attr-defined]


async def test_a_file_of_an_older_schema_gets_its_mark(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    for namespace in ("one", "two"):
        async with connect(f"sqlite:///{path}", namespace=namespace) as engine:
            await engine.open(name=namespace, owner="ann")
    with closing(sqlite3.connect(path)) as connection:
        for namespace in ("one", "two"):
            connection.execute(f"ALTER TABLE state_{namespace} DROP COLUMN mark")
        connection.execute("PRAGMA user_version = 1")
        connection.commit()
    copied = await copy_between(f"sqlite:///{path}", f"sqlite:///{tmp_path}/new.db", finish=True, namespace="one")
    assert copied.records == 1
    async with connect(f"sqlite:///{path}", namespace="two") as engine:
        assert await engine.count(owner="ann") == 1
        await engine.open(owner="ann")

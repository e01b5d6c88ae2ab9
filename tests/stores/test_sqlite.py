"""The SQLite store's file: how it is named, opened, shared, refused; and what it keeps in it."""
# ruff: noqa: ASYNC240 - a test's loop has nothing else to do than wait for files and processes

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest

from insession.errors import ConfigurationError, StoreUnavailable
from insession.kernel.clock import Clock
from insession.kernel.contract import Store
from insession.kernel.events import ENDINGS, EventType
from insession.kernel.operations import Counted, End, Ends, Pick, Purge, Put, Touch
from insession.kernel.urls import store_from
from insession.stores.sqlite import SQLiteStore, file, log
from insession.testing.clock import ManualClock
from insession.testing.contract import StoreContract
from insession.testing.contract.samples import (
    done,
    due_after,
    end,
    end_of_log,
    ended,
    ending,
    everything,
    expire,
    expiry,
    opened,
    opening,
    record_of,
    session,
    the_log,
    the_record,
    update,
    writing,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@asynccontextmanager
async def at(path: Path, **options: Any) -> AsyncIterator[SQLiteStore]:
    store = SQLiteStore(path, **options)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


def rows(path: Path, sql: str) -> list[Any]:
    """What the file holds, seen by somebody else."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


class TestNormal(StoreContract):
    """Without FULL, small batches are applied on the loop's thread: the contract suite again."""

    @pytest.fixture
    async def store(self, clock: ManualClock, path: Path) -> AsyncIterator[Store]:
        async with at(path, clock=clock, synchronous="normal") as store:
            yield store

    @pytest.fixture
    async def other_store(self, store: Store, clock: ManualClock, path: Path) -> AsyncIterator[Store]:
        async with at(path, clock=clock, synchronous="normal") as other:
            yield other


async def test_a_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = store_from("sqlite:///here.db", namespace="default")
    await store.open()
    await store.close()
    assert (tmp_path / "here.db").exists()


async def test_an_absolute_path(path: Path) -> None:
    store = store_from(f"sqlite:///{path}", namespace="default")
    await store.open()
    await store.close()
    assert path.exists()


@pytest.mark.parametrize("url", ["sqlite:", "sqlite:///", "sqlite:store.db", "sqlite://store.db", "sqlite:///:memory:"])
def test_no_file_is_named(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"sqlite:///relative\.db or sqlite:////absolute\.db"):
        store_from(url, namespace="default")


def test_unknown_options_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="did you mean 'synchronous'"):
        store_from("sqlite:///x.db?synchronus=normal", namespace="default")
    with pytest.raises(ConfigurationError, match="synchronous is one of full, normal"):
        store_from("sqlite:///x.db?synchronous=off", namespace="default")
    with pytest.raises(ConfigurationError, match="synchronous"):
        SQLiteStore("x.db", synchronous="off")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="namespace"):
        SQLiteStore("x.db", namespace="a; DROP TABLE")


@pytest.mark.parametrize(("option", "level"), [("", 2), ("?synchronous=full", 2), ("?synchronous=normal", 1)])
async def test_synchronous(path: Path, option: str, level: int) -> None:
    store: Any = store_from(f"sqlite:///{path}{option}", namespace="default")
    await store.open()
    connection = store._writer._transactions._connection
    assert connection.execute("PRAGMA synchronous").fetchone()[0] == level
    await store.close()


async def test_everything_is_there_when_it_is_opened_again(path: Path, clock: ManualClock) -> None:
    async with at(path, clock=clock) as store:
        record = await opened(store, session("one", clock.now(), owner="ann", data=b"kept"))
        await done(store, writing(clock.now(), Put("a/b", b"item", owner="ann")))
        before, cursor = await the_log(store), await end_of_log(store)
    async with at(path, clock=clock) as store:
        assert await record_of(store, record.id) == record
        assert [item.data for item in await everything(store, "item owner", "ann")] == [b"item"]
        assert await the_log(store) == before
        assert await end_of_log(store) == cursor
        (version,) = await done(store, update(record.id, clock.now(), data=b"new"))
        assert version > record.version


async def test_its_life_has_one_opening_and_any_number_of_closings(path: Path) -> None:
    store = SQLiteStore(path)
    with pytest.raises(StoreUnavailable, match="not open"):
        await store.apply([])
    await store.close()
    await store.open()
    with pytest.raises(ConfigurationError, match="opened before"):
        await store.open()
    await store.close()
    await store.close()
    for use in (lambda: store.record_now("x"), lambda: store.waker(ENDINGS)):
        with pytest.raises(StoreUnavailable, match="not open"):
            use()


async def test_closing_finishes_what_was_handed_over_and_leaves_one_file(path: Path, clock: ManualClock) -> None:
    store = SQLiteStore(path, clock=clock)
    await store.open()
    batches = [asyncio.create_task(store.apply([opening(session(f"s{n}", clock.now()))])) for n in range(20)]
    await asyncio.sleep(0)
    await store.close()
    await asyncio.gather(*batches)
    assert rows(path, "SELECT count(*) FROM sessions_default") == [(20,)]
    assert list(path.parent.iterdir()) == [path]


async def test_nobody_else_may_read_it(path: Path, clock: ManualClock) -> None:
    before = os.umask(0)
    try:
        async with at(path, clock=clock) as store:
            await opened(store, session("one", clock.now()))
            modes = {one.name: one.stat().st_mode & 0o777 for one in path.parent.iterdir()}
    finally:
        os.umask(before)
    assert modes == dict.fromkeys(("store.db", "store.db-wal", "store.db-shm"), 0o600)


async def test_a_link_leads_to_it(path: Path, clock: ManualClock) -> None:
    link = path.with_name("link.db")
    link.symlink_to(path)
    async with at(link, clock=clock) as one, at(path, clock=clock) as other:
        record = await opened(one, session("one", clock.now()))
        assert await record_of(other, record.id) == record


async def test_what_is_no_database_is_refused(path: Path) -> None:
    path.write_text("My diary. " * 500)
    with pytest.raises(ConfigurationError, match=r"store\.db: is not an SQLite database"):
        await SQLiteStore(path).open()
    assert path.read_text() == "My diary. " * 500


async def test_a_database_of_another_program_is_refused_and_left_as_it_is(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")
    before = path.read_bytes()
    with pytest.raises(ConfigurationError, match=r"store\.db: is a database of another program"):
        await SQLiteStore(path).open()
    assert path.read_bytes() == before


async def test_a_newer_schema_is_refused(path: Path) -> None:
    async with at(path):
        pass
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {file.SCHEMA + 1}")
    with pytest.raises(ConfigurationError, match="newer insession"):
        await SQLiteStore(path).open()


async def test_a_missing_folder_and_one_in_place_of_the_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no/store\.db: its folder does not exist"):
        await SQLiteStore(tmp_path / "no" / "store.db").open()
    with pytest.raises(ConfigurationError, match="cannot be opened for writing"):
        await SQLiteStore(tmp_path).open()


async def test_opening_may_be_tried_again(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "later" / "store.db")
    with pytest.raises(ConfigurationError):
        await store.open()
    (tmp_path / "later").mkdir()
    await store.open()
    await store.close()


async def test_an_opening_that_is_cancelled_leaves_nothing_open(path: Path) -> None:
    async with at(path):
        pass
    store = SQLiteStore(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        opening_it = asyncio.create_task(store.open())
        await asyncio.sleep(0)
        opening_it.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening_it
        connection.execute("ROLLBACK")
    await store.open()
    await store.close()


async def test_an_old_library_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 31, 1))
    with pytest.raises(ConfigurationError, match="too old"):
        await SQLiteStore(path).open()


async def test_namespaces_see_nothing_of_each_other(path: Path, clock: ManualClock) -> None:
    # "sqlite" is a word that table names must not begin with.
    async with at(path, clock=clock, namespace="sqlite") as one, at(path, clock=clock, namespace="a_b") as other:
        record = await opened(one, session("one", clock.now(), owner="ann"))
        await done(one, writing(clock.now(), Put("a/b", b"x")))
        assert await record_of(other, record.id) is None
        assert await everything(other, "all") == []
        assert await everything(other, "item", "") == []
        assert await the_log(other) == []
        assert (await end_of_log(one)).partition(":")[0] != (await end_of_log(other)).partition(":")[0]
        mine = await opened(other, session("one", clock.now(), owner="ann"))
        assert mine.version == 1
        await ended(other, end(mine.id, ending(clock.now())))
        assert await record_of(one, record.id) == record


async def test_all_processes_of_a_host_agree_about_the_time(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with at(path) as one:
        steps = time.time() + 5_000.0
        monkeypatch.setattr(time, "time", lambda: steps)
        async with at(path) as other:
            assert other.clock._offset == one.clock._offset
            assert abs(await other.now() - await one.now()) < 1.0


async def test_another_boot_reads_the_time_anew(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with at(path) as store:
        before = await store.now()
    boot = path.with_name("boot_id")
    boot.write_text("another\n")
    monkeypatch.setattr(file, "_BOOT", boot)
    later = time.time() + 5_000.0
    monkeypatch.setattr(time, "time", lambda: later)
    async with at(path) as store:
        assert await store.now() > before + 4_000.0
    boot.unlink()
    async with at(path) as store:
        assert abs(await store.now() - later) < 60.0


async def test_a_given_clock_is_used(path: Path) -> None:
    clock = ManualClock(5.0)
    store = SQLiteStore(path, clock=clock)
    assert isinstance(SQLiteStore(path).clock, Clock)
    await store.open()
    assert store.clock is clock
    assert await store.now() == 5.0
    await store.close()


def check(path: Path) -> None:
    """The file is whole, and what is counted and indexed is what is there."""
    assert rows(path, "PRAGMA integrity_check") == [("ok",)]
    ((counts,),) = rows(path, "SELECT counts FROM state_default")
    found = rows(path, "SELECT kind, state, count(*) FROM sessions_default GROUP BY kind, state")
    told = {(kind, state): n for kind, one in json.loads(counts).items() for state, n in enumerate(one) if n}
    assert told == {(kind, state): n for kind, state, n in found}
    assert rows(path, "SELECT count(*) FROM sessions_default WHERE state = 0 AND (look IS NULL OR look > due)") == [
        (0,)
    ]
    orphans = (
        "SELECT count(*) FROM bulk_default WHERE number NOT IN (SELECT number FROM sessions_default WHERE data IS NULL)"
    )
    assert rows(path, orphans) == [(0,)]


async def test_big_data_lies_apart(path: Path, clock: ManualClock) -> None:
    bulk = "SELECT length(data) FROM bulk_default"
    async with at(path, clock=clock) as store:
        record = await opened(store, session("one", clock.now(), data=b"x" * 9_000))
        assert rows(path, bulk) == [(9_000,)]
        clock.set(clock.now() + 1)
        await store.apply([Touch(record.id, clock.now(), 0.0)])
        assert (await the_record(store, record.id)).data == b"x" * 9_000
        await done(store, update(record.id, clock.now(), data=b"small"))
        assert rows(path, bulk) == []
        assert (await the_record(store, record.id)).data == b"small"
        await done(store, update(record.id, clock.now(), data=b"y" * 5_000))
        assert (await everything(store, "all"))[0].data == b"y" * 5_000
        check(path)
        await ended(store, end(record.id, ending(clock.now())))
        clock.set(clock.now() + 10_000)
        (purged,) = await store.apply([Purge(clock.now(), "call")])
        assert purged == Counted(1)
        assert rows(path, bulk) == []
    check(path)


async def test_a_touch_leaves_the_sweep_alone_and_who_sweeps_puts_it_right(path: Path, clock: ManualClock) -> None:
    begin = clock.now()
    looks = "SELECT look FROM sessions_default ORDER BY number"
    async with at(path, clock=clock) as store:
        touched, left, stopped = [await opened(store, session(name, begin)) for name in ("a", "b", "c")]
        assert await due_after(store, Touch(touched.id, begin + 30, 0.0)) == begin + 90
        await ended(store, end(stopped.id, ending(begin + 30)))
        assert rows(path, looks) == [(begin + 60,)] * 3
        (swept,) = await store.apply([expire(begin + 61)])
        assert isinstance(swept, Ends)
        assert (swept.ids, swept.more, swept.look) == ((left.id,), False, begin + 90)
        assert rows(path, looks) == [(begin + 90,), (None,), (None,)]
        await done(store, update(touched.id, begin + 61, fields={"absolute": begin + 70, "due": begin + 70}))
        assert rows(path, looks)[0] == (begin + 70,)
        check(path)


async def test_many_touched_sessions_are_swept_a_part_at_a_time(
    path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    from insession.stores.sqlite import sessions

    monkeypatch.setattr(sessions, "_SOME", 4)
    monkeypatch.setattr(sessions, "_OFTEN", 2)
    begin = clock.now()
    async with at(path, clock=clock) as store:
        records = [session(f"s{n}", begin) for n in range(30)]
        await store.apply([opening(record) for record in records])
        await store.apply([Touch(record.id, begin + 30, 0.0) for record in records])
        for _ in range(10):
            (swept,) = await store.apply([End(Pick("due", None, None, 10), expiry(begin + 10))])
            assert isinstance(swept, Ends)
            assert swept.ids == ()
            if swept.look == begin + 90:
                break
            assert swept.look == begin + 60
        else:
            pytest.fail("the sweep does not get on")
    check(path)


async def test_a_page_of_the_log_looks_at_a_bounded_part(
    path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "SCAN", 10)
    async with at(path, clock=clock) as store:
        cursor = await end_of_log(store)
        await store.apply([opening(session(f"s{n}", clock.now())) for n in range(25)])
        await ended(store, end(session("s3", clock.now()).id, ending(clock.now())))
        page = await store.events(cursor, 100, {EventType.INTERRUPTED})
        assert page.events == ()
        assert page.more
        assert page.cursor.endswith(":10")
        assert [event.position for event in await the_log(store, cursor, {EventType.INTERRUPTED})] == [26]

"""The SQLite store's transactions: group commit, other writers, failures."""
# ruff: noqa: ASYNC220 - a test's loop has nothing else to do than wait for processes

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from insession.errors import OutcomeUnknown, StoreUnavailable
from insession.kernel.operations import Done, Operation
from insession.stores.sqlite import SQLiteStore, sessions, transactions
from insession.testing.clock import ManualClock
from insession.testing.contract.samples import opened, opening, record_of, session, the_log, update


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
def synchronous() -> Any:
    return "full"


@pytest.fixture
async def store(path: Path, clock: ManualClock, synchronous: Any) -> AsyncIterator[SQLiteStore]:
    store = SQLiteStore(path, clock=clock, synchronous=synchronous)
    await store.open()
    yield store
    await store.close()


both = pytest.mark.parametrize("synchronous", ["full", "normal"])
without_full = pytest.mark.parametrize("synchronous", ["normal"])


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another connection writes."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


def hand_over(store: SQLiteStore, *batches: Sequence[Operation]) -> list[asyncio.Task[Sequence[Any]]]:
    return [asyncio.create_task(store.apply(batch)) for batch in batches]


async def turns(number: int = 3) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


def said(store: SQLiteStore) -> list[str]:
    """What its writing connection is told from now on."""
    statements: list[str] = []
    store._writer._transactions._connection.set_trace_callback(statements.append)
    return statements


class Failing:
    """A cursor that fails at one statement."""

    def __init__(self, cursor: sqlite3.Cursor, statement: str, *, code: int = sqlite3.SQLITE_IOERR) -> None:
        self._cursor = cursor
        self._statement = statement
        self._code = code

    def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
        if sql.startswith(self._statement):
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = self._code
            raise error
        return self._cursor.execute(sql, *values)


async def test_what_waits_goes_into_one_transaction(store: SQLiteStore, path: Path, clock: ManualClock) -> None:
    statements = said(store)
    with locked(path):
        tasks = hand_over(store, *([opening(session(f"s{n}", clock.now()))] for n in range(30)))
        await turns()
    answers = await asyncio.gather(*tasks)
    assert all(type(answer) is Done for (answer,) in answers)
    # The first was taken before the others came.
    assert statements.count("COMMIT") <= 2
    assert len(await the_log(store)) == 30


async def test_of_a_group_only_the_one_that_cannot_be_written_fails(
    store: SQLiteStore, path: Path, clock: ManualClock
) -> None:
    bad = session("bad", clock.now(), data="not bytes", reason=b"not text", change=object())
    with locked(path):
        first = hand_over(store, [opening(session("first", clock.now()))])
        await turns()
        tasks = hand_over(
            store,
            [opening(session("one", clock.now())), opening(session("two", clock.now()))],
            [opening(session("before", clock.now())), opening(bad)],
            [opening(session("three", clock.now()))],
        )
        await turns()
    await asyncio.gather(*first)
    one, failed, three = await asyncio.gather(*tasks, return_exceptions=True)
    assert not isinstance(one, BaseException)
    assert not isinstance(three, BaseException)
    assert isinstance(failed, StoreUnavailable)
    assert [event.id for event in await the_log(store)] == [
        session(name, clock.now()).id for name in ("first", "one", "two", "three")
    ]
    assert await record_of(store, session("before", clock.now()).id) is None


async def test_a_cancelled_callers_batch_runs_to_its_end(store: SQLiteStore, path: Path, clock: ManualClock) -> None:
    record = session("one", clock.now())
    with locked(path):
        (task,) = hand_over(store, [opening(record)])
        await turns()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await opened(store, session("after", clock.now()))
    assert await record_of(store, record.id) is not None


HOLDING = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.readline()
connection.execute("COMMIT")
"""


@pytest.mark.processes
@both
async def test_another_process_is_waited_for(store: SQLiteStore, path: Path, clock: ManualClock) -> None:
    command = [sys.executable, "-c", HOLDING, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        (task,) = hand_over(store, [opening(session("one", clock.now()))])
        await turns()
        assert not task.done()
        # Who only reads is in nobody's way.
        assert store.record_now("x") is None
        process.stdin.write("go\n")
        process.stdin.flush()
        async with asyncio.timeout(20):
            await task


@both
async def test_nobody_is_waited_for_without_end(path: Path, clock: ManualClock, synchronous: Any) -> None:
    store = SQLiteStore(path, clock=clock, synchronous=synchronous, patience=0.01)
    await store.open()
    with locked(path):
        tasks = hand_over(store, *([opening(session(f"s{n}", clock.now()))] for n in range(3)))
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(outcome, StoreUnavailable)
            assert "kept it locked" in str(outcome)
    assert await the_log(store) == []
    await opened(store, session("s1", clock.now()))
    await store.close()


async def test_numbers_grow_whoever_takes_them(store: SQLiteStore, path: Path, clock: ManualClock) -> None:
    other = SQLiteStore(path, clock=clock)
    await other.open()
    record = await opened(store, session("one", clock.now()))
    versions = [record.version]
    for turn in range(10):
        (answer,) = await (other if turn % 2 else store).apply([update(record.id, clock.now(), data=b"x")])
        assert isinstance(answer, Done)
        versions += answer.versions
    await other.close()
    assert versions == sorted(set(versions))


@both
async def test_what_is_known_of_records_is_forgotten_when_others_write(
    store: SQLiteStore, path: Path, clock: ManualClock, synchronous: Any
) -> None:
    record = await opened(store, session("one", clock.now(), data=b"0"))
    other = SQLiteStore(path, clock=clock, synchronous=synchronous)
    await other.open()
    known: dict[str, Any] = store._writer._transactions._rows._sessions._records
    for turn in range(1, 5):
        writer = other if turn % 2 else store
        before = await record_of(writer, record.id)
        assert before is not None
        assert before.data == b"%d" % (turn - 1)
        await writer.apply([update(record.id, clock.now(), data=b"%d" % turn, version=before.version)])
    assert known[record.id].data == b"4"
    await other.close()


async def test_so_many_records_are_known_and_no_more(
    store: SQLiteStore, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    known: dict[str, Any] = store._writer._transactions._rows._sessions._records
    monkeypatch.setattr(sessions, "_KNOWN", 10)
    for n in range(50):
        await opened(store, session(f"s{n}", clock.now()))
        assert len(known) <= 11
    monkeypatch.setattr(sessions, "_KNOWN", 1000)
    monkeypatch.setattr(sessions, "_KNOWN_BYTES", 1000)
    for n in range(50):
        await opened(store, session(f"t{n}", clock.now(), data=b"x" * 100))
        assert sum(len(one.data) for one in known.values() if one) <= 1100
    assert await record_of(store, session("t0", clock.now()).id) is not None


async def test_a_full_disk(store: SQLiteStore, clock: ManualClock) -> None:
    kept = await opened(store, session("kept", clock.now()))
    connection = store._writer._transactions._connection
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages}").fetchall()
    big = session("big", clock.now(), data=b"x" * 100_000)
    with pytest.raises(StoreUnavailable, match=r"store\.db: .*full"):
        await store.apply([opening(big)])
    assert await record_of(store, kept.id) == kept
    connection.execute("PRAGMA max_page_count = 1000000").fetchall()
    after = await opened(store, big)
    assert after.version > kept.version
    assert [event.id for event in await the_log(store)] == [kept.id, big.id]


@both
async def test_a_commit_that_fails_did_not_happen(store: SQLiteStore, clock: ManualClock) -> None:
    await opened(store, session("before", clock.now()))
    inner: Any = store._writer._transactions
    cursor, inner._cursor = inner._cursor, Failing(inner._cursor, "COMMIT")
    with pytest.raises(StoreUnavailable, match="nothing of it ran"):
        await store.apply([opening(session("one", clock.now()))])
    inner._cursor = cursor
    assert len(await the_log(store)) == 1
    await opened(store, session("one", clock.now()))
    assert [event.position for event in await the_log(store)] == [1, 2]


async def test_a_commit_that_may_come_to_life_has_an_unknown_outcome(store: SQLiteStore, clock: ManualClock) -> None:
    inner: Any = store._writer._transactions
    cursor = inner._cursor
    inner._cursor = Failing(cursor, "COMMIT", code=sqlite3.SQLITE_IOERR_FSYNC)
    with pytest.raises(OutcomeUnknown, match="durable"):
        await store.apply([opening(session("one", clock.now()))])
    inner._cursor = cursor
    await opened(store, session("one", clock.now()))


async def test_after_a_failed_rollback_it_connects_anew(store: SQLiteStore, clock: ManualClock) -> None:
    inner: Any = store._writer._transactions
    broken = Failing(inner._cursor, "")
    broken.execute = Failing(inner._cursor, "COMMIT").execute  # type: ignore[method-assign]

    class Stuck:
        def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
            if sql == "ROLLBACK":
                raise sqlite3.OperationalError("stuck")
            return broken.execute(sql, *values)

    inner._cursor = Stuck()
    with pytest.raises(OutcomeUnknown, match="could not be rolled back"):
        await store.apply([opening(session("one", clock.now()))])
    assert len(await the_log(store)) == 0
    await opened(store, session("one", clock.now()))


@without_full
async def test_without_full_few_operations_are_applied_at_once(store: SQLiteStore, clock: ManualClock) -> None:
    (task,) = hand_over(store, [opening(session("one", clock.now()))])
    await turns(1)
    assert task.done()
    many = [opening(session(f"s{n}", clock.now())) for n in range(9)]
    (task,) = hand_over(store, many)
    await turns(1)
    assert not task.done()
    await task


async def test_with_full_nothing_is(store: SQLiteStore, clock: ManualClock) -> None:
    (task,) = hand_over(store, [opening(session("one", clock.now()))])
    await turns(1)
    assert not task.done()
    await task


@without_full
async def test_a_long_write_ahead_log_is_brought_home_by_the_thread(
    store: SQLiteStore, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transactions, "CHECKPOINT", 50)
    inner = store._writer._transactions
    modes: list[str] = []
    checkpoint = inner.checkpoint

    def noted(mode: Any = "PASSIVE") -> None:
        modes.append(mode)
        checkpoint(mode)

    monkeypatch.setattr(inner, "checkpoint", noted)
    quick: list[bool] = []
    for n in range(20):
        # The commit that begins the log anew waits for the disk, so the thread makes that one as well.
        quick.append(inner.quick)
        await opened(store, session(f"s{n}", clock.now()))
    assert "PASSIVE" in modes
    assert 1 <= quick.count(False) < quick.count(True)


async def test_an_idle_thread_brings_it_home(
    store: SQLiteStore, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    from insession.stores.sqlite import writer

    monkeypatch.setattr(writer, "IDLE", 0.001)
    monkeypatch.setattr(writer, "WORTH", 10)
    await store.apply([opening(session(f"s{n}", clock.now())) for n in range(20)])
    inner = store._writer._transactions
    async with asyncio.timeout(20):
        while inner.away:  # noqa: ASYNC110 - a thread sets no event
            await asyncio.sleep(0.001)

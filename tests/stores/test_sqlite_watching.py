"""Noticing what other processes write to the SQLite file."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from insession.kernel.contract import Waker
from insession.kernel.events import ENDINGS, EventType
from insession.kernel.operations import Acquire, Granted, Waiting
from insession.stores.sqlite import SQLiteStore, changes, watch
from insession.testing.contract.samples import end, ending, opened, session, the_log

DEADLINE = 20.0

OTHER = """
import asyncio, sys
from insession.kernel.operations import Release
from insession.stores.sqlite import SQLiteStore
from insession.testing.contract.samples import end, ending

async def main():
    store = SQLiteStore(sys.argv[1], synchronous=sys.argv[2])
    await store.open()
    print("ready", flush=True)
    for line in sys.stdin:
        verb, name = line.split()
        now = await store.now()
        what = end(name, ending(now)) if verb == "end" else Release("lease", name, now)
        await store.apply([what])
        print("done", flush=True)
    await store.close()

asyncio.run(main())
"""


class Other:
    """A process on the same file."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._input, self._output = process.stdin, process.stdout

    async def hear(self) -> str:
        async with asyncio.timeout(DEADLINE):
            return (await self._output.readline()).decode().strip()

    async def do(self, verb: str, name: str) -> None:
        self._input.write(f"{verb} {name}\n".encode())
        assert await self.hear() == "done"


@asynccontextmanager
async def other_process(path: Path, synchronous: str) -> AsyncIterator[Other]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", OTHER, str(path), synchronous),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        other = Other(process)
        assert await other.hear() == "ready"
        yield other
        assert process.stdin is not None
        process.stdin.close()
        async with asyncio.timeout(DEADLINE):
            await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def woken(waker: Waker) -> None:
    async with asyncio.timeout(DEADLINE):
        await waker.wait()


def watching() -> bool:
    return any(thread.name == "insession-sqlite-watch" for thread in threading.enumerate())


@pytest.fixture(params=["full", "normal"])
def synchronous(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
async def store(tmp_path: Path, synchronous: Any) -> AsyncIterator[SQLiteStore]:
    store = SQLiteStore(tmp_path / "store.db", synchronous=synchronous)
    await store.open()
    yield store
    await store.close()
    assert not watching()


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """The net does not catch what the watch misses."""
    monkeypatch.setattr(watch, "SLOW", 3600.0)


def seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "changes_of", changes.Changes)


def told(monkeypatch: pytest.MonkeyPatch) -> None:
    if type(changes.changes_of(__file__)) is changes.Changes:
        pytest.skip("this system does not tell of changes")


@pytest.mark.processes
@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("way", [told, seen])
async def test_endings_by_another_process_are_noticed(
    store: SQLiteStore, synchronous: str, way: Callable[[Any], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    way(monkeypatch)
    waker = store.waker(ENDINGS)
    records = [await opened(store, session(f"s{n}", await store.now())) for n in range(20)]
    async with other_process(Path(store._file.path), synchronous) as other:
        for number, record in enumerate(records):
            await other.do("end", record.id)
            await woken(waker)
            while len(await the_log(store, types=ENDINGS)) <= number:
                await woken(waker)


@pytest.mark.processes
@pytest.mark.usefixtures("slow")
async def test_a_lease_handed_on_by_another_process_is_noticed(store: SQLiteStore, synchronous: str) -> None:
    now = await store.now()
    first, second = await store.apply([Acquire("lease", "a", now, 60.0), Acquire("lease", "b", now, 60.0)])
    assert isinstance(first, Granted)
    assert isinstance(second, Waiting)
    waker, not_leases = store.waker((), leases=True), store.waker(ENDINGS)
    async with other_process(Path(store._file.path), synchronous) as other:
        await other.do("release", "a")
        await woken(waker)
        (answer,) = await store.apply([Acquire("lease", "b", now, 60.0)])
        assert isinstance(answer, Granted)
    assert not not_leases._set


@pytest.mark.processes
async def test_a_slow_look_is_the_net(store: SQLiteStore, synchronous: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Deaf(changes.Changes):
        def wait(self, seconds: float) -> bool:
            self.stopped.wait(seconds)
            return False

    monkeypatch.setattr(watch, "changes_of", Deaf)
    monkeypatch.setattr(watch, "SLOW", 0.01)
    record = await opened(store, session("one", await store.now()))
    waker = store.waker(ENDINGS)
    async with other_process(Path(store._file.path), synchronous) as other:
        await other.do("end", record.id)
        await woken(waker)


async def test_what_was_written_before_the_watch_began_is_noticed(store: SQLiteStore, synchronous: Any) -> None:
    record = await opened(store, session("one", await store.now()))
    other = SQLiteStore(store._file.path, synchronous=synchronous)
    await other.open()
    await other.apply([end(record.id, ending(await other.now()))])
    await woken(store.waker(ENDINGS))
    await other.close()


async def test_a_transaction_notices_what_others_wrote(
    store: SQLiteStore, synchronous: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store._watch, "start", lambda: None)
    waker = store.waker({EventType.OPENED})
    other = SQLiteStore(store._file.path, synchronous=synchronous)
    await other.open()
    record = await opened(other, session("one", await other.now()))
    await other.close()
    await store.apply([end(record.id, ending(await store.now()))])
    await woken(waker)


async def test_of_very_many_events_the_types_are_not_read(
    store: SQLiteStore, synchronous: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "_FEW", 0)
    waker = store.waker(ENDINGS)
    other = SQLiteStore(store._file.path, synchronous=synchronous)
    await other.open()
    await opened(other, session("one", await other.now()))
    await woken(waker)
    await other.close()


async def test_nobody_looks_while_nobody_waits(store: SQLiteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "SLOW", 0.005)
    assert not watching()
    waker = store.waker(ENDINGS)
    assert watching()
    del waker
    gc.collect()
    async with asyncio.timeout(DEADLINE):
        while watching():  # noqa: ASYNC110 - a thread sets no event
            await asyncio.sleep(0.005)
    again = store.waker(ENDINGS)
    assert watching()
    assert again is not None

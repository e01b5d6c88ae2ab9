"""The SQLite store's file in several processes: created at once, left by a killed one, taken along by a fork."""
# ruff: noqa: ASYNC220 - a test's loop has nothing else to do than wait for processes

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from insession.testing.contract.samples import record_of

from .test_sqlite import at, check, rows


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


CREATING = """
import asyncio, sys
from insession.stores.sqlite import SQLiteStore
from insession.testing.contract.samples import opened, session

async def main():
    store = SQLiteStore(sys.argv[1])
    sys.stdin.readline()
    await store.open()
    for n in range(20):
        record = await opened(store, session(f"{sys.argv[2]}-{n}", await store.now()))
        print(record.version)
    await store.close()

asyncio.run(main())
"""


@pytest.mark.processes
def test_processes_create_it_at_once(path: Path) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", CREATING, str(path), str(n)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for n in range(4)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    versions: list[int] = []
    for process in processes:
        told, _ = process.communicate(timeout=50)
        assert process.returncode == 0
        mine = [int(line) for line in told.split()]
        assert mine == sorted(mine)
        versions += mine
    assert len(set(versions)) == 80
    assert rows(path, "SELECT position FROM events_default ORDER BY position") == [(n,) for n in range(1, 81)]
    check(path)


KILLED = """
import asyncio, sys
from insession.stores.sqlite import SQLiteStore
from insession.testing.contract.samples import opened, session

async def main():
    store = SQLiteStore(sys.argv[1])
    await store.open()
    for n in range(100_000):
        record = await opened(store, session(f"s{n}", await store.now()))
        print(record.id, flush=True)

asyncio.run(main())
"""


@pytest.mark.processes
async def test_a_killed_process_leaves_all_that_was_answered(path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        told = [process.stdout.readline() for _ in range(200)]
        process.kill()
        told += process.stdout.readlines()
    ids = [line.strip() for line in told if line.endswith("\n")]
    async with at(path) as store:
        assert all([await record_of(store, one) for one in ids])
    check(path)


FORKED = """
import asyncio, os, sys, warnings
from insession.errors import ConfigurationError
from insession.stores.sqlite import SQLiteStore
warnings.simplefilter("ignore", DeprecationWarning)

async def main():
    store = SQLiteStore(sys.argv[1], synchronous="normal")
    await store.open()
    child = os.fork()
    if not child:
        refused = 0
        for use in (lambda: store.apply([]), lambda: store.events(None, 1, None)):
            try:
                await use()
            except ConfigurationError as error:
                refused += "forked" in str(error)
        await store.close()
        os._exit(40 + refused)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    await store.apply([])
    await store.close()

asyncio.run(main())
"""


@pytest.mark.processes
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_process_is_told_to_open_its_own(path: Path) -> None:
    told = subprocess.run([sys.executable, "-c", FORKED, str(path)], check=True, capture_output=True, timeout=50)
    assert told.stdout.split() == [b"42"]

"""The file server of the examples, with real processes and real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

import insession
from tests.programs import ROOT, Process, started
from tests.programs import insession as command

pytestmark = pytest.mark.processes
STORE = "sqlite:///downloads.db"
SIZE = 3_000_000


@contextlib.contextmanager
def downloads(folder: Path, *options: str) -> Iterator[Process]:
    server = str(ROOT / "examples" / "downloads.py")
    with started(
        sys.executable, "-W", "error", server, "--store", STORE, "--port", "0", *options, cwd=folder
    ) as process:
        yield process


@contextlib.asynccontextmanager
async def stored(folder: Path) -> AsyncIterator[insession.Engine]:
    """The store that the server writes, seen from here."""
    with contextlib.chdir(folder):
        engine = insession.connect(STORE)
    async with engine:
        yield engine


async def following(engine: insession.Engine, wanted: Callable[[insession.Event], bool], number: int) -> list[str]:
    """Ids of the sessions of so many events, as they come."""
    ids: list[str] = []
    async with asyncio.timeout(20.0):
        async for event in engine.events(after=insession.START):
            if event.kind == "download" and wanted(event):
                ids.append(event.id)
            if len(ids) == number:
                break
    return ids


async def fetch(http: httpx2.AsyncClient, begun: Callable[[], Any]) -> tuple[int, bool]:
    """So many bytes came, and whether that was the whole file."""
    came = 0
    try:
        async with http.stream("GET", "/files/big.bin", headers={"User-Agent": "tests/1"}) as answer:
            async for chunk in answer.aiter_bytes():
                if not came:
                    begun()
                came += len(chunk)
    except httpx2.RemoteProtocolError:
        return came, False
    return came, True


async def reading(
    folder: Path, work: Callable[[insession.Engine, httpx2.AsyncClient], Awaitable[None]], *options: str
) -> None:
    with downloads(folder, *options) as server:
        async with stored(folder) as engine, httpx2.AsyncClient(base_url=server.url, trust_env=False) as http:
            await work(engine, http)


async def test_interrupting_one_stops_its_stream_in_the_middle(tmp_path: Path) -> None:
    async def work(engine: insession.Engine, http: httpx2.AsyncClient) -> None:
        flowing = [asyncio.Event() for _ in range(3)]
        tasks = [asyncio.create_task(fetch(http, one.set)) for one in flowing]
        async with asyncio.timeout(20.0):
            for one in flowing:
                await one.wait()
        ids = await following(engine, lambda event: event.type == "opened", 3)
        session = await engine.get(ids[0])
        assert session.owner == "127.0.0.1"
        assert session.data["agent"] == "tests/1"
        assert session.data["address"].startswith("127.0.0.1:")
        assert session.data["file"] == "big.bin"
        done = await asyncio.to_thread(
            command, "interrupt", ids[0], "--reason", "too much", "--wait", "10", "--store", STORE, cwd=tmp_path
        )
        assert done.stdout == f"{ids[0]} interrupted: too much, cancelled\n"
        done = await asyncio.to_thread(command, "ls", "--json", "--kind", "download", "--store", STORE, cwd=tmp_path)
        assert sorted(json.loads(line)["id"] for line in done.stdout.splitlines()) == sorted(ids[1:])
        async with asyncio.timeout(10.0):
            stopped, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        ((came, whole),) = [task.result() for task in stopped]
        assert 0 < came < SIZE
        assert not whole
        # The others go on until they are stopped too.
        await engine.interrupt_all("over", kind="download")
        async with asyncio.timeout(10.0):
            assert [whole for _, whole in await asyncio.gather(*tasks)] == [False] * 3

    await reading(tmp_path, work, "--size", str(SIZE), "--rate", "100000")


async def test_a_client_that_vanishes_ends_its_session(tmp_path: Path) -> None:
    async def work(engine: insession.Engine, http: httpx2.AsyncClient) -> None:
        async with http.stream("GET", "/files/big.bin") as answer:
            await anext(answer.aiter_bytes())
        (session_id,) = await following(engine, lambda event: event.type == "closed", 1)
        session = await engine.get(session_id)
        assert (session.state, session.reason) == ("closed", "client_gone")

    await reading(tmp_path, work, "--rate", "100000")


async def test_a_client_that_does_not_read_can_be_stopped(tmp_path: Path) -> None:
    async def work(engine: insession.Engine, http: httpx2.AsyncClient) -> None:
        async with http.stream("GET", "/files/big.bin"):
            # Nothing is read: the server waits in the middle of sending.
            (session_id,) = await following(engine, lambda event: event.type == "opened", 1)
            await engine.interrupt(session_id, "stuck", wait=10.0)
            assert (await engine.get(session_id)).stopped == "cancelled"

    await reading(tmp_path, work, "--rate", "1e9", "--size", "1000000000")


async def test_one_that_is_finished_is_completed(tmp_path: Path) -> None:
    async def work(engine: insession.Engine, http: httpx2.AsyncClient) -> None:
        assert await fetch(http, lambda: None) == (SIZE, True)
        (session_id,) = await following(engine, lambda event: event.type == "closed", 1)
        session = await engine.get(session_id)
        assert (session.reason, session.data["sent"]) == ("completed", SIZE)

    await reading(tmp_path, work, "--size", str(SIZE), "--rate", "1e9")


async def test_files_of_a_folder_and_of_no_other(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "small.txt").write_bytes(b"small")
    (tmp_path / "secret.txt").write_bytes(b"secret")

    async def work(engine: insession.Engine, http: httpx2.AsyncClient) -> None:
        assert (await http.get("/files/small.txt")).content == b"small"
        for path in ("/files/none.txt", "/files/..%2fsecret.txt", "/files/%2e%2e/secret.txt", "/files/"):
            assert (await http.get(path)).status_code == 404

    await reading(tmp_path, work, "--folder", str(tmp_path / "files"))


async def test_stopping_the_server_stops_its_downloads(tmp_path: Path) -> None:
    with downloads(tmp_path, "--rate", "100000") as server:
        async with stored(tmp_path) as engine, httpx2.AsyncClient(base_url=server.url, trust_env=False) as http:
            begun = asyncio.Event()
            task = asyncio.create_task(fetch(http, begun.set))
            await asyncio.wait_for(begun.wait(), 20.0)
            await asyncio.to_thread(server.stop)
            assert (await task)[1] is False
            (session_id,) = await following(engine, lambda event: event.type == "interrupted", 1)
            assert (await engine.get(session_id)).reason == "shutdown"

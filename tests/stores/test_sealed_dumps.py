"""What stands in the files and dumps of a store that is encrypted: nothing of data, owner or context."""

from __future__ import annotations

import asyncio
import secrets
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from insession import Engine, connect
from insession.kernel.sealing import rewrap, rotate
from insession.stores.sealed import Keys
from insession.testing.clock import settle
from insession.testing.contract.samples import everything
from insession.tracking import SessionManager
from tests.servers.postgres import fresh_schema, programs, shared_server
from tests.servers.valkey import Valkey

Dump = Callable[[], bytes]


@pytest.fixture
def sqlite(tmp_path: Path) -> tuple[str, Dump]:
    """A file, and the log beside it."""

    def dump() -> bytes:
        files = sorted(tmp_path.glob("store.db*"))
        assert {file.name for file in files} >= {"store.db", "store.db-wal"}
        return b"".join(file.read_bytes() for file in files)

    return f"sqlite:///{tmp_path / 'store.db'}", dump


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[tuple[str, Dump]]:
    """A server whose dump is not compressed, and which writes every command down as well."""
    server = Valkey(tmp_path, "--rdbcompression", "no", "--appendonly", "yes", "--aof-use-rdb-preamble", "no")
    server.start()

    def dump() -> bytes:
        assert server.ask("SAVE") == b"+OK\r\n"
        files = [tmp_path / "dump.rdb", *tmp_path.glob("appendonlydir/*")]
        return b"".join(file.read_bytes() for file in files)

    yield server.url, dump
    server.stop()


@pytest.fixture
def postgres() -> tuple[str, Dump]:
    """A schema: its dump as text, where bytes are written in hexadecimal digits, and the write-ahead log."""
    server, schema = shared_server(), fresh_schema()
    found = programs()
    assert found is not None

    def dump() -> bytes:
        command: list[str | Path] = [
            found / "pg_dump",
            "-h",
            server.folder,
            "-U",
            "insession",
            "-n",
            schema,
            "postgres",
        ]
        text = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
        assert b"COPY" in text
        logs = sorted((server.folder / "data" / "pg_wal").glob("0*"))
        assert logs
        return text + b"".join(log.read_bytes() for log in logs)

    return server.url(schema), dump


@pytest.fixture(params=["sqlite", "valkey", "postgres"])
def place(request: pytest.FixtureRequest) -> tuple[str, Dump]:
    """The URL of a store, and what gives all its bytes."""
    found: tuple[str, Dump] = request.getfixturevalue(request.param)
    return found


async def _fill(url: str, keys: Keys | None, mark: str) -> AsyncIterator[None]:
    """Sessions, items, a note that waits and a tracked device; stops where the bytes are worth a look."""
    options: dict[str, Any] = {} if keys is None else {"keys": keys}
    async with connect(url, **options) as engine:
        session = await engine.open(owner=f"owner {mark}", data={"text": f"data {mark}"})
        await session.update(lambda data: data | {"more": f"data {mark}"}, event=True)
        await engine.items.put("memory/one", {"text": f"item {mark}"})
        async with engine.lock("report"):
            waiting = asyncio.create_task(_wait(engine, f"note {mark}".encode()))
            async with asyncio.timeout(20.0):
                while not (await everything(engine.store, "lease", "report"))[0].waiting:
                    await settle()
            yield
            waiting.cancel()
            await asyncio.wait([waiting])
        await session.close()
        if keys is not None:
            await rotate(engine, Keys({**Keys.generate(number=9)._ring, **keys._ring}))
            assert (await rewrap(engine)).done
        yield
    manager = SessionManager({"encrypt_session_data": keys is not None}, url, namespace="devices", keys=keys)
    assert await manager.initialize()
    await manager.create_session("agent", None, {"plan": f"context {mark}"}, hardware_id=f"device {mark}")
    yield
    await manager.cleanup()


async def _wait(engine: Engine, note: bytes) -> None:
    async with engine.lock("report", note=note, wait=None):
        pass


def _found(content: bytes, mark: str) -> set[str]:
    """Which of the words stand there, as they are or in hexadecimal digits."""
    words = {word: f"{word} {mark}".encode() for word in ("data", "owner", "item", "note", "context", "device")}
    return {word for word, text in words.items() if text in content or text.hex().encode() in content}


@pytest.mark.requirement("M63", "M93")
async def test_nothing_stands_there(place: tuple[str, Dump]) -> None:
    url, dump = place
    mark = secrets.token_hex(8)
    async for _ in _fill(url, Keys.generate(), mark):
        content = await asyncio.to_thread(dump)
        assert _found(content, mark) == set()
        assert mark.encode() not in content
        assert mark.encode().hex().encode() not in content


async def test_the_same_search_finds_what_is_not_encrypted(place: tuple[str, Dump]) -> None:
    url, dump = place
    mark = secrets.token_hex(8)
    found: set[str] = set()
    async for _ in _fill(url, None, mark):
        found |= _found(await asyncio.to_thread(dump), mark)
    assert found == {"data", "owner", "item", "note", "context", "device"}

"""A reader of the event log who does not read: costs a page, and misses nothing."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Generator
from pathlib import Path

import pytest

from insession import Engine, connect
from tests.programs import INSESSION, Process, started

NUMBER = 8_000
AT_ONCE = 100
OWNER = "o" * 500
"""So that a block has about a kilobyte: all of them do not fit into the buffers of the sockets."""
MOST = 2 << 20
"""Bytes that the service may grow by: a page is half a megabyte, and stores have caches."""


def resident(process: Process) -> int:
    status = Path(f"/proc/{process.popen.pid}/status").read_text("ascii")
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024


def stream_of(process: Process, last: str | None = None) -> socket.socket:
    port = int(process.url.rpartition(":")[2])
    line = socket.socket()
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    line.settimeout(20.0)
    line.connect(("127.0.0.1", port))
    after = "" if last is None else f"Last-Event-ID: {last}\r\n"
    line.sendall(f"GET /v1/events?types=opened HTTP/1.1\r\nHost: localhost\r\n{after}\r\n".encode())
    return line


def events(line: socket.socket) -> Generator[tuple[str, str], None, None]:
    """Cursor and session id of each event, as they come; chunk sizes are lines of their own."""
    cursor = ""
    with line, line.makefile("rb") as lines:
        for one in lines:
            name, _, value = one.rstrip(b"\r\n").partition(b": ")
            if name == b"id":
                cursor = value.decode()
            elif name == b"data":
                yield cursor, json.loads(value)["id"]
            elif name == b"event":
                assert value == b"opened"


async def open_sessions(engine: Engine, number: int) -> list[str]:
    ids: list[str] = []
    while len(ids) < number:
        opened = await asyncio.gather(*(engine.open(owner=OWNER) for _ in range(AT_ONCE)))
        ids += [session.id for session in opened]
    return ids


@pytest.mark.processes
async def test_it_is_bounded_in_memory_and_resumes_by_cursor(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'log.db'}"
    with started(*INSESSION, "serve", "--store", store, "--port", "0", cwd=tmp_path) as service:
        slow = stream_of(service)
        assert slow.recv(1_000).startswith(b"HTTP/1.1 200")
        async with connect(f"{store}?synchronous=normal") as engine:
            await open_sessions(engine, 500)  # whatever the service grows by with the first events, it has then
            before = resident(service)
            found = await open_sessions(engine, NUMBER - 500)
            grown = resident(service) - before
        assert grown < MOST, f"{grown} bytes more for {NUMBER * 700} bytes of events that nobody reads"
        seen = events(slow)
        begun = [next(seen) for _ in range(2_000)]
        seen.close()
        again = events(stream_of(service, begun[-1][0]))
        ids = [session_id for _, session_id in begun] + [next(again)[1] for _ in range(NUMBER - len(begun))]
        again.close()
        assert set(ids[500:]) == set(found)
        assert len(set(ids)) == len(ids) == NUMBER
        assert service.stop() == (0, "")

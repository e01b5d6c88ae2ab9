"""The page on remote sessions is run as its readers would."""

from __future__ import annotations

import asyncio
import json
import secrets
from pathlib import Path
from typing import Any

import pytest

from tests.pages import run_blocks

PAGE = Path(__file__).parents[2] / "docs" / "remote.md"


class Erp:
    """The service of the page, over HTTP; the answer to the second order is lost."""

    def __init__(self) -> None:
        self.sessions: set[str] = set()
        self.orders: list[Any] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        path, headers = head[0].split()[1], dict(line.lower().split(": ", 1) for line in head[1:] if line)
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        status, answer = self.answer(path, headers.get("session"), json.loads(body) if body else None)
        if not (path == "/orders" and len(self.orders) == 2):
            text = json.dumps(answer).encode()
            writer.write(f"HTTP/1.1 {status} Some\r\nContent-Length: {len(text)}\r\n".encode())
            writer.write(b"Content-Type: application/json\r\nConnection: close\r\n\r\n" + text)
            await writer.drain()
        writer.close()

    def answer(self, path: str, session: str | None, request: Any) -> tuple[int, Any]:
        if path == "/login":
            if request["password"] != "sesame":
                return 401, None
            self.sessions.add(new := secrets.token_hex(8))
            return 200, {"session": new}
        if session not in self.sessions:
            return 440, None
        if path == "/logout":
            self.sessions.discard(session)
        if path == "/orders":
            self.orders.append(request)
        there = [order for order in self.orders if order["number"] == request]
        return 200, there[0] if there else None


async def test_every_block_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    erp = Erp()
    server = await asyncio.start_server(erp.serve, "127.0.0.1", 0)
    async with server:
        monkeypatch.setenv("ERP_URL", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        monkeypatch.setenv("ERP_PASSWORD", "sesame")
        monkeypatch.setenv("INSESSION_STATE_DIR", str(tmp_path))
        monkeypatch.delenv("INSESSION_STORE", raising=False)
        assert await run_blocks(PAGE.read_text(), "docs/remote.md") == 4
    assert [order["number"] for order in erp.orders] == ["A-1", "A-2"]
    assert erp.sessions == set()

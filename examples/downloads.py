"""A file server whose every download is a session: seen, counted and stopped from a second terminal.

    python examples/downloads.py --store sqlite:///insession.db --port 8090 --rate 1000000
    curl -o /dev/null http://127.0.0.1:8090/files/big.bin          # many of them, if you like
    insession ls --kind download                                   # who downloads what
    insession interrupt <id> --reason "too much"                   # stops that one, in the middle

`/files/<name>` sends a file of the folder given by --folder. Without one it makes up --size bytes.
A client that hangs up ends its session with the reason "client_gone", a download that is done with
"completed". If this server dies, its sessions end as "node_lost" when the next one starts.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import anyio
import uvicorn
from litestar import Litestar, asgi
from litestar.types import Receive, Scope, Send

import insession

CHUNK = 64 * 1024
DOWNLOAD = insession.Kind("download", idle=30.0, recovery="end", keep=3600.0)
log = logging.getLogger("downloads")


class Downloads:
    """What is served, how fast, and the engine that knows who gets it."""

    def __init__(self, engine: insession.Engine, folder: Path | None, size: int, rate: float) -> None:
        self.engine = engine
        self.folder = folder
        self.size = size
        self.rate = rate

    def find(self, name: str) -> Path | None:
        """The file of that name in the folder."""
        found = None if self.folder is None else self.folder / Path(name).name
        return found if found is not None and found.is_file() else None

    async def chunks(self, file: Path | None) -> AsyncIterator[bytes]:
        """The bytes, no faster than the rate."""
        started, sent = asyncio.get_running_loop().time(), 0
        async for chunk in made_up(self.size) if file is None else read(file):
            yield chunk
            sent += len(chunk)
            ahead = sent / self.rate - (asyncio.get_running_loop().time() - started)
            await anyio.sleep(max(0.0, ahead))

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request: one session."""
        name = scope["path"].strip("/")
        file = self.find(name)
        if self.folder is not None and file is None:
            await send({"type": "http.response.start", "status": 404, "headers": []})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            return
        session = await self.engine.open(
            kind="download",
            owner=address(scope).rpartition(":")[0],
            data={"address": address(scope), "agent": agent(scope), "file": name, "sent": 0},
        )
        async with anyio.create_task_group() as group:
            group.start_soon(end_with_client, receive, session)
            try:
                # Cancelled when the session ends, also while it waits for a client that reads slowly.
                async with session.running():
                    await self.send(session, file, send)
            except insession.SessionEnded as ended:
                # The answer stays unfinished, so the connection breaks and nobody takes it for the whole file.
                log.warning("download %s stopped: %s", session.id, ended.reason)
            group.cancel_scope.cancel()

    async def send(self, session: insession.Session, file: Path | None, send: Send) -> None:
        """Send the file, and write down now and then how far it is."""
        size = self.size if file is None else (await anyio.Path(file).stat()).st_size
        headers = [(b"content-type", b"application/octet-stream"), (b"content-length", str(size).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        sent, noted = 0, asyncio.get_running_loop().time()
        async for chunk in self.chunks(file):
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
            sent += len(chunk)
            if asyncio.get_running_loop().time() - noted >= 1.0:
                noted = asyncio.get_running_loop().time()
                await session.update(progress(sent), touch=True)
        await session.update(progress(sent))
        await session.close("completed")
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def end_with_client(receive: Receive, session: insession.Session) -> None:
    """The client hung up: its session is over, and with it the work for it."""
    while (await receive())["type"] != "http.disconnect":
        pass
    await session.close("client_gone")


async def read(file: Path) -> AsyncIterator[bytes]:
    async with await anyio.open_file(file, "rb") as opened:
        while chunk := await opened.read(CHUNK):
            yield chunk


async def made_up(size: int) -> AsyncIterator[bytes]:
    pattern = bytes(range(256)) * (CHUNK // 256)
    for start in range(0, size, CHUNK):
        yield pattern[: size - start]


def progress(sent: int) -> Callable[[Any], Any]:
    """A change of whatever the data is by then."""
    return lambda data: data | {"sent": sent}


def address(scope: Scope) -> str:
    return "{}:{}".format(*(scope["client"] or ("?", 0)))


def agent(scope: Scope) -> str:
    values = [value for name, value in scope["headers"] if name == b"user-agent"]
    return values[0].decode("latin-1") if values else "?"


class Server(uvicorn.Server):
    """Stops downloads when it is told to stop, instead of waiting for them."""

    engine: insession.Engine

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        port = self.servers[0].sockets[0].getsockname()[1]
        print(f"downloads at http://127.0.0.1:{port}/files/big.bin", flush=True)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self.engine.interrupt_all("shutdown", kind="download")
        await super().shutdown(sockets)


async def main() -> None:
    parser = argparse.ArgumentParser(description="Every download is a session.")
    parser.add_argument("--store", default="sqlite:///insession.db")
    parser.add_argument("--port", type=int, default=8090)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--size", type=int, default=1_000_000_000)
    parser.add_argument("--rate", type=float, default=5_000_000.0, help="bytes per second for each client")
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    # uvicorn calls an answer that was cut short an error. Here it is meant.
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    async with insession.connect(options.store, kinds=[DOWNLOAD]) as engine:
        downloads = Downloads(engine, options.folder, options.size, options.rate)
        app = Litestar(
            [asgi("/files", is_mount=True, copy_scope=True)(downloads.serve)], openapi_config=None, logging_config=None
        )
        config = uvicorn.Config(app, port=options.port, log_config=None, access_log=False, timeout_graceful_shutdown=5)
        server = Server(config)
        server.engine = engine
        await server.serve()


if __name__ == "__main__":
    asyncio.run(main())

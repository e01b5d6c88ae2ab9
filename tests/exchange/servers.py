"""Small servers on the loopback that say exactly what a test wants, with and without TLS."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import socketio
from aiohttp import web

OPEN = '0{"sid":"x","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}'
OPEN_LEGACY = '0{"sid":"x","upgrades":[],"pingInterval":25000,"pingTimeout":5000}'


@asynccontextmanager
async def listening(app: web.Application, certificate: Path | None = None) -> AsyncIterator[str]:
    """The address of an application that is served."""
    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
    runner = web.AppRunner(app, handle_signals=False, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    try:
        port = runner.addresses[0][1]
        yield f"{'https' if certificate else 'http'}://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


Talk = Callable[[web.WebSocketResponse], Awaitable[None]]


@asynccontextmanager
async def raw(talk: Talk) -> AsyncIterator[str]:
    """A websocket where Engine.IO would be, which says what the test makes it say."""

    async def serve(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await talk(socket)
        return socket

    app = web.Application()
    app.router.add_get("/socket.io/", serve)
    async with listening(app) as url:
        yield url


class Plain:
    """A plain python-socketio server that keeps what it hears, and the queries of its handshakes."""

    def __init__(self, namespace: str = "/pku", **options: Any) -> None:
        self.namespace = namespace
        self.queries: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.heard: list[tuple[str, Any]] = []
        self.auth: list[Any] = []
        self.sids: asyncio.Queue[str] = asyncio.Queue()
        self.connected: Callable[[], Awaitable[None]] | None = None
        self._news = asyncio.Event()
        self.sio: Any = socketio.AsyncServer(async_mode="aiohttp", namespaces=[namespace], **options)

        async def connect(sid: str, environ: dict[str, Any], auth: Any = None) -> None:
            self.queries.append(environ["QUERY_STRING"])
            self.headers.append(dict(environ["aiohttp.request"].headers))
            self.auth.append(auth)
            if self.connected is not None:
                await self.connected()
            self.sids.put_nowait(sid)

        async def heard(event: str, _: str, *payload: Any) -> str:
            self.heard.append((event, payload[0] if payload else None))
            self._news.set()
            return "thanks"

        self.sio.on("connect", connect, namespace=namespace)
        self.sio.on("*", heard, namespace=namespace)
        self.app = web.Application()
        self.sio.attach(self.app)

    async def until(self, count: int) -> None:
        """Wait until so many events were heard."""
        async with asyncio.timeout(30):
            while len(self.heard) < count:
                self._news.clear()
                await self._news.wait()

    async def emit(self, event: str, payload: Any) -> None:
        await self.sio.emit(event, payload, namespace=self.namespace)

    @asynccontextmanager
    async def listening(self, certificate: Path | None = None) -> AsyncIterator[str]:
        async with listening(self.app, certificate) as url:
            try:
                yield url
            finally:
                await self.sio.shutdown()

"""The platform on the wire: python-socketio's server, the download and the control, on aiohttp, at one port."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final
from urllib.parse import parse_qs

import msgspec
import socketio
from aiohttp import web

from .lines import Line, tapped
from .memory import PlatformMemory
from .rules import DROPS, Drop

_PORTS: Final = range(20_000, 32_000)
"""Below those that systems give out by themselves: nobody takes the port while the server is down."""
_TRIES: Final = 200


class PlatformServer:
    """Serves one `PlatformMemory`; may be stopped and started again on its port."""

    def __init__(self, host: str, port: int) -> None:
        self.host: str = host
        self.port: int = port
        self.memory: PlatformMemory
        self._lines: set[Line] = set()
        self._line_of: dict[str, Line] = {}
        self._sio: Any = None
        self._runner: web.AppRunner | None = None
        self._listener: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen; the first time on a port that is free, if none was named."""
        rules = self.memory.rules
        self._sio = socketio.AsyncServer(
            async_mode="aiohttp",
            async_handlers=False,
            namespaces=[rules.room],
            ping_interval=rules.ping_interval,
            ping_timeout=rules.ping_timeout,
            max_http_buffer_size=rules.max_http_buffer_size,
            logger=False,
            engineio_logger=False,
        )
        self._sio.on("connect", self._connected, namespace=rules.room)
        self._sio.on("disconnect", self._disconnected, namespace=rules.room)
        self._sio.on("*", self._heard, namespace=rules.room)
        app = web.Application()
        self._sio.attach(app)
        self._control(app)
        self._runner = web.AppRunner(app, handle_signals=False, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await self._listen(self._runner)

    async def stop(self) -> None:
        """Close the port and reset every connection."""
        if self._listener is not None:
            self._listener.close()
        for line in list(self._lines):
            line.cut()
        if self._runner is not None:
            await self._runner.cleanup()
            await self._sio.shutdown()

    async def tell(self, sid: str, event: str, payload: dict[str, Any]) -> bool:
        """Send an event to one connection; whether its line stands, as far as we know."""
        line = self._line_of.get(sid)
        await self._sio.emit(event, payload, to=sid, namespace=self.memory.rules.room)
        return line is not None and not line.frozen and not line.is_closing()

    def lose(self, way: Drop) -> Coroutine[Any, Any, None]:
        """Lose the line of every client of the namespace; what has to be waited for is given back."""
        self.memory.counters.drops.append(way)
        lines = dict(self._line_of)
        if way == "restart":
            return self._restart()
        if way == "transport":
            for line in lines.values():
                line.cut()
        elif way == "half-open":
            for line in lines.values():
                line.freeze()
        return self._closed(way, list(lines))

    async def _restart(self) -> None:
        await self.stop()
        await asyncio.sleep(self.memory.rules.downtime)
        await self.start()

    async def _closed(self, way: Drop, sids: Sequence[str]) -> None:
        room = self.memory.rules.room
        for sid in sids:
            if way == "disconnect":
                await self._sio.disconnect(sid, namespace=room)
            elif way == "close":
                await self._sio.eio.disconnect(self._sio.manager.eio_sid_from_sid(sid, room))

    async def _listen(self, runner: web.AppRunner) -> None:
        serve: Callable[[], asyncio.Protocol] = runner.server  # type: ignore[assignment]
        loop = asyncio.get_running_loop()
        for attempt in range(_TRIES):
            port = self.port or random.choice(_PORTS)  # noqa: S311 - any port will do
            try:
                self._listener = await loop.create_server(
                    tapped(serve, self._lines), self.host, port, family=socket.AF_INET, reuse_address=True
                )
            except OSError:
                if attempt == _TRIES - 1:
                    raise
                await asyncio.sleep(0.05 if self.port else 0)
            else:
                self.port = port
                return

    async def _connected(self, sid: str, environ: dict[str, Any], _: object = None) -> None:
        memory = self.memory
        memory.counters.connections += 1
        query = parse_qs(environ.get("QUERY_STRING", ""))
        self._line_of[sid] = environ["aiohttp.request"].transport
        if memory.faults.connect_delay:
            await asyncio.sleep(memory.faults.connect_delay)
        token = query.get("token", [""])[0]
        # Runs when the answer to the connection is on its way: a refusal is an event after the connection.
        self._sio.start_background_task(self._look, sid, token, probe="ping" in query)

    async def _look(self, sid: str, token: str, *, probe: bool) -> None:
        memory = self.memory
        if not memory.knows(token):
            memory.counters.refused_tokens += 1
            await self.tell(sid, "connection-auth-error", {"message": "the token is not known"})
            await self._sio.disconnect(sid, namespace=memory.rules.room)
        elif probe:
            memory.counters.probes += 1
        else:
            await memory.connected(sid, token)

    async def _disconnected(self, sid: str, _: object = None) -> None:
        self._line_of.pop(sid, None)
        self.memory.counters.disconnections += 1
        self.memory.gone(sid)

    async def _heard(self, event: str, sid: str, *data: Any) -> None:
        await self.memory.heard(event, sid, data)

    def _control(self, app: web.Application) -> None:
        app.router.add_get("/download", self._download)
        app.router.add_get("/control/counters", self._counters)
        app.router.add_post("/control/drop/{way}", self._drop)
        app.router.add_post("/control/abort", self._abort)

    async def _download(self, request: web.Request) -> web.Response:
        asked = request.query
        status, content = self.memory.download(asked.get("baselineToken", ""), asked.get("epicrisisId", ""))
        return web.Response(
            status=status, body=content, content_type="application/xml" if status == 200 else "text/html"
        )

    async def _counters(self, _: web.Request) -> web.Response:
        return web.Response(body=msgspec.json.encode(self.memory.snapshot()), content_type="application/json")

    async def _drop(self, request: web.Request) -> web.Response:
        way = request.match_info["way"]
        if way not in DROPS:
            raise web.HTTPNotFound(text=f"the ways are {', '.join(DROPS)}")
        self.memory.lose(way)
        return web.Response(status=202)

    async def _abort(self, request: web.Request) -> web.Response:
        await self.memory.abort(await request.text() or "aborted by the operator")
        return web.Response(status=202)

"""`SankhyaDouble`: the double in a thread of this process."""

from __future__ import annotations

import asyncio
import ssl
import threading
from types import TracebackType
from typing import Any, Final, Self

from aiohttp import web

from .answering import Answering
from .control import PREFIX, Control
from .counters import Counters, Exchange
from .faults import Fault, fault
from .settings import DoubleSettings, change, settings_of

_LARGEST: Final = 64 * 1024 * 1024
_STARTS_IN: Final = 10.0


class SankhyaDouble:
    """A Sankhya service that is not one, over a real socket of the loopback, for tests of what talks to it.

    ``with SankhyaDouble(seed=997) as double:`` serves at `url` until the end of the block, in a thread and a loop of
    its own, so that blocking and asynchronous clients of any thread may call it (``async with`` does the same without
    blocking). It speaks the XML and JSON dialects, sessions, paging, saves, files, images and the OAuth gateway;
    `inject` lets a request go wrong, `counters` say what happened, `log` has every request.

    It keeps rows in memory (an expression is judged by SQLite, so keep to plain SQL) and knows no permissions.

    Args:
        port: Where to listen, on 127.0.0.1; 0 for any free port.
        tls: Serve https with this context.
        settings: What `DoubleSettings` has, by keyword.
    """

    def __init__(self, *, port: int = 0, tls: ssl.SSLContext | None = None, **settings: Any) -> None:
        self.settings: DoubleSettings = settings_of(settings)
        self.url: str = ""
        self._port = port
        self._tls = tls
        self._answering: Answering = Answering(self.settings)
        self._control = Control(self)
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._started = threading.Event()
        self._failed: BaseException | None = None

    def start(self) -> Self:
        """Listen; raises what listening raises."""
        self._thread = threading.Thread(target=self._run, name="SankhyaDouble", daemon=True)
        self._thread.start()
        if not self._started.wait(_STARTS_IN) and self._failed is None:
            raise TimeoutError("the double did not start")
        if self._failed is not None:
            raise self._failed
        return self

    def stop(self) -> None:
        """End every connection and the thread; the counters stay readable. Once is enough."""
        thread, self._thread = self._thread, None
        if thread is None or self._loop is None or self._stop is None:
            return
        self._loop.call_soon_threadsafe(self._stop.set)
        thread.join()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        return await asyncio.to_thread(self.start)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.stop)

    @property
    def counters(self) -> Counters:
        """What has happened until now."""
        sessions = self._answering.sessions
        return self._answering.tally.snapshot(live=len(sessions.live), orphans=sessions.orphans)

    @property
    def log(self) -> list[Exchange]:
        """The last 20,000 requests, with their bodies: also the password of a login."""
        return list(self._answering.tally.log)

    def requests(self, service: str) -> list[Exchange]:
        """Those of the log that asked this service, by its name or what follows its point."""
        return [one for one in self.log if service in {one.service, one.service.rpartition(".")[2]}]

    def inject(self, kind: str, **options: Any) -> Fault:
        """Let a request go wrong: a kind of `Fault`, and its ``service``, ``nth``, ``times``, ``when`` and so on."""
        made = fault(kind, **options)
        self._answering.faults.add(made)
        return made

    def clear_faults(self) -> None:
        """Nothing goes wrong any more."""
        self._answering.faults.clear()

    def change(self, **settings: Any) -> None:
        """Change settings from the next request on; rows, entities and ports stay."""
        change(self.settings, settings)

    def expire(self, session: str | None = None) -> int:
        """Let a session die at the service, or all that live; how many did."""
        return self._answering.sessions.expire(session)

    def expire_bearers(self) -> None:
        """Let every bearer of the gateway die."""
        self._answering.gateway.expire()

    def sessions(self) -> list[str]:
        """The ids of live sessions, the oldest first."""
        return list(self._answering.sessions.live)

    def count(self, entity: str = "Parceiro") -> int:
        """How many rows an entity has."""
        return self._answering.services.tables.count(entity)

    def release(self) -> None:
        """Answer what is held, and whatever would be."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._answering.released.set)

    def reset_counters(self) -> None:
        """Begin to count again, with an empty log."""
        self._answering.tally.reset()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # noqa: BLE001 - told by `start`
            self._failed = error
            self._started.set()

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = web.Server(self._handle, access_log=None, handler_cancellation=True)
        runner = web.ServerRunner(server, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", self._port, ssl_context=self._tls)
        try:
            await site.start()
            host, port = runner.addresses[0][:2]
            self.url = f"{'https' if self._tls else 'http'}://{host}:{port}"
            self._started.set()
            await self._stop.wait()
            self._answering.released.set()
        finally:
            await runner.cleanup()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        request._client_max_size = _LARGEST
        if request.path.startswith(PREFIX):
            return await self._control.handle(request)
        return await self._answering.handle(request)

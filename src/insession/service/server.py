"""Running the service: uvicorn on a loopback address, until a signal."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterable
from functools import partial
from types import FrameType
from typing import Final

import uvicorn
from litestar import Litestar

import insession
from insession.errors import ConfigurationError
from insession.kernel.engine import Engine
from insession.kernel.kinds import Kind
from insession.kernel.urls import parse_url

from .app import LOOPBACK_NAMES, create_app

GRACE: Final = 10.0
"""So many seconds requests under way may take once the service was told to stop."""
Say = Callable[[str], None]


def serve(
    store: str = "memory:",
    *,
    host: str = "127.0.0.1",
    port: int = 8080,
    namespace: str = "default",
    kinds: Iterable[Kind] = (),
    say: Say | None = None,
) -> None:
    """Serve a store over HTTP until SIGTERM or SIGINT: then event streams end, requests under way are finished.

    ``port`` 0 takes a free one. ``say`` gets one line when the service listens (default: it is printed).
    Raises `ConfigurationError` for an address that is not loopback or not free, and what opening the store raises.
    """
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    engine = insession.connect(store, namespace=namespace, kinds=kinds)
    with _listen(host, port) as listener:
        line = f"insession serves {parse_url(store).shown} at {_url(listener)} (pid {os.getpid()})"
        asyncio.run(_serve(engine, listener, _names(host), partial(say or _print, line)))


async def _serve(engine: Engine, listener: socket.socket, names: frozenset[str], listening: Callable[[], None]) -> None:
    async with engine:
        await _Server(create_app(engine, hosts=names), listening).serve([listener])


class _Server(uvicorn.Server):
    """uvicorn, which says when it listens, ends event streams when it stops, and then returns."""

    def __init__(self, app: Litestar, listening: Callable[[], None]) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                lifespan="on",
                ws="none",
                log_config=None,
                # A line for each request would cost more than the request, and might show an owner.
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=int(GRACE),
            )
        )
        self._app = app
        self._listening = listening

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._listening()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._app.state.feeds.stop()
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn's signature
        # Not uvicorn's own, which raises the signal again after a shutdown in good order.
        if self.should_exit and sig == signal.SIGINT:
            self.force_exit = True
        self.should_exit = True


def _listen(host: str, port: int) -> socket.socket:
    if not _is_loopback(host):
        raise ConfigurationError(
            f"host {host!r}: the service knows no callers yet, so it listens on loopback addresses only"
            " (127.0.0.1, ::1, localhost); put a proxy that does before it to reach it from elsewhere"
        )
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except (OSError, OverflowError) as error:
        problem = os.strerror(error.errno or 0) if isinstance(error, OSError) else "is not a port"
        raise ConfigurationError(f"cannot listen on {host} port {port}: {problem}; try another --port") from None


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _names(host: str) -> frozenset[str]:
    return LOOPBACK_NAMES | {f"[{host}]" if ":" in host else host}


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def _print(line: str) -> None:
    print(line, file=sys.stdout, flush=True)  # noqa: T201 - it is what whoever started it waits for

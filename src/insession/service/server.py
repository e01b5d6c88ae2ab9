"""Running the service: uvicorn until a signal, and what happens then."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable
from functools import partial
from types import FrameType
from typing import Final

import uvicorn
from litestar import Litestar
from msgspec import UNSET, UnsetType

import insession
from insession.errors import ConfigurationError
from insession.kernel.engine import Engine
from insession.kernel.ids import check_seconds
from insession.kernel.kinds import Kind
from insession.kernel.urls import parse_url

from .app import create_app, stop
from .door import LOOPBACK_NAMES
from .tokens import HOW, Tokens

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
    keys: object = None,
    tokens: Tokens | str | None = None,
    rate: float | UnsetType | None = UNSET,
    drain: float = 0.0,
    say: Say | None = None,
) -> None:
    """Serve a store over HTTP until SIGTERM or SIGINT.

    Then ``/readyz`` answers 503, and for ``drain`` seconds everything else goes on, so that whoever sends requests
    here can notice (a second signal cuts that short). After it event streams say good-bye and end, requests under way
    are finished (10 s), what is queued for the store is written, and the store is closed.

    Args:
        store: URL of the store.
        host: The address to listen on. Any but a loopback address needs ``tokens``.
        port: 0 takes a free one.
        namespace: The part of the store to serve.
        kinds: The kinds that are declared here.
        keys: See `insession.connect`.
        tokens: See `create_app`; `Tokens.found` looks into a file and the environment. A service with tokens on a
            loopback address answers to loopback names only, on any other to every name.
        rate: See `create_app`.
        drain: See above.
        say: Gets one line when the service listens; by default it is printed.

    Raises `ConfigurationError` for an address that is not free, or not loopback without ``tokens``, and what opening
    the store raises.
    """
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    if tokens is None and not _is_loopback(host):
        raise ConfigurationError(
            f"host {host!r}: beyond loopback addresses the service asks callers for a token; {HOW}"
        )
    check_seconds(drain, "drain")
    engine = insession.connect(store, namespace=namespace, kinds=kinds, keys=keys)
    app = create_app(engine, hosts=_names(host), tokens=tokens, rate=rate)
    with _listen(host, port) as listener:
        line = f"insession serves {parse_url(store).shown} at {_url(listener)} (pid {os.getpid()})"
        asyncio.run(_serve(engine, _Server(app, partial(say or _print, line), drain), listener))


async def _serve(engine: Engine, server: _Server, listener: socket.socket) -> None:
    # Opened here, not by the application's lifespan: uvicorn would keep to itself why it could not be.
    async with engine:
        await server.serve([listener])


class _Server(uvicorn.Server):
    """uvicorn, which says when it listens, ends event streams when it stops, and then returns."""

    def __init__(self, app: Litestar, listening: Callable[[], None], drain: float = 0.0) -> None:
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
        self._drain = drain
        self._hurry = False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._listening()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._app.state.stopping = True
        if self._drain:
            await self._go_on(time.monotonic() + self._drain)
        stop(self._app)
        await super().shutdown(sockets)

    async def _go_on(self, until: float) -> None:
        """Serve as before until a time, or until somebody insists."""
        while not self._hurry and time.monotonic() < until:  # noqa: ASYNC110 - a signal's handler wakes no loop
            await asyncio.sleep(0.05)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn's signature
        # Not uvicorn's own, which raises the signal again after a shutdown in good order.
        if self.should_exit:
            self._hurry = True
            self.force_exit = self.force_exit or sig == signal.SIGINT
        self.should_exit = True


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=2048)
    except (OSError, OverflowError) as error:
        problem = os.strerror(error.errno or 0) if isinstance(error, OSError) else "is not a port"
        raise ConfigurationError(f"cannot listen on {host} port {port}: {problem}; try another --port") from None
    # asyncio sends at once (TCP_NODELAY) only where a socket says that it is TCP's; else head and body of an answer,
    # two writes, would be 40 ms apart.
    return socket.socket(listener.family, listener.type, socket.IPPROTO_TCP, fileno=listener.detach())


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _names(host: str) -> frozenset[str] | None:
    """The names to answer to: web pages reach a loopback address, where nobody else is let in without them."""
    return LOOPBACK_NAMES | {f"[{host}]" if ":" in host else host} if _is_loopback(host) else None


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def _print(line: str) -> None:
    print(line, file=sys.stdout, flush=True)  # noqa: T201 - it is what whoever started it waits for

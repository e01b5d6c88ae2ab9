"""One line to the platform, from its dialling to its end. A line that is gone is not used again."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Callable
from typing import Any, Final

import aiohttp
import socketio
from socketio.packet import EVENT

from insession.exchange.errors import AnswerTooLarge, ConnectFailed, NotConnectedError, UnsupportedServer

from .socket import Opening, Watch, packet_class, socket_class
from .target import Target

Hear = Callable[[str, tuple[Any, ...]], None]
_LOOK: Final = 1.0
_GRACE: Final = 5.0
_ESCAPED: Final = 6
"""So many bytes a character of text may take in JSON."""
_PERMANENT: Final = range(400, 500)
_SILENT: Final = logging.Logger("insession.exchange.wire")  # noqa: LOG001 - in no hierarchy: the libraries log the URL with the token
_SILENT.disabled = True


class Line:
    """One line. ``hear`` is told of each event, and of ``connect`` before them, in the order of their coming."""

    def __init__(self, target: Target, hear: Hear) -> None:
        self._target = target
        self._hear = hear
        self._watch = Watch()
        self._packets = packet_class(self._watch)
        self._http = aiohttp.ClientSession(ws_response_class=socket_class(self._watch))
        self._client = self._made()
        self._refusal: str | None = None
        self.stood: bool = False

    def _made(self) -> Any:
        options: dict[str, Any] = {"max_msg_size": self._target.most_message, "heartbeat": self._target.heartbeat}
        if self._target.ssl_context is not None:
            options["ssl"] = self._target.ssl_context
        client: Any = socketio.AsyncClient(
            reconnection=False,
            logger=_SILENT,
            engineio_logger=_SILENT,
            serializer=self._packets,
            handle_sigint=False,
            http_session=self._http,
            ssl_verify=self._target.tls_verify,
            websocket_extra_options=options,
            request_timeout=2.0,
        )

        async def connected() -> None:
            self.stood = True
            self._hear("connect", ())

        async def heard(event: str, *payload: object) -> None:
            self._hear(event, payload)

        async def ended(reason: object = None) -> None:
            self._watch.end(str(reason or "the line was cut"))

        async def refused(said: object = None) -> None:
            message = said.get("message") if isinstance(said, dict) else said
            self._refusal = str(message)[:200]

        # Real coroutine functions: the library awaits no others.
        for event, handler in (("connect", connected), ("*", heard), ("disconnect", ended), ("connect_error", refused)):
            client.on(event, handler, namespace=self._target.namespace)
        return client

    @property
    def up(self) -> bool:
        """Whether it stands, as far as anybody can know."""
        return (
            not self._watch.over.is_set()
            and self._client.eio.state == "connected"
            and self._target.namespace in self._client.namespaces
        )

    async def open(self, seconds: float) -> None:
        """Dial. Raises `ConnectFailed`, whose ``permanent`` says that another attempt will fail as well."""
        over = asyncio.ensure_future(self._watch.over.wait())
        dialling = asyncio.ensure_future(
            self._client.connect(
                self._target.url,
                transports=["websocket"],
                namespaces=[self._target.namespace],
                socketio_path=self._target.path,
                wait_timeout=seconds,
            )
        )
        try:
            await asyncio.wait({over, dialling}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            self._check(dialling)
        except BaseException:
            await _ended(dialling)
            await self.drop()
            raise
        finally:
            over.cancel()

    def _check(self, dialling: asyncio.Future[None]) -> None:
        if self._watch.legacy:
            raise UnsupportedServer
        if self._refusal is not None and self._watch.opened:
            raise ConnectFailed(f"the server refused the namespace {self._target.namespace}: {self._refusal}")
        if self._watch.over.is_set():
            raise ConnectFailed(self._watch.reason)
        if not dialling.done():
            raise ConnectFailed("the server did not answer in time")
        if (error := dialling.exception()) is not None:
            # Without its cause: the libraries' errors hold the URL, and with it the token.
            raise _failure(error) from None

    @property
    def opening(self) -> Opening:
        """What the server said of itself when it greeted."""
        return self._watch.opening

    async def ended(self) -> str:
        """Wait until it is gone; why."""
        over = asyncio.ensure_future(self._watch.over.wait())
        reader = self._client.eio.read_loop_task
        try:
            while self._alive():
                await asyncio.wait({over, reader}, timeout=_LOOK, return_when=asyncio.FIRST_COMPLETED)
        finally:
            over.cancel()
        self._watch.end("the server went silent" if self._silent() else "the line was cut")
        return self._watch.reason

    def _alive(self) -> bool:
        eio = self._client.eio
        return self.up and not eio.read_loop_task.done() and eio.write_loop_task is not None and not self._silent()

    def _silent(self) -> bool:
        # The library looks too, by the same measure; it does not look while it waits for its own writing.
        return asyncio.get_running_loop().time() - self._watch.heard > self._watch.opening.silence + _GRACE

    async def emit(self, event: str, data: object, callback: Callable[..., Any] | None) -> None:
        """Hand an event over. Raises `NotConnectedError` and `AnswerTooLarge`."""
        if not self.up:
            raise NotConnectedError
        self._check_size(event, data)
        try:
            await self._client.emit(event, data, namespace=self._target.namespace, callback=callback)
        except socketio.exceptions.SocketIOError:
            raise NotConnectedError from None

    def _check_size(self, event: str, data: object) -> None:
        most = self._watch.opening.most_payload
        if most is None or _text_in(data) * _ESCAPED + 1_000 < most:
            return
        packet = self._packets(EVENT, data=[event, data], namespace=self._target.namespace).encode()
        # One more for the Engine.IO packet's type.
        size = 1 + (len(packet.encode()) if isinstance(packet, str) else max(map(len, packet)))
        if size > most:
            raise AnswerTooLarge(size, most)

    async def close(self) -> None:
        """Bring out what was handed over, and close in good order."""
        if self.up:
            # The library closes the socket over what waits in its queue.
            await _within(self._target.flush, self._client.eio.queue.join())
            await _within(_GRACE, self._client.disconnect())
        await self.drop()

    def give_up(self) -> None:
        """Dial no more; one that stands is left as it is."""
        if not self.stood:
            self._watch.end("it was stopped before there was a connection")

    async def drop(self) -> None:
        """Let go of what is left of it."""
        self._watch.end("closed here")
        self._watch.abort()
        await self._http.close()
        for task in (self._client.eio.read_loop_task, self._client.eio.write_loop_task):
            if task is not None:
                await _ended(task)
        self._client.eio.state = "disconnected"


async def _within(seconds: float, work: Any) -> None:
    with contextlib.suppress(TimeoutError, aiohttp.ClientError, OSError, socketio.exceptions.SocketIOError):
        async with asyncio.timeout(seconds):
            await work


async def _ended(task: asyncio.Future[Any]) -> None:
    """Cancel a task of the library, and see its end."""
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled():
        task.exception()


def _text_in(data: object) -> int:
    """At least so many characters of text."""
    if isinstance(data, str | bytes):
        return len(data)
    if isinstance(data, dict):
        return sum(_text_in(one) + 10 for one in data.values()) + sum(len(str(one)) for one in data)
    if isinstance(data, list | tuple):
        return sum(_text_in(one) + 10 for one in data)
    return len(str(data))


class _Permanent(ConnectFailed):
    """Another attempt will fail as well."""


def permanent(error: ConnectFailed) -> bool:
    """Whether another attempt would fail as well, as long as nobody mends something."""
    return isinstance(error, _Permanent | UnsupportedServer) or error.args[0].startswith("the server refused")


def _failure(error: BaseException) -> ConnectFailed:
    """What failed, in words of ours, from the library's error and what it came from."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, aiohttp.WSServerHandshakeError):
            said = f"the server answered {seen.status} to the handshake"
            return _Permanent(said) if seen.status in _PERMANENT else ConnectFailed(said)
        if isinstance(seen, ssl.SSLCertVerificationError | aiohttp.ClientConnectorCertificateError):
            return _Permanent("the server's certificate cannot be verified; is HOST right, and its authority known?")
        if isinstance(seen, OSError) and seen.strerror:
            return ConnectFailed(seen.strerror)
        seen = seen.__cause__ or seen.__context__
    return ConnectFailed("the server did not greet as socket.io does")

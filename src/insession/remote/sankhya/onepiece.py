"""Requests that leave in one piece: head and body in one call of the system, so that the service is woken once.

A network backend of httpcore2, the part of httpx2 that speaks HTTP: it writes head and body one after the other, which
costs both sides as much again as all else that is done for a small request.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Final

import httpcore2

MOST: Final = 65_536
"""So many bytes wait for those that follow."""


class OnePieceStream(httpcore2.AsyncNetworkStream):
    """A connection whose writes wait until something is read, or until they are many."""

    def __init__(self, stream: httpcore2.AsyncNetworkStream) -> None:
        self._stream = stream
        self._waiting: bytearray = bytearray()
        self._timeout: float | None = None

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """See `httpcore2.AsyncNetworkStream`; a service that closes early may have answered, which is read then."""
        if self._waiting:
            with suppress(httpcore2.WriteError):
                await self._flush()
        return await self._stream.read(max_bytes, timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """See `httpcore2.AsyncNetworkStream`."""
        self._waiting += buffer
        self._timeout = timeout
        if len(self._waiting) > MOST:
            await self._flush()

    async def aclose(self) -> None:
        """See `httpcore2.AsyncNetworkStream`; what waits is not sent any more."""
        self._waiting.clear()
        await self._stream.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.AsyncNetworkStream:
        """See `httpcore2.AsyncNetworkStream`."""
        return OnePieceStream(await self._stream.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        """See `httpcore2.AsyncNetworkStream`."""
        return self._stream.get_extra_info(info)

    async def _flush(self) -> None:
        whole = bytes(self._waiting)
        self._waiting.clear()
        await self._stream.write(whole, self._timeout)


class OnePieceBackend(httpcore2.AnyIOBackend):
    """Opens such connections."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """See `httpcore2.AsyncNetworkBackend`."""
        return OnePieceStream(await super().connect_tcp(host, port, timeout, local_address, socket_options))

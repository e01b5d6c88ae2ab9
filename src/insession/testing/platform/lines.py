"""Connections that can fall silent: TCP lines between aiohttp's protocol and asyncio's transport.

A half-open line is one whose other end is gone while this end does not know it. Nothing is closed and
nothing arrives any more; only a heartbeat tells.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, cast


class Line(asyncio.Transport):
    """What asyncio's transport does, until it is frozen: then it neither reads nor writes, and does not close."""

    def __init__(self, transport: asyncio.Transport, served: asyncio.Protocol) -> None:
        super().__init__()
        self.frozen: bool = False
        self._transport = transport
        self._served = served
        self._over = False

    def freeze(self) -> None:
        """From now on nothing passes, in either way, and the other end is not told."""
        if not self.frozen and not self._transport.is_closing():
            self._transport.pause_reading()
            self.frozen = True

    def lose(self, error: Exception | None) -> None:
        """Tell the served protocol, once, that its connection is lost."""
        if not self._over:
            self._over = True
            self._served.connection_lost(error)

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        if not self.frozen:
            self._transport.write(data)

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview[Any]]) -> None:
        if not self.frozen:
            self._transport.writelines(list_of_data)

    def close(self) -> None:
        if self.frozen:
            asyncio.get_running_loop().call_soon(self.lose, None)
        else:
            self._transport.close()

    def abort(self) -> None:
        if self.frozen:
            asyncio.get_running_loop().call_soon(self.lose, None)
        else:
            self._transport.abort()

    def cut(self) -> None:
        """Reset the connection, also one that is frozen."""
        self._transport.abort()

    def pause_reading(self) -> None:
        if not self.frozen:
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if not self.frozen:
            self._transport.resume_reading()

    def is_reading(self) -> bool:
        return self._transport.is_reading()

    def is_closing(self) -> bool:
        return self._over or self._transport.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)

    def get_write_buffer_size(self) -> int:
        return self._transport.get_write_buffer_size()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._transport.get_write_buffer_limits()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._transport.set_write_buffer_limits(high, low)

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._served

    def can_write_eof(self) -> bool:
        return self._transport.can_write_eof()

    def write_eof(self) -> None:
        if not self.frozen:
            self._transport.write_eof()


class Tap(asyncio.Protocol):
    """Stands between a transport and the protocol that serves it, and keeps the line in `lines` while it lives."""

    def __init__(self, served: asyncio.Protocol, lines: set[Line]) -> None:
        self._served = served
        self._lines = lines
        self._line: Line | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._line = Line(cast("asyncio.Transport", transport), self._served)
        self._lines.add(self._line)
        self._served.connection_made(self._line)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._line is not None:
            self._lines.discard(self._line)
            self._line.lose(exc)

    def data_received(self, data: bytes) -> None:
        self._served.data_received(data)

    def eof_received(self) -> bool | None:
        return self._served.eof_received()

    def pause_writing(self) -> None:
        self._served.pause_writing()

    def resume_writing(self) -> None:
        self._served.resume_writing()


def tapped(serve: Callable[[], asyncio.Protocol], lines: set[Line]) -> Callable[[], Tap]:
    """A factory of protocols whose connections can fall silent."""
    return lambda: Tap(serve(), lines)

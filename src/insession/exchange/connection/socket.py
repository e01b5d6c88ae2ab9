"""What is seen of a websocket below socket.io: how the server greets, when it last spoke, how it ended.

The first packets of Engine.IO 4 (https://github.com/socketio/engine.io-protocol) are ``0{...}`` with the server's
intervals and, since engine.io 6.2, its ``maxPayload``; then socket.io 5 answers our CONNECT with ``40<namespace>,
{"sid": ...}``. A server of socket.io 1 or 2 (Engine.IO 3) sends ``40`` without a sid, and unasked.
"""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any, Final

import aiohttp
import msgspec
from aiohttp import WSCloseCode, WSMessage, WSMsgType
from socketio.packet import DISCONNECT, Packet

_LEGACY: Final = re.compile(r"40(/[^,{]*)?,?")
_GREETING: Final = re.compile(r"40(/[^,]*,)?\{")


class Opening(msgspec.Struct, frozen=True):
    """What the server said at the beginning. ``most_payload`` bytes a message to it may have; None: it did not say."""

    silence: float = 45.0
    """After so many seconds without a word from the server the line is dead."""
    most_payload: int | None = None


class Watch:
    """What is seen of one websocket. ``over`` is set once it is gone, for the first ``reason`` seen."""

    def __init__(self) -> None:
        self.over: asyncio.Event = asyncio.Event()
        self.reason: str = ""
        self.opening: Opening = Opening()
        self.opened: bool = False
        """Whether Engine.IO's greeting was seen."""
        self.legacy: bool = False
        self.heard: float = asyncio.get_running_loop().time()
        self.socket: _Watched | None = None
        self._greeted = False

    def end(self, reason: str) -> None:
        """The line is gone; the first reason stays."""
        if not self.over.is_set():
            self.reason = reason
            self.over.set()

    def see(self, message: WSMessage) -> None:
        """A message came, or the end of messages."""
        self.heard = asyncio.get_running_loop().time()
        if message.type is WSMsgType.TEXT:
            if not self._greeted:
                self._greet(message.data)
        elif message.type is WSMsgType.ERROR:
            self.end(f"the line broke ({type(message.data).__name__})")
        elif message.type is WSMsgType.CLOSE:
            self.end(_closed(message.data))
        elif message.type in (WSMsgType.CLOSED, WSMsgType.CLOSING):
            self.end("the line was cut")

    def _greet(self, text: str) -> None:
        if text.startswith("0"):
            self.opened, self.opening = True, _opening(text[1:])
        elif _LEGACY.fullmatch(text):
            self.legacy = self._greeted = True
            self.end("the server speaks socket.io 2")
        elif _GREETING.match(text):
            self._greeted = True

    def abort(self) -> None:
        """Cut the line here, without a word: what waits to be written on a dead one would never leave."""
        if self.socket is not None:
            self.socket.abort()


class _Watched(aiohttp.ClientWebSocketResponse):
    """A websocket that shows a `Watch` what it receives."""

    watch: Watch

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.watch.socket = self

    async def receive(self, timeout: float | None = None) -> Any:
        """The next message, as aiohttp gives it."""
        message = await super().receive(timeout)
        self.watch.see(message)
        return message

    def abort(self) -> None:
        """Drop the transport with what it has not written."""
        connection = self._response.connection
        if connection is None:
            return
        if connection.transport is not None:
            connection.transport.abort()
        connection.close()


def socket_class(watch: Watch) -> type[aiohttp.ClientWebSocketResponse]:
    """The class of websockets that are watched by this watch."""
    return type("WatchedSocket", (_Watched,), {"watch": watch})


def packet_class(watch: Watch) -> type[Packet]:
    """The class of packets of one line.

    The library takes no notice of a DISCONNECT that comes while it still connects; here it is seen at once. Text is
    written as it is, because escapes treble the size of Cyrillic text.
    """

    class LinePacket(Packet):  # type: ignore[misc] # the library has no types
        json = _PlainJSON

        def decode(self, encoded_packet: str) -> int | None:
            attachments: int | None = super().decode(encoded_packet)
            if self.packet_type == DISCONNECT:
                watch.end("the platform disconnected us")
            return attachments

    return LinePacket


class _PlainJSON:
    """The two functions of the module ``json`` that socket.io uses."""

    loads = staticmethod(json.loads)

    @staticmethod
    def dumps(value: object, **options: Any) -> str:
        text = json.dumps(value, ensure_ascii=False, **options)
        try:
            text.encode()
        except UnicodeEncodeError:
            # Half of a surrogate pair, in an id that is echoed as it came.
            return json.dumps(value, **options)
        return text


def _opening(text: str) -> Opening:
    try:
        said = json.loads(text)
        most = said.get("maxPayload")
        return Opening(
            (float(said["pingInterval"]) + float(said["pingTimeout"])) / 1000.0,
            most if isinstance(most, int) and most > 0 else None,
        )
    except (ValueError, TypeError, KeyError, AttributeError):
        return Opening()


def _closed(code: object) -> str:
    if code == WSCloseCode.MESSAGE_TOO_BIG:
        return "a message was too big for one side"
    return f"the server closed the line ({code})"

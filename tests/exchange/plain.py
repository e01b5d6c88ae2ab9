"""A participant with nothing but python-socketio: what the double is tried with, and what we are compared with."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any, Self

import aiohttp
import socketio

from insession.testing.platform import PlatformDouble

START = {"type": "algorithmic", "params": {"dsType": "train", "countFiles": 10, "lang": "rus", "time": 10}}
START_2023 = {"contest": "finder", "params": {"stage": "final", "sessionType": "training", "countFiles": 3, "time": 0}}


class Participant:
    """One connection, and what it has heard."""

    def __init__(self, platform: PlatformDouble, token: str = "participant", query: str = "") -> None:
        self.heard: list[tuple[str, Any]] = []
        self._queue: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()
        self.room = platform.rules.room
        self._url = f"{platform.url}?token={token}{query}"
        self._http: aiohttp.ClientSession
        self._client: socketio.AsyncClient

    async def until(self, event: str) -> Any:
        """Wait for an event; gives its payload. The others stay where they are."""
        async with asyncio.timeout(30):
            while (place := next((n for n, (name, _) in enumerate(self.heard) if name == event), None)) is None:
                await self.next()
        return self.heard.pop(place)[1]

    async def next(self) -> tuple[str, Any]:
        """Wait for the next event."""
        self.heard.append(await self._queue.get())
        return self.heard[-1]

    async def say(self, event: str, payload: object = None) -> None:
        await self._client.emit(event, payload, namespace=self.room)

    async def answer(self, file: dict[str, Any], content: str = "[]") -> None:
        """Answer a file of 2021."""
        answer = {"sessionId": file["sessionId"], "fileId": file["fileId"], "content": content}
        await self.say("session-file-send", answer)

    async def _hear(self, event: str, payload: Any = None) -> None:
        await self._queue.put((event, payload))

    async def _left(self, reason: str) -> None:
        await self._queue.put(("left", reason))

    async def __aenter__(self) -> Self:
        # A session of our own: the library leaves its own one open where a connection fails.
        self._http = aiohttp.ClientSession()
        self._client = socketio.AsyncClient(reconnection=False, http_session=self._http)
        self._client.on("*", self._hear, namespace=self.room)
        self._client.on("disconnect", self._left, namespace=self.room)
        try:
            await self._client.connect(self._url, transports=["websocket"], namespaces=[self.room], wait_timeout=30)
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.shutdown()
        await self._close()

    async def _close(self) -> None:
        """What the library leaves open where a line is lost at its beginning."""
        socket = self._client.eio.ws
        if socket is not None:
            await socket.close()
        await self._http.close()

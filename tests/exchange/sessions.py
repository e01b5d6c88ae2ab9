"""Sessions against the platform's double, with settings that make tests quick."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from insession.exchange.contracts import ExchangeEvent, What, WireMessage
from insession.exchange.epicrisis import Epicrisis
from insession.exchange.options import SessionStarterOptions
from insession.exchange.session import Session
from insession.exchange.settings import ExchangeSettings
from insession.testing.platform import PlatformDouble, PlatformFaults, PlatformFile, PlatformRules

TOKEN = "participant-1-secret"
OPTIONS = SessionStarterOptions(file_count=10, file_timeout=10)
QUICK = {"interval": 0.0, "downtime": 0.05, "count": 3}
HEARTBEAT: dict[str, Any] = {"ping_interval": 1, "ping_timeout": 1.0}
"""Where a half-open line is to be noticed soon. Else none: on a busy machine a pong may come late."""


def platform(
    faults: PlatformFaults | None = None, files: tuple[PlatformFile, ...] = (), **rules: Any
) -> PlatformDouble:
    return PlatformDouble(rules=PlatformRules.of(QUICK | rules), faults=faults, files=files)


def settings(double: PlatformDouble, root: Path, **options: Any) -> ExchangeSettings:
    quick: dict[str, Any] = {"join_timeout": 0.15, "retry_first": 0.05, "drain_timeout": 5.0, "file_timeout": 60.0}
    given = {"token": TOKEN, "host": double.url, "root": root, "store": "memory:"}
    return ExchangeSettings(**(quick | given | options))


class Heard:
    """What a session tells, with a wait for it."""

    def __init__(self) -> None:
        self.events: list[ExchangeEvent] = []
        self.wire: list[WireMessage] = []
        self._news = asyncio.Event()

    def event(self, event: ExchangeEvent) -> None:
        self.events.append(event)
        self._news.set()

    def message(self, message: WireMessage) -> None:
        self.wire.append(message)
        self._news.set()

    def of(self, what: What) -> list[ExchangeEvent]:
        return [event for event in self.events if event.what is what]

    def said(self, direction: str, event: str) -> list[Any]:
        return [one.payload for one in self.wire if one.direction == direction and one.event == event]

    async def until(self, holds: Callable[[], object], timeout: float = 30.0) -> None:
        async with asyncio.timeout(timeout):
            while not holds():
                self._news.clear()
                await self._news.wait()


async def echo(epicrisis: Epicrisis) -> dict[str, Any]:
    """An answer that says which file it belongs to."""
    return {"file": epicrisis.file_id}


@asynccontextmanager
async def serving(
    double: PlatformDouble, root: Path, solution: object = echo, **options: Any
) -> AsyncIterator[tuple[Session, Heard]]:
    """A session that was made and not started."""
    heard = Heard()
    session_options = {name: options.pop(name) for name in ("policy", "desk", "ssl_context") if name in options}
    made = settings(double, root, **options)
    async with Session(
        made, solution=solution, on_event=heard.event, on_wire=heard.message, **session_options
    ) as session:
        yield session, heard

"""A key as mtpylon makes them, storages as somebody writes them from the document, and observers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha1
from typing import Any

from insession.protocol import SessionEvent

ENDS = [-(2**63), -1, 0, 1, 2**63 - 1]
TIME = 20.0


@dataclass(frozen=True)
class Key:
    """An auth key: 2,048 bits."""

    value: int

    @property
    def id(self) -> int:
        return int.from_bytes(sha1(self.value.to_bytes(256, "big"), usedforsecurity=False).digest()[-8:], "big")


class FromDocument:
    """The three calls of the document, which wait for something and return nothing."""

    def __init__(self) -> None:
        self.kept: set[int] = set()
        self.fails = False

    async def create_session(self, session_id: int) -> None:
        await asyncio.sleep(0)
        self.kept.add(session_id)
        await asyncio.sleep(0)

    async def has_session(self, session_id: int) -> bool:
        await asyncio.sleep(0)
        found = session_id in self.kept
        await asyncio.sleep(0)
        return found

    async def destroy_session(self, session_id: int) -> None:
        await asyncio.sleep(0)
        if self.fails:
            raise OSError("the disk is gone")
        self.kept.discard(session_id)
        await asyncio.sleep(0)


class FromCode(FromDocument):
    """The same with an auth key first."""

    async def create_session(self, auth_key: Any, session_id: int) -> None:  # type: ignore[override]
        await super().create_session(hash((auth_key, session_id)))

    async def has_session(self, auth_key: Any, session_id: int) -> bool:  # type: ignore[override]
        return await super().has_session(hash((auth_key, session_id)))

    async def destroy_session(self, auth_key: Any, session_id: int) -> None:  # type: ignore[override]
        await super().destroy_session(hash((auth_key, session_id)))


class Seen:
    """An observer that writes down what it is told."""

    def __init__(self) -> None:
        self.events: list[SessionEvent] = []

    async def update(self, event: SessionEvent) -> None:
        self.events.append(event)

    @property
    def types(self) -> list[str]:
        return [event.type for event in self.events]

    async def wait(self, number: int) -> list[SessionEvent]:
        """Wait until it was told so many."""
        await until(lambda: len(self.events) >= number)
        return self.events


async def until(true: Callable[[], bool]) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(TIME):
        while not true():  # noqa: ASYNC110 - whatever the condition is about
            await asyncio.sleep(0.002)

"""Questions to the platform: one at a time, each with its deadline."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import TypeVar

from insession.exchange.dialects import AuthError, Heard
from insession.exchange.errors import AuthRefused, NotConnectedError, SessionNotStarted


class LineUp(Heard, frozen=True, kw_only=True):
    """A line stands; what follows came over it."""


class LineDown(Heard, frozen=True, kw_only=True):
    """It is gone."""


class Stopped(Heard, frozen=True, kw_only=True):
    """We are not to go on."""


H = TypeVar("H", bound=Heard)


class Questions:
    """Who asks the platform something hears what it says, in its order."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._mail: asyncio.Queue[Heard] | None = None

    @contextlib.asynccontextmanager
    async def asking(self) -> AsyncIterator[None]:
        """Hear all that is said within this block. One asks at a time: an answer does not say to which question."""
        async with self._turn:
            self._mail = asyncio.Queue()
            try:
                yield
            finally:
                self._mail = None

    def tell(self, said: Heard) -> bool:
        """Something was said; whether anybody is asking."""
        if self._mail is not None:
            self._mail.put_nowait(said)
        return self._mail is not None

    async def hear(self, kinds: tuple[type[H], ...], seconds: float, *, through: bool = False) -> H | None:
        """The next of these, within so many seconds; None: there was none.

        Raises `AuthRefused`, `SessionNotStarted` where we are stopped, and `NotConnectedError` where the line is gone
        meanwhile, unless it is waited ``through`` that.
        """
        assert self._mail is not None  # noqa: S101 - it is asked within `asking`
        try:
            async with asyncio.timeout(seconds):
                while True:
                    said = await self._mail.get()
                    if isinstance(said, AuthError):
                        raise AuthRefused(said.message)
                    if isinstance(said, Stopped):
                        raise SessionNotStarted
                    if isinstance(said, LineDown) and not through:
                        raise NotConnectedError
                    if isinstance(said, kinds):
                        return said
        except TimeoutError:
            return None

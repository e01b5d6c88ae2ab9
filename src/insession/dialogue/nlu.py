"""What a message means, as somebody who understands language says: the matched intent and the possible ones."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from .messages import Message


class Meaning(msgspec.Struct, frozen=True):
    """What an understanding says of a message.

    ``intent`` is the name of the intent that it means, ``possible`` others with their scores (0 to 1), ``entities``
    what it speaks of, ``raw`` the answer as it came.
    """

    intent: str | None = None
    possible: Mapping[str, float] = {}
    entities: Mapping[str, Any] = {}
    raw: Any = None


Understand = Callable[[Message], Awaitable[Meaning | None]]
"""Understands messages: asked once a turn, and only if somebody wants to know."""


class Nlu:
    """The meaning of a turn's message. `understood` asks for it; the rest is what is known by now."""

    __slots__ = ("_asked", "_message", "_understand", "entities", "intent", "possible", "raw")

    def __init__(self, message: Message, understand: Understand | None) -> None:
        self._message = message
        self._understand = understand
        self._asked = False
        self.intent: str | None = None
        """The name of the matched intent; whoever knows better sets it."""
        self.possible: dict[str, float] = {}
        self.entities: dict[str, Any] = {}
        self.raw: Any = None

    async def understood(self) -> Nlu:
        """Ask the dialogue's ``understand``, once; a match that was set before stays."""
        if not self._asked:
            self._asked = True
            meaning = None if self._understand is None else await self._understand(self._message)
            if meaning is not None:
                self.intent = self.intent or meaning.intent
                self.possible = {**meaning.possible, **self.possible}
                self.entities = {**meaning.entities, **self.entities}
                self.raw = meaning.raw
        return self

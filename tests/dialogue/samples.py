"""A bot's data, as the tests speak of it."""

from __future__ import annotations

import dataclasses
from typing import Any, Final

from msgspec import Struct

from insession.dialogue import Message, MessageKind, Ref, Registry, context, memory

REGISTRY: Final = Registry()


@memory(scope=("user_id", "bot"), registry=REGISTRY)
class UserInfo(Struct):
    """Of a user and a bot."""

    name: str | None = None
    seen: int = 0


@memory(scope=("user_id", "bot"), on_conflict="raise", registry=REGISTRY)
class Strict(Struct):
    """A memory whose conflicts are told at once."""

    count: int = 0


@memory(registry=REGISTRY)
class Draft(Struct):
    """Of a session."""

    text: str = ""


@memory(scope=("date", "user_id"), registry=REGISTRY)
class Today(Struct):
    """Of a day."""

    visits: int = 0


@memory(scope=(), registry=REGISTRY)
class Everyone(Struct):
    """Of nobody in particular: one of its type."""

    count: int = 0


@memory(scope=(), registry=REGISTRY)
class AllBots(Struct):
    """Another one of its type."""

    count: int = 0


@context(registry=REGISTRY)
class Order(Struct):
    """An order of a user."""

    fruit: str | None = None
    lines: list[str] = []
    buyer: Ref[UserInfo] | None = None
    other: Ref[Order] | None = None


@context(registry=REGISTRY)
@dataclasses.dataclass
class Note:
    """A dataclass."""

    text: str = ""
    anything: Any = None


def message(text: str = "hi", *, user: str | None = "ann", **fields: Any) -> Message:
    """A message of Ann's, unless said."""
    return Message(text=text, user_id=user, **fields)


def command(text: str, **fields: Any) -> Message:
    """A command."""
    return message(text, kind=MessageKind.COMMAND, **fields)

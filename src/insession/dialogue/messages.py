"""What comes in and what goes out: messages and replies."""

from __future__ import annotations

import enum
from functools import lru_cache
from hashlib import blake2b
from typing import Any

import msgspec
from msgspec.structs import replace

from insession.errors import InvalidInput
from insession.kernel.ids import check_text


class MessageKind(enum.StrEnum):
    """What a message is."""

    TEXT = "text"
    COMMAND = "command"
    EVENT = "event"


class ChatEvent(enum.StrEnum):
    """The events that a platform tells of; ``text`` of a message of the kind ``event`` is one of them, or your own."""

    CONNECT = "connect"
    START_SESSION = "start_session"
    END_SESSION = "end_session"


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A message of a user to a bot.

    Args:
        text: What was said; of an event its name.
        kind: What the message is.
        user_id: Who sent it.
        platform: Where it came from.
        bot: Whom it is for; None: the dialogue's own name.
        chat_id: The channel of one user with one bot; None: computed of platform, user and bot, see `chat_of`.
        message_id: The platform's id of the message: one that was answered is not answered again.
        at: When it was written, seconds since the epoch; None: now.
        zone: The sender's time zone (an IANA name), which the calendar dimensions of the scope follow.
        data: What else it carries: JSON-like.
    """

    text: str = ""
    kind: MessageKind = MessageKind.TEXT
    user_id: str | None = None
    platform: str = "local"
    bot: str | None = None
    chat_id: str | None = None
    message_id: str | None = None
    at: float | None = None
    zone: str = "UTC"
    data: Any = None


class Reply(msgspec.Struct, frozen=True):
    """What a turn says: a text, and what a platform may need beside it (JSON-like)."""

    text: str
    data: Any = None


def digest(*parts: str) -> str:
    """32 hexadecimal digits of BLAKE2b (RFC 7693) over the parts, each after its length, so that none runs together."""
    text = "".join([f"{len(part)}:{part}" for part in parts])
    return blake2b(text.encode(), digest_size=16).hexdigest()


def chat_of(message: Message, bot: str) -> str:
    """The chat that a message belongs to. `InvalidInput` names ``chat_id`` where it cannot be known."""
    if message.chat_id is not None:
        return check_text(message.chat_id, "chat_id")
    if message.user_id is None:
        raise InvalidInput("chat_id", "is missing; give it, or user_id, of which it is computed")
    return _chat(message.platform, check_text(message.user_id, "user_id"), bot)


def owner_of(message: Message, chat_id: str) -> str:
    """Whom the chat of a message belongs to: the user of whom it is computed, else the chat itself."""
    return message.user_id if message.chat_id is None and message.user_id is not None else chat_id


@lru_cache(maxsize=1_024)
def _chat(platform: str, user_id: str, bot: str) -> str:
    return digest("chat", platform, user_id, bot)


def check_said(text: object, field: str = "text") -> str:
    """A text that can be stored and sent, of any length; `InvalidInput` names the field."""
    if not isinstance(text, str):
        raise InvalidInput(field, f"is a text, not {type(text).__name__}")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise InvalidInput(field, "holds half a character (a lone surrogate)") from None
    return text


def checked(message: Message) -> Message:
    """The message, if every field can be taken; `InvalidInput` names the first that cannot."""
    if not isinstance(message, Message):
        raise InvalidInput("message", f"is a Message, not {type(message).__name__}")
    check_said(message.text)
    for field in ("user_id", "bot", "chat_id", "message_id"):
        if (value := getattr(message, field)) is not None:
            check_text(value, field)
    check_text(message.platform, "platform")
    kind: Any = message.kind
    if not isinstance(kind, MessageKind):
        if kind not in tuple(MessageKind):
            raise InvalidInput("kind", f"is one of {', '.join(MessageKind)}")
        return replace(message, kind=MessageKind(kind))
    return message

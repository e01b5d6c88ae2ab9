"""Replies that are kept until they have been sent, for a crash between the commit and the sending."""

from __future__ import annotations

from typing import Final

import msgspec

from insession.kernel.codec import decode
from insession.kernel.record import Item

from .messages import Message, Reply

OWNER: Final = "~dialogue/outbox"
"""The owner that all items of the outbox have, so that they are found."""


class Letter(msgspec.Struct, frozen=True, array_like=True):
    """The replies of a turn, with what is needed to send them."""

    chat_id: str
    owner: str
    turn_id: str
    at: float
    message: Message
    replies: tuple[Reply, ...]


def key_of(home: str, turn_id: str) -> str:
    """Where the replies of a turn lie."""
    return f"{home}/outbox/{turn_id}"


def letter_in(item: Item) -> Letter:
    """What an item of the outbox holds."""
    letter: Letter = decode(item.data, Letter, item.key)
    return letter

"""Replies that are kept until they have been sent, for a crash between the commit and the sending."""

from __future__ import annotations

from typing import Final

import msgspec

from insession.errors import DataUnreadable
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


_decoder: Final = msgspec.msgpack.Decoder(Letter)


def key_of(home: str, turn_id: str) -> str:
    """Where the replies of a turn lie."""
    return f"{home}/outbox/{turn_id}"


def letter_in(item: Item) -> Letter:
    """What an item of the outbox holds."""
    try:
        return _decoder.decode(item.data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DataUnreadable(item.key, getattr(item.data, "problem", None) or str(error)) from None

"""What a chat remembers of its last turns: so that a message that comes again is not answered again.

The item is an array of MessagePack whose length has two bytes, so that another turn is added at its end without
reading the others. It is cut down now and then, not every time.
"""

from __future__ import annotations

import struct
from typing import Final

import msgspec

from insession.errors import DataUnreadable
from insession.kernel.record import Item

MOST_TURNS: Final = 100
LONGEST: Final = 86_400.0
"""So many seconds a turn is remembered."""
_CUT: Final = 150
"""At so many turns the item is cut down to the last 100."""
_LATER: Final = 3_600.0
_HEAD: Final = struct.Struct(">BH")
_ARRAY16: Final = 0xDC


class TurnEntry(msgspec.Struct, frozen=True, array_like=True):
    """A committed turn: its id, when it was committed, and the ids of the messages that it answered."""

    id: str
    at: float
    messages: tuple[str, ...]


_decoder: Final = msgspec.msgpack.Decoder(list[TurnEntry])
_encoder: Final = msgspec.msgpack.Encoder()


def turns_in(item: Item | None, now: float) -> list[TurnEntry]:
    """The turns that an item remembers, oldest first."""
    if item is None:
        return []
    try:
        turns = _decoder.decode(item.data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DataUnreadable(item.key, getattr(item.data, "problem", None) or str(error)) from None
    return [turn for turn in turns[-MOST_TURNS:] if turn.at > now - LONGEST]


def expires(item: Item | None, now: float) -> float:
    """When the item goes: an index follows it, so it is moved once an hour and not at every turn."""
    if item is not None and item.expires >= now + LONGEST:
        return item.expires
    return now + LONGEST + _LATER


def with_turn(item: Item | None, turn: TurnEntry) -> bytes:
    """The item's data after another turn."""
    if item is None:
        return _HEAD.pack(_ARRAY16, 1) + _encoder.encode(turn)
    number = _HEAD.unpack_from(item.data)[1] + 1
    if number < _CUT:
        return b"".join((_HEAD.pack(_ARRAY16, number), item.data[_HEAD.size :], _encoder.encode(turn)))
    return _encoder.encode([*_decoder.decode(item.data)[1 - MOST_TURNS :], turn])


def repeated(item: Item | None, message_id: str | None, now: float) -> bool:
    """Whether a message was answered before."""
    if message_id is None or item is None or message_id.encode() not in item.data:
        return False
    return any(message_id in turn.messages for turn in turns_in(item, now))

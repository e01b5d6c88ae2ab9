"""What a chat remembers of its last turns: so that a message that comes again is not answered again.

Every turn reads and writes one item with the newest of them, and it stays small: when these are twenty, they are put
away into one of five others, the oldest. Of their messages a checksum each stays behind; only a message that has one of
these is looked for in all six.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final
from zlib import crc32

import msgspec

from insession.kernel.codec import decode
from insession.kernel.operations import Put
from insession.kernel.record import Item

from .driver import Place

MOST_TURNS: Final = 100
LONGEST: Final = 86_400.0
"""So many seconds a turn is remembered."""
_LATER: Final = 3_600.0
_TOGETHER: Final = 20
_STACKS: Final = MOST_TURNS // _TOGETHER
_HEAD: Final = struct.Struct(">BH")
_ARRAY16: Final = 0xDC
_NO_TURNS: Final = _HEAD.pack(_ARRAY16, 0)


class TurnEntry(msgspec.Struct, frozen=True, array_like=True):
    """A committed turn: its id, when it was committed, and the ids of the messages that it answered."""

    id: str
    at: float
    messages: tuple[str, ...]


class Recent(msgspec.Struct, frozen=True, array_like=True):
    """The newest turns.

    ``turns`` is an array of MessagePack whose length has two bytes, so that another turn is added at its end without
    reading the others. ``put_away`` is how often twenty were, ``sums`` the checksums of their messages.
    """

    turns: bytes = _NO_TURNS
    put_away: int = 0
    sums: tuple[bytes, ...] = ()

    def has(self, message_id: str, now: float) -> bool:
        """Whether one of these answered a message."""
        return message_id.encode() in self.turns and _answered(message_id, _turns(self.turns), now)

    def may_have_had(self, message_id: str) -> bool:
        """Whether one that was put away may have."""
        return bool(self.sums) and any(_sum(message_id) in sums for sums in self.sums)


_decoder: Final = msgspec.msgpack.Decoder(list[TurnEntry])
_encoder: Final = msgspec.msgpack.Encoder()
_NONE: Final = Recent()


def recent_in(item: Item | None) -> Recent:
    """The newest turns; `DataUnreadable` names the item."""
    if item is None:
        return _NONE
    recent: Recent = decode(item.data, Recent, item.key)
    return recent


def keys_of(place: Place) -> list[str]:
    """All items of a chat's turns, that of the newest first."""
    return [place.turns, *(_stack_key(place, number) for number in range(_STACKS))]


def turns_in(items: Sequence[Item | None], now: float) -> list[TurnEntry]:
    """The turns in all of these items, oldest first."""
    recent, turns = recent_in(items[0]), list[TurnEntry]()
    for number in range(max(0, recent.put_away - _STACKS), recent.put_away):
        stack = items[1 + number % _STACKS]
        if stack is not None:
            turns += decode(stack.data, list[TurnEntry], stack.key)
    turns += _turns(recent.turns)
    return [turn for turn in turns[-MOST_TURNS:] if turn.at > now - LONGEST]


def with_turn(place: Place, item: Item | None, recent: Recent, turn: TurnEntry) -> list[Put]:
    """What a chat remembers after another turn."""
    number = _HEAD.unpack_from(recent.turns)[1] + 1
    turns = b"".join((_HEAD.pack(_ARRAY16, number), recent.turns[_HEAD.size :], _encoder.encode(turn)))
    puts = []
    if number < _TOGETHER:
        recent = Recent(turns, recent.put_away, recent.sums)
    else:
        stack = _stack_key(place, recent.put_away)
        puts.append(Put(stack, turns, owner=place.owner, expires=turn.at + LONGEST + _LATER))
        sums = b"".join([_sum(message_id) for one in _turns(turns) for message_id in one.messages])
        recent = Recent(_NO_TURNS, recent.put_away + 1, (*recent.sums, sums)[-_STACKS:])
    # An index follows when an item expires, so that is moved once an hour and not at every turn.
    lasts = item is not None and item.expires >= turn.at + LONGEST
    expires = item.expires if item is not None and lasts else turn.at + LONGEST + _LATER
    return [Put(place.turns, _encoder.encode(recent), owner=place.owner, expires=expires), *puts]


def answered(message_id: str, items: Sequence[Item | None], now: float) -> bool:
    """Whether a turn in all of these items answered a message."""
    return _answered(message_id, turns_in(items, now), now)


def _answered(message_id: str, turns: Sequence[TurnEntry], now: float) -> bool:
    return any(message_id in turn.messages and turn.at > now - LONGEST for turn in turns)


def _turns(encoded: bytes) -> list[TurnEntry]:
    return _decoder.decode(encoded)


def _sum(message_id: str) -> bytes:
    return crc32(message_id.encode()).to_bytes(4, "big")


def _stack_key(place: Place, number: int) -> str:
    return f"{place.turns}/{number % _STACKS}"

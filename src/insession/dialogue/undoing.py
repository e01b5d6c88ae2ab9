"""What a session's data was before its last turns: an item for each, in as many slots as turns can be taken back.

A turn is written over the oldest one. An item says whose it is, because a session that went back to an earlier state
names turns whose slots others have taken since.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from insession.kernel.codec import decode
from insession.kernel.operations import Put
from insession.kernel.record import Item


class Undoable(msgspec.Struct, frozen=True, array_like=True):
    """A turn that can be taken back, and the slot of its item."""

    slot: int
    turn: str


class Before(msgspec.Struct, frozen=True, array_like=True):
    """What lies in a slot: the session's data as it was stored before a turn."""

    turn: str
    data: bytes


_encoder: Final = msgspec.msgpack.Encoder()


def key_of(record: str, one: Undoable) -> str:
    """Where the data before a turn lies."""
    return f"{record}/undo/{one.slot}"


def with_turn(known: tuple[Undoable, ...], turn: str, most: int) -> tuple[Undoable, ...]:
    """The turns that can be taken back after another one, oldest first."""
    kept = known[len(known) + 1 - most :] if len(known) >= most else known
    taken = [one.slot for one in kept]
    return (*kept, Undoable(next(slot for slot in range(most) if slot not in taken), turn))


def before(record: str, one: Undoable, data: bytes) -> Put:
    """Keep what the data was before a turn."""
    return Put(key_of(record, one), _encoder.encode(Before(one.turn, data)))


def removed(record: str, old: Iterable[Undoable], new: Iterable[Undoable]) -> list[Put]:
    """Remove what nobody can go back to any more, unless its slot is taken anew."""
    taken = [one.slot for one in new]
    return [Put(key_of(record, one), None) for one in old if one.slot not in taken]


def data_before(one: Undoable, item: Item | None) -> bytes | None:
    """What the data was before a turn; None if that is not known any more. `DataUnreadable` names the item."""
    if item is None:
        return None
    found: Before = decode(item.data, Before, item.key)
    return found.data if found.turn == one.turn else None

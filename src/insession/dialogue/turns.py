"""What a chat remembers of its last turns: so that a message that comes again is not answered again."""

from __future__ import annotations

from typing import Final

import msgspec

from insession.errors import DataUnreadable
from insession.kernel.record import Item

MOST_TURNS: Final = 100
LONGEST: Final = 86_400.0
"""So many seconds a turn is remembered."""


class TurnEntry(msgspec.Struct, frozen=True, array_like=True):
    """A committed turn: its id, when it was committed, the ids of the messages that it answered, and its session."""

    id: str
    at: float
    messages: tuple[str, ...]
    session_id: str


_decoder: Final = msgspec.msgpack.Decoder(list[TurnEntry])


def turns_in(item: Item | None, now: float) -> list[TurnEntry]:
    """The turns that an item remembers, oldest first."""
    if item is None:
        return []
    try:
        turns = _decoder.decode(item.data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DataUnreadable(item.key, getattr(item.data, "problem", None) or str(error)) from None
    return [turn for turn in turns if turn.at > now - LONGEST]


def with_turn(turns: list[TurnEntry], turn: TurnEntry) -> bytes:
    """The item after another turn."""
    return msgspec.msgpack.encode([*turns[1 - MOST_TURNS :], turn])


def repeated(turns: list[TurnEntry], message_id: str | None) -> TurnEntry | None:
    """The turn that answered a message before."""
    if message_id is None:
        return None
    return next((turn for turn in turns if message_id in turn.messages), None)

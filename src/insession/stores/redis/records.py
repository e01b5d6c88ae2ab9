"""How records, items and events lie in the server: packed strings, the same in ``records.lua``.

All numbers are big-endian, times are IEEE doubles. An optional text is empty where there is none, else ``+`` and
the text. The envelope comes first and says its own size, so that the data behind it are not read for a change
that leaves them.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import Final

from insession.kernel.events import Event, EventType
from insession.kernel.record import Item, Record, State

STATES: Final = tuple(State)
CODES: Final = {state: code for code, state in enumerate(STATES)}
EVENTS: Final = tuple(EventType)
EVENT_CODES: Final = {event: str(code) for code, event in enumerate(EVENTS)}

_FRONT: Final = Struct(">HBBQdddddddd")
"""Size of the envelope, state, finish, version; touched, due, opened, window, reach, absolute, ended, keep.

The texts behind it have their size before them: kind (one byte), owner, node, change, reason (two), stopped (one).
"""
FIXED: Final = _FRONT.size + 10
"""The size of an envelope without its texts."""
_SHORT: Final = [bytes((size,)) for size in range(256)]
_LONG: Final = Struct(">H").pack
_ITEM: Final = Struct(">HQdH")
"""Size of all before the data, version, expires, size of the owner; then the owner and the last changes."""
_EVENT: Final = Struct(">dQH")
"""Time, version, size of the id; the id, then kind (size in one byte), owner, reason, change and node (two)."""


def optional(text: str | None) -> str:
    """A text that may be missing."""
    return "" if text is None else f"+{text}"


def envelope(record: Record) -> bytes:
    """The envelope of a new record."""
    kind, change = record.kind.encode(), record.change.encode()
    owner, node = optional(record.owner).encode(), optional(record.node).encode()
    reason, stopped = optional(record.reason).encode(), optional(record.stopped).encode()
    sizes = len(kind), len(owner), len(node), len(change), len(reason), len(stopped)
    return b"".join(
        (
            _FRONT.pack(
                FIXED + sum(sizes),
                CODES[record.state],
                record.finish,
                record.version,
                record.touched,
                record.due,
                record.opened,
                record.window,
                record.reach,
                record.absolute,
                record.ended,
                record.keep,
            ),
            *(_SHORT[sizes[0]], kind, _LONG(sizes[1]), owner, _LONG(sizes[2]), node),
            *(_LONG(sizes[3]), change, _LONG(sizes[4]), reason, _SHORT[sizes[5]], stopped),
        )
    )


def _texts(raw: bytes, place: int, sizes: Sequence[int]) -> list[bytes]:
    texts = []
    for size in sizes:
        start = place + size
        place = start + int.from_bytes(raw[place:start], "big")
        texts.append(raw[start:place])
    return texts


def _maybe(text: bytes) -> str | None:
    return text[1:].decode() if text else None


def record_of(session_id: str, raw: bytes) -> Record:
    """The record in a packed string."""
    size, state, finish, version, touched, due, opened, window, reach, absolute, ended, keep = _FRONT.unpack_from(raw)
    kind, owner, node, change, reason, stopped = _texts(raw, _FRONT.size, (1, 2, 2, 2, 2, 1))
    return Record(
        session_id,
        kind.decode(),
        _maybe(owner),
        _maybe(node),
        STATES[state],
        version,
        change.decode(),
        opened,
        touched,
        window,
        reach,
        absolute,
        due,
        ended,
        _maybe(reason),
        keep,
        finish == 1,
        _maybe(stopped),
        raw[size:],
    )


def item_of(key: str, raw: bytes) -> Item:
    """The item in a packed string."""
    size, version, expires, length = _ITEM.unpack_from(raw)
    place = _ITEM.size + length
    changes = _texts(raw, place + 1, (2,) * raw[place])
    owner = _maybe(raw[_ITEM.size : place])
    return Item(key, raw[size:], version, tuple([change.decode() for change in changes]), owner, expires)


def event_of(position: int, code: bytes, raw: bytes, partition: int) -> Event:
    """The event in an entry of the stream."""
    time, version, length = _EVENT.unpack_from(raw)
    place = _EVENT.size + length
    kind, owner, reason, change, node = _texts(raw, place, (1, 2, 2, 2, 2))
    return Event(
        EVENTS[int(code)],
        time,
        raw[_EVENT.size : place].decode(),
        kind.decode(),
        _maybe(owner),
        version,
        _maybe(reason),
        change.decode(),
        node.decode(),
        position,
        partition,
    )

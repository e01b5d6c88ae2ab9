"""How records, items and events lie in the server: packed strings, the same in ``records.lua``.

All numbers are big-endian, times are IEEE doubles. An optional text is empty where there is none, else ``+`` and
the text. The envelope comes first and says its own size, so that the data behind it are not read for a change
that leaves them. Ids stand in every index, so they are packed too.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from struct import Struct
from typing import Final

from insession.kernel.events import Event, EventType
from insession.kernel.record import Item, Record, State

Argument = str | bytes | int
"""Of a call."""
STATES: Final = tuple(State)
CODES: Final = {state: code for code, state in enumerate(STATES)}
EVENTS: Final = tuple(EventType)
EVENT_CODES: Final = {event: str(code) for code, event in enumerate(EVENTS)}

_DIGITS: Final = 32
_RAW: Final = 16
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
"""Time, version, size of the id; the id, then kind (size in one byte), owner, reason, change and node (two).

A change that has the id of the session is left out, here and in an envelope.
"""


def packed_id(text: str) -> bytes:
    """An id, or that of a change: half as long where it is 32 lower-case hexadecimal digits."""
    if len(text) == _DIGITS:
        with suppress(ValueError):
            raw = bytes.fromhex(text)
            if raw.hex() == text:
                return raw
    raw = b"=" + text.encode()
    return raw + b"\0" if len(raw) == _RAW else raw


def id_of(raw: bytes) -> str:
    """The id in a packed one."""
    if len(raw) == _RAW:
        return raw.hex()
    return (raw[1:-1] if len(raw) == _RAW + 1 and raw[-1] == 0 else raw[1:]).decode()


def optional(text: str | None) -> str:
    """A text that may be missing."""
    return "" if text is None else f"+{text}"


def envelope(record: Record) -> bytes:
    """The envelope of a new record."""
    kind = record.kind.encode()
    change = b"" if record.change == record.id else packed_id(record.change)
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
        id_of(change) if change else session_id,
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
    return Item(key, raw[size:], version, tuple([id_of(change) for change in changes]), owner, expires)


def event_of(position: int, code: bytes, raw: bytes, partition: int) -> Event:
    """The event in an entry of the stream."""
    time, version, length = _EVENT.unpack_from(raw)
    place = _EVENT.size + length
    packed = raw[_EVENT.size : place]
    kind, owner, reason, change, node = _texts(raw, place, (1, 2, 2, 2, 2))
    return Event(
        EVENTS[int(code)],
        time,
        id_of(packed),
        kind.decode(),
        _maybe(owner),
        version,
        _maybe(reason),
        id_of(change or packed),
        node.decode(),
        position,
        partition,
    )

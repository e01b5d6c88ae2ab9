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

STATES: Final = tuple(State)
CODES: Final = {state: code for code, state in enumerate(STATES)}
EVENTS: Final = tuple(EventType)
EVENT_CODES: Final = {event: str(code) for code, event in enumerate(EVENTS)}

_DIGITS: Final = 32
_RAW: Final = 16
_FRONT: Final = Struct(">QHHHBB8d")
"""Version, size of the envelope, of the reason, of the last change, state, finish; ended, due, touched, window, reach,
absolute, keep, opened.

The texts behind it: kind (its size before it in one byte), owner, node (two), stopped (one), reason, change. So what
an ending or an update writes stands at both ends, and what an event says of its session, behind one another.
"""
_FRESH: Final = Struct(">HHHBB8d")
"""The same without the version, which the server gives."""
FIXED: Final = _FRONT.size + 6
"""The size of an envelope without its texts."""
_SHORT: Final = [bytes((size,)) for size in range(256)]
_LONG: Final = Struct(">H").pack
_ITEM: Final = Struct(">HQdH")
"""Size of all before the data, version, expires, size of the owner; then the owner and the last changes."""
_EVENT: Final = Struct(">QdHHH")
"""Version, time, sizes of reason, change and id; these, kind (size in one byte), owner (two), and the node.

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
    """The envelope of a new record, without its version."""
    kind = record.kind.encode()
    change = b"" if record.change == record.id else packed_id(record.change)
    owner, node = optional(record.owner).encode(), optional(record.node).encode()
    reason, stopped = optional(record.reason).encode(), optional(record.stopped).encode()
    front = _FRESH.pack(
        FIXED + len(kind) + len(owner) + len(node) + len(stopped) + len(reason) + len(change),
        len(reason),
        len(change),
        CODES[record.state],
        record.finish,
        record.ended,
        record.due,
        record.touched,
        record.window,
        record.reach,
        record.absolute,
        record.keep,
        record.opened,
    )
    texts = (_SHORT[len(kind)], kind, _LONG(len(owner)), owner, _LONG(len(node)), node, _SHORT[len(stopped)], stopped)
    return b"".join((front, *texts, reason, change))


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
    version, size, reason_size, change_size, state, finish, ended, *times = _FRONT.unpack_from(raw)
    due, touched, window, reach, absolute, keep, opened = times
    kind, owner, node, stopped = _texts(raw, _FRONT.size, (1, 2, 2, 1))
    changed = size - change_size
    return Record(
        session_id,
        kind.decode(),
        _maybe(owner),
        _maybe(node),
        STATES[state],
        version,
        id_of(raw[changed:size]) if change_size else session_id,
        opened,
        touched,
        window,
        reach,
        absolute,
        due,
        ended,
        _maybe(raw[changed - reason_size : changed]),
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
    version, time, reason_size, change_size, id_size = _EVENT.unpack_from(raw)
    changed = _EVENT.size + reason_size
    identified = changed + change_size
    named = identified + id_size
    kind, owner = _texts(raw, named, (1, 2))
    packed = raw[identified:named]
    return Event(
        EVENTS[int(code)],
        time,
        id_of(packed),
        kind.decode(),
        _maybe(owner),
        version,
        _maybe(raw[_EVENT.size : changed]),
        id_of(raw[changed:identified] or packed),
        raw[named + 3 + len(kind) + len(owner) :].decode(),
        position,
        partition,
    )

"""Session data as bytes and back: MessagePack (msgpack.org), never pickle.

Data of a later version has a head before its MessagePack value::

    offset  bytes
    0       1      0xC1, which no MessagePack value begins with
    1       1      0x76, the letter v
    2       2      data version, big-endian, from 2 on
    4       n      MessagePack

Without a head it is of version 1: most data is, and all that was written before its program had versions. A store
that encrypts takes the version into its own head, and gives it back here. What the versions are is in
`insession.kernel.data`.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from functools import lru_cache
from typing import Any, Final, cast

import msgspec

from insession.errors import DataUnreadable, InvalidInput

MOST_DATA: Final = 1 << 20
"""So many bytes of data a session or an item may have, unless set otherwise."""
FIRST: Final = 1
"""The data version of what has no head."""
LATEST: Final = (1 << 16) - 1
UNVERSIONED: Final = b"\0\0"
_MARK: Final = b"\xc1v"
_RESERVED: Final = 0xC1
_HEAD: Final = 4
_VALUES: Final = re.compile(r"^(Invalid(?: enum)? value|Object contains unknown field) .*?(?=$| - at `)", re.DOTALL)
_encoder = msgspec.msgpack.Encoder()


@lru_cache(maxsize=256)
def _decoder(wanted: Hashable) -> msgspec.msgpack.Decoder[Any]:
    return msgspec.msgpack.Decoder(cast("Any", wanted))


def encode(data: object, most: int = MOST_DATA, field: str = "data", version: int = FIRST) -> bytes:
    """Data as bytes; `InvalidInput` where it is no JSON-like value or struct, or is too large."""
    try:
        encoded = _encoder.encode(data)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise InvalidInput(field, f"cannot be kept: {error}") from None
    if version != FIRST:
        encoded = _MARK + version.to_bytes(2) + encoded
    if len(encoded) > most:
        raise InvalidInput(field, f"has {len(encoded)} bytes, the most is {most}")
    # The encoder's own has room for more, up to as much again, which would be kept as long as the record.
    return bytes(memoryview(encoded))


def decode(data: bytes, wanted: type[Any] | None, key: str) -> Any:
    """Bytes as data of a type, whatever their version; `DataUnreadable` where they are not."""
    body = data[_HEAD:] if data[:2] == _MARK else data
    try:
        return _decoder(cast("Hashable", Any if wanted is None else wanted)).decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise unreadable(data, body, key, error) from None


def version_of(data: bytes) -> int:
    """The data version of bytes; of those that cannot be opened as far as it stands in the open."""
    if data[:2] == _MARK:
        return int.from_bytes(data[2:_HEAD]) or FIRST
    return getattr(data, "version", FIRST)


def parted(data: bytes) -> tuple[bytes, bytes]:
    """The two bytes of the data version, or `UNVERSIONED`, and the rest: what a store that encrypts keeps apart."""
    if data[:2] == _MARK and len(data) >= _HEAD and data[2:_HEAD] != UNVERSIONED:
        return data[2:_HEAD], data[_HEAD:]
    return UNVERSIONED, data


def joined(version: bytes, body: bytes) -> bytes:
    """What `parted` took apart."""
    return body if version == UNVERSIONED else _MARK + version + body


def unreadable(data: bytes, body: bytes, key: str, error: Exception) -> DataUnreadable:
    """The error for data that could not be decoded. It says nothing of what the data is."""
    problem = getattr(data, "problem", None)
    if problem is not None:  # data that an encrypting store could not open says itself why, and what that proves
        return DataUnreadable(key, problem, broken=getattr(data, "broken", False))
    if body[:1] == bytes((_RESERVED,)):
        return DataUnreadable(key, "it is encrypted, and this engine has no keys; or a newer insession wrote it")
    return DataUnreadable(key, _VALUES.sub(r"\1", str(error)), broken=not _is_messagepack(body))


def _is_messagepack(body: bytes) -> bool:
    """Whether bytes are MessagePack at all, of whatever shape: else no program has written them so."""
    try:
        _decoder(Any).decode(body)
    except RecursionError:
        return True
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return False
    return True

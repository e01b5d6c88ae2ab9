"""Session data as bytes and back: MessagePack (msgpack.org), never pickle."""

from __future__ import annotations

from collections.abc import Hashable
from functools import lru_cache
from typing import Any, Final, cast

import msgspec

from insession.errors import DataUnreadable, InvalidInput

MOST_DATA: Final = 1 << 20
"""So many bytes of data a session or an item may have, unless set otherwise."""
_encoder = msgspec.msgpack.Encoder()


@lru_cache(maxsize=256)
def _decoder(wanted: Hashable) -> msgspec.msgpack.Decoder[Any]:
    return msgspec.msgpack.Decoder(cast("Any", wanted))


def encode(data: object, most: int = MOST_DATA, field: str = "data") -> bytes:
    """Data as bytes; `InvalidInput` where it is no JSON-like value or struct, or is too large."""
    try:
        encoded = _encoder.encode(data)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise InvalidInput(field, f"cannot be kept: {error}") from None
    if len(encoded) > most:
        raise InvalidInput(field, f"has {len(encoded)} bytes, the most is {most}")
    # The encoder's own has room for more, up to as much again, which would be kept as long as the record.
    return bytes(memoryview(encoded))


def decode(data: bytes, wanted: type[Any] | None, key: str) -> Any:
    """Bytes as data of a type; `DataUnreadable` where they are not."""
    try:
        return _decoder(cast("Hashable", Any if wanted is None else wanted)).decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        # Data that an encrypting store could not open says itself why.
        raise DataUnreadable(key, getattr(data, "problem", None) or str(error)) from None

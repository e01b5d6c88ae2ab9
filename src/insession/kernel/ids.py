"""Ids, keys and names: how they are made, and what is accepted from outside.

An id is 32 lower-case hexadecimal digits. The first four (16 bits) choose the partition: they come
from the owner, else the name, or from the kind where it has a limit over all owners (CRC-32, RFC
1952, its low 16 bits). The rest is random, or, where the other party names the session, a BLAKE2b
digest (RFC 7693) of kind, owner and name.
"""

from __future__ import annotations

import os
import re
from hashlib import blake2b
from typing import Final
from zlib import crc32

from insession.errors import InvalidInput

_ID: Final = re.compile(r"[0-9a-f]{32}")
_KIND: Final = re.compile(r"~?[a-z][a-z0-9_.-]{0,63}")
LONGEST_NAME: Final = 512
LONGEST_REASON: Final = 200


def route(text: str) -> str:
    """The four digits that choose a partition."""
    return f"{crc32(text.encode()) & 0xFFFF:04x}"


def random_id(routed_by: str | None) -> str:
    """An id that nobody can guess: 112 random bits, 128 without an owner."""
    if routed_by is None:
        return os.urandom(16).hex()
    return f"{crc32(routed_by.encode()) & 0xFFFF:04x}{os.urandom(14).hex()}"


def named_id(kind: str, owner: str | None, name: str, *, by_kind: bool) -> str:
    """The id of the session that the other party calls ``name``."""
    parts = (kind, owner or "", name)
    digest = blake2b(digest_size=14)
    for part in parts:
        encoded = part.encode()
        digest.update(len(encoded).to_bytes(4, "big"))
        digest.update(encoded)
    return route(kind if by_kind else owner if owner is not None else name) + digest.hexdigest()


def secret_digest(index_key: bytes, owner: str) -> str:
    """What stands for an owner that is a secret: a keyed digest."""
    return "~" + blake2b(owner.encode(), key=index_key, digest_size=16).hexdigest()


def check_id(session_id: object, field: str = "session_id") -> str:
    """A session id as this module makes them."""
    if isinstance(session_id, str) and _ID.fullmatch(session_id):
        return session_id
    raise InvalidInput(field, "is not a session id (32 lower-case hexadecimal digits)")


def check_kind(kind: object, field: str = "kind") -> str:
    """A kind's name: it stands in clear text in every index."""
    if isinstance(kind, str) and _KIND.fullmatch(kind):
        return kind
    raise InvalidInput(field, "is a lower-case name of at most 64 letters, digits and ._-")


def check_text(text: object, field: str, longest: int = LONGEST_NAME) -> str:
    """A text that any store can keep: no control characters, no lone surrogates, not empty, not too long."""
    if not isinstance(text, str):
        raise InvalidInput(field, f"is a text, not {type(text).__name__}")
    if not text or len(text) > longest:
        raise InvalidInput(field, f"has 1 to {longest} characters, not {len(text)}")
    if not text.isprintable():
        raise InvalidInput(field, "holds a control character or half a character")
    return text


def check_owner(owner: object, field: str = "owner") -> str | None:
    """An owner, or None."""
    return None if owner is None else check_text(owner, field)


def check_reason(reason: object, field: str = "reason") -> str:
    """A reason: clear text of at most 200 characters."""
    return check_text(reason, field, LONGEST_REASON)


def check_key(key: object, field: str = "key") -> str:
    """An item's key: a text with a ``/`` in it, which no session id has."""
    text = check_text(key, field)
    if "/" not in text:
        raise InvalidInput(field, "holds at least one '/', as in 'memory/ann' or '<session id>/draft'")
    return text


def check_seconds(value: object, field: str, *, least: float = 0.0) -> float:
    """A finite number of seconds."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= 1e10:  # noqa: PLR2004
        raise InvalidInput(field, f"is a number of seconds, at least {least:g}")
    return float(value)


def check_count(value: object, field: str, most: int) -> int:
    """A whole number from 1."""
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise InvalidInput(field, f"is a whole number from 1 to {most}")
    return value

"""Ids, keys and names: how they are made, and what is accepted from outside.

An id is 32 lower-case hexadecimal digits. The first four (16 bits) choose the partition: they come
from the owner, else the name, or from the kind where it has a limit over all owners (CRC-32, RFC
1952, its low 16 bits). The rest is random, or, where the other party names the session, a BLAKE2b
digest (RFC 7693) of kind, owner and name.
"""

from __future__ import annotations

import os
import re
import weakref
from hashlib import blake2b
from typing import Final
from zlib import crc32

from insession.errors import InvalidInput

_ID: Final = re.compile(r"[0-9a-f]{32}")
_KIND: Final = re.compile(r"~?[a-z][a-z0-9_.-]{0,63}")
_UNKEPT: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_AT_ONCE: Final = 4096
LONGEST_NAME: Final = 512
LARGEST_VERSION: Final = (1 << 63) - 1
LONGEST_REASON: Final = 200


def route(text: str) -> str:
    """The four digits that choose a partition."""
    return f"{crc32(text.encode()) & 0xFFFF:04x}"


class RandomIds:
    """Ids that nobody can guess, of one engine: 112 random bits, 128 without an owner.

    The system is asked for many at once, because each question costs more than all else in an id. A
    forked child forgets what its parent was given.
    """

    __slots__ = ("__weakref__", "_given", "_used")

    def __init__(self) -> None:
        self._given = b""
        self._used = 0
        _ALL.add(self)

    def fresh(self, routed_by: str | None) -> str:
        """An id that nobody had, routed by an owner or kind."""
        start = self._used
        self._used = end = start + 16
        if end > len(self._given):
            self._given = os.urandom(_AT_ONCE)
            start, self._used = 0, 16
        digits = self._given[start : start + 16].hex()
        return digits if routed_by is None else f"{crc32(routed_by.encode()) & 0xFFFF:04x}{digits[4:]}"

    def forget(self) -> None:
        """Ask the system anew for the next one."""
        self._given, self._used = b"", 0


_ALL: weakref.WeakSet[RandomIds] = weakref.WeakSet()


def _forget_all() -> None:
    for one in _ALL:
        one.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)


def named_id(kind: str, owner: str | None, name: str, *, by_kind: bool) -> str:
    """The id of the session that the other party calls ``name``."""
    parts = [part.encode() for part in (kind, owner or "", name)]
    hashed = b"".join([len(part).to_bytes(4, "big") + part for part in parts])
    begin = route(kind if by_kind else owner if owner is not None else name)
    return begin + blake2b(hashed, digest_size=14).hexdigest()


_LENGTHS: Final = [length.to_bytes(4, "big") for length in range(4 * LONGEST_NAME + 1)]


class NamedIds:
    """The ids of many names under one owner: `named_id`, with what they share worked out once."""

    __slots__ = ("_begun", "_route")

    def __init__(self, kind: str, owner: str, *, by_kind: bool) -> None:
        self._begun = blake2b(digest_size=14)
        for encoded in (kind.encode(), owner.encode()):
            self._begun.update(len(encoded).to_bytes(4, "big") + encoded)
        self._route = route(kind if by_kind else owner)

    def of(self, name: bytes) -> str:
        """The id of a name, which has been checked and encoded."""
        digest = self._begun.copy()
        digest.update(_LENGTHS[len(name)] + name)
        return self._route + digest.hexdigest()


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
    # Much that is not printable is in use: the space of Chinese texts, joiners in names, what is newer than Python.
    if not text.isprintable() and _UNKEPT.search(text):
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

"""Who a session is: its auth key and its id. Of a key nothing is kept but its 64 bit id.

The id of an auth key is the last 64 bits of the SHA-1 of its 256 bytes (core.telegram.org/mtproto/description), read
as mtpylon reads them: big-endian and unsigned.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from hashlib import sha1
from typing import Any, Final

from insession.errors import ConfigurationError, InvalidInput
from insession.kernel.ids import NamedIds

KEY_BYTES: Final = 256
_LEAST, _MOST = -(1 << 63), (1 << 63) - 1
_IDS: Final = 1 << 64
_MOST_KNOWN: Final = 4_096
_WRONG_KEY: Final = "is an AuthKey, the 256 bytes of one, or its 64 bit id"


class _NoKey:
    """Stands for the key where a session is known by its id alone."""

    def __repr__(self) -> str:
        return "no key"


NO_KEY: Final = _NoKey()


def identity(given: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, int]:
    """The auth key (or `NO_KEY`) and the session id of a call in either form; takes its keywords out of ``named``."""
    if not named and len(given) == 2:  # noqa: PLR2004 - key and id
        auth_key, session_id = given
    else:
        auth_key, session_id = _read(given, named)
    if type(session_id) is not int or not _LEAST <= session_id <= _MOST:
        session_id = _checked(session_id)
    return auth_key, session_id


def _read(given: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, Any]:
    rest = list(given)
    if "session_id" in named:
        session_id = named.pop("session_id")
    elif rest:
        session_id = rest.pop()
    else:
        raise InvalidInput("session_id", "is missing")
    auth_key = named.pop("auth_key") if "auth_key" in named else rest.pop() if rest else NO_KEY
    if rest:
        raise TypeError("a session is known by (session_id) or (auth_key, session_id); more was given")
    return auth_key, session_id


def _checked(session_id: Any) -> int:
    if isinstance(session_id, bool) or not isinstance(session_id, int):
        raise InvalidInput("session_id", f"is a whole number, not {type(session_id).__name__}")
    if not _LEAST <= session_id <= _MOST:
        raise InvalidInput("session_id", "is a signed 64 bit number, from -2**63 to 2**63 - 1")
    return int(session_id)


def key_id_of(auth_key: Any) -> int:
    """The 64 bit id of an auth key; `InvalidInput` where it is none, which says nothing of its value."""
    if isinstance(auth_key, int) and not isinstance(auth_key, bool):
        if _LEAST <= auth_key < _IDS:
            return int(auth_key) % _IDS
        raise InvalidInput("auth_key", f"{_WRONG_KEY}; this number is too large for an id")
    if isinstance(auth_key, bytes | bytearray):
        if len(auth_key) == KEY_BYTES:
            return int.from_bytes(sha1(auth_key, usedforsecurity=False).digest()[-8:], "big")
        raise InvalidInput("auth_key", _WRONG_KEY)
    value = getattr(auth_key, "value", None)
    if type(value) is int and 0 <= value < 1 << 8 * KEY_BYTES:
        return int.from_bytes(sha1(value.to_bytes(KEY_BYTES, "big"), usedforsecurity=False).digest()[-8:], "big")
    key_id = getattr(auth_key, "id", None)
    if type(key_id) is int and _LEAST <= key_id < _IDS:
        return key_id % _IDS
    raise InvalidInput("auth_key", f"{_WRONG_KEY}, not {type(auth_key).__name__}")


class Key:
    """What is kept of one auth key."""

    __slots__ = ("id", "ids", "owner")

    def __init__(self, key_id: int | None, owner: str | None, ids: NamedIds) -> None:
        self.id: int | None = key_id
        self.owner: str | None = owner
        """Its id as the owner of its sessions: 16 hexadecimal digits."""
        self.ids: NamedIds = ids


class Keys:
    """The keys that are in use, by the objects that stand for them: hashing 256 bytes costs more than a look-up.

    Args:
        kind: The kind of the sessions.
        indexed: How the store sees an owner.
    """

    __slots__ = ("_by_id", "_by_object", "_indexed", "_kind")

    def __init__(self, kind: str, indexed: Callable[[str], str]) -> None:
        self._kind = kind
        self._indexed = indexed
        self._by_object: dict[int, tuple[weakref.ref[Any], Key]] = {}
        self._by_id: dict[int, Key] = {}

    def known(self, auth_key: Any) -> Key:
        """The key behind an object. Equal keys are one key, whatever object they come as."""
        there = self._by_object.get(id(auth_key))
        if there is not None and there[0]() is auth_key:
            return there[1]
        key_id = key_id_of(auth_key)
        key = self._by_id.get(key_id)
        if key is None:
            if len(self._by_id) >= _MOST_KNOWN:
                self._by_id.clear()
            owner = f"{key_id:016x}"
            key = self._by_id[key_id] = Key(key_id, owner, NamedIds(self._kind, self._indexed(owner), by_kind=False))
        self._remember(auth_key, key)
        return key

    def _remember(self, auth_key: Any, key: Key) -> None:
        place, by_object = id(auth_key), self._by_object
        try:
            ref = weakref.ref(auth_key, lambda _: by_object.pop(place, None))
        except TypeError:
            return  # a number or bytes
        by_object[place] = ref, key


class Form:
    """Which of the two forms a storage is called in: as configured, or as it was first called."""

    __slots__ = ("keyed", "said")

    def __init__(self, *, keyed: bool | None) -> None:
        if keyed not in {None, True, False}:
            raise ConfigurationError("keyed: is True (auth_key, session_id), False (session_id), or None")
        self.keyed: bool | None = keyed
        self.said: str = "it was made for" if keyed is not None else "it was first called with"

    def hold(self, auth_key: Any) -> None:
        """Raise `InvalidInput` for a call in the other form: they are two key spaces."""
        keyed = auth_key is not NO_KEY
        if keyed is self.keyed:
            return
        if self.keyed is not None:
            mine = "(auth_key, session_id)" if self.keyed else "(session_id)"
            other = "(session_id)" if self.keyed else "(auth_key, session_id)"
            raise InvalidInput(
                "auth_key", f"this storage serves {mine}, which {self.said}; a call with {other} is mixing"
            )
        self.keyed = keyed

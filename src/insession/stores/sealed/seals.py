"""One sealed value: its bytes, how it is made, and what becomes of one that cannot be opened.

A sealed value is AES-256-GCM (NIST SP 800-38D) with a random nonce::

    offset  bytes
    0       1      0xC1, which no MessagePack value begins with: read without its key, it is nobody's data
    1       1      format: 1
    2       4      number of the key, big-endian
    6       2      data version, big-endian: 0, until typed data has versions
    8       12     nonce
    20      n      ciphertext, as long as the clear data
    20 + n  16     tag

The associated data is the first eight bytes, the word ``record``, ``item`` or ``note``, one zero byte, and the
session's id, the item's key or the lease's name in UTF-8. So nothing opens that was changed, or that was sealed for
another place.
"""

from __future__ import annotations

import struct
from os import urandom
from typing import Final, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from .keys import Keys

RECORD: Final = b"record\0"
ITEM: Final = b"item\0"
NOTE: Final = b"note\0"
OVERHEAD: Final = 36
"""So many bytes a sealed value is longer than its data."""
_MARK: Final = 0xC1
_FORMAT: Final = 1
_DATA_VERSION: Final = 0
_HEAD: Final = struct.Struct(">BBIH")
_NONCE: Final = 12
_BODY: Final = _HEAD.size + _NONCE


class Unreadable(bytes):
    """Stands for data that could not be opened. No codec decodes it: reading it raises `DataUnreadable`.

    ``problem`` says why. ``sealed`` is what lies in the store; written back, this goes back as it lay there.
    """

    sealed: bytes
    problem: str

    def __new__(cls, sealed: bytes, problem: str) -> Self:
        """Its own bytes are one that MessagePack never uses."""
        self = super().__new__(cls, bytes((_MARK,)))
        self.sealed = sealed
        self.problem = problem
        return self


class Seals:
    """Seals with the current key of a ring, opens with any of them. Safe to use in any thread."""

    __slots__ = ("_by_head", "_ciphers", "_current", "_head")

    def __init__(self, keys: Keys) -> None:
        self._ciphers: dict[int, AESGCM] = {number: AESGCM(key) for number, key in keys._ring.items()}  # noqa: SLF001
        self._by_head: dict[bytes, AESGCM] = {_head(number): cipher for number, cipher in self._ciphers.items()}
        self._current: AESGCM = self._ciphers[keys.current]
        self._head: bytes = _head(keys.current)

    def seal(self, word: bytes, name: str, data: bytes) -> bytes:
        """Data sealed for this place."""
        if type(data) is Unreadable:
            return data.sealed
        nonce, head = urandom(_NONCE), self._head
        return head + nonce + self._current.encrypt(nonce, data, head + word + name.encode())

    def open(self, word: bytes, name: str, sealed: bytes) -> bytes:
        """The clear data of this place, or `Unreadable`."""
        head = sealed[: _HEAD.size]
        cipher = self._by_head.get(head)
        if cipher is None:
            return Unreadable(sealed, self._problem(head))
        try:
            return cipher.decrypt(sealed[_HEAD.size : _BODY], sealed[_BODY:], head + word + name.encode())
        except (InvalidTag, ValueError):  # a nonce that was cut short is a ValueError
            number = _HEAD.unpack(head)[2]
            return Unreadable(sealed, f"it was changed or moved, or key {number} of the ring is not what sealed it")

    def _problem(self, head: bytes) -> str:
        """Why no key goes with this head."""
        if len(head) < _HEAD.size or head[0] != _MARK:
            return "it is not sealed"
        _, form, number, version = _HEAD.unpack(head)
        if form != _FORMAT:
            return f"it is sealed in format {form}, which is not known here"
        if number not in self._ciphers:
            return f"key {number} is not in the ring"
        return f"it has data version {version}, which is not known here"


def _head(number: int) -> bytes:
    return _HEAD.pack(_MARK, _FORMAT, number, _DATA_VERSION)

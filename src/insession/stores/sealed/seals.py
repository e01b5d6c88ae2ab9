"""One sealed value: its bytes, how it is made, and what becomes of one that cannot be opened.

A sealed value is AES-256-GCM (NIST SP 800-38D) with a random nonce::

    offset  bytes
    0       1      0xC1, which no MessagePack value begins with: read without its key, it is nobody's data
    1       1      format: 1, or 2 where a patch named no kind
    2       4      number of the key, big-endian
    6       2      data version, big-endian: 0, until typed data has versions
    8       12     nonce
    20      n      ciphertext, as long as the clear data
    20 + n  16     tag

The associated data is the first eight bytes, the word ``record``, ``item`` or ``note`` and one zero byte, of a record
in format 1 its kind and one zero byte, and the session's id, the item's key or the lease's name in UTF-8. So nothing
opens that was changed, or that was sealed for another place.
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
_BOUND: Final = 1
_UNBOUND: Final = 2
_FORMATS: Final = (_BOUND, _UNBOUND)
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

    __slots__ = ("_bound", "_by_head", "_ciphers", "_current", "_unbound")

    def __init__(self, keys: Keys) -> None:
        self._ciphers: dict[int, AESGCM] = {number: AESGCM(key) for number, key in keys._ring.items()}  # noqa: SLF001
        self._by_head: dict[bytes, AESGCM] = {
            _head(form, number): cipher for form in _FORMATS for number, cipher in self._ciphers.items()
        }
        self._current: AESGCM = self._ciphers[keys.current]
        self._bound: bytes = _head(_BOUND, keys.current)
        self._unbound: bytes = _head(_UNBOUND, keys.current)

    def seal(self, word: bytes, name: str, data: bytes, kind: str | None = None) -> bytes:
        """Data sealed for this place; ``kind`` is that of a record, where it is known."""
        if type(data) is Unreadable:
            return data.sealed
        nonce, head = urandom(_NONCE), self._unbound if word is RECORD and kind is None else self._bound
        return head + nonce + self._current.encrypt(nonce, data, _associated(head, word, name, kind))

    def open(self, word: bytes, name: str, sealed: bytes, kind: str | None = None) -> bytes:
        """The clear data of this place, or `Unreadable`."""
        head = sealed[: _HEAD.size]
        cipher = self._by_head.get(head)
        if cipher is None:
            return Unreadable(sealed, self._problem(head))
        try:
            return cipher.decrypt(sealed[_HEAD.size : _BODY], sealed[_BODY:], _associated(head, word, name, kind))
        except (InvalidTag, ValueError):  # a nonce that was cut short is a ValueError
            number = _HEAD.unpack(head)[2]
            return Unreadable(sealed, f"it was changed or moved, or key {number} of the ring is not what sealed it")

    def _problem(self, head: bytes) -> str:
        """Why no key goes with this head."""
        if len(head) < _HEAD.size or head[0] != _MARK:
            return "it is not sealed"
        _, form, number, version = _HEAD.unpack(head)
        if form not in _FORMATS:
            return f"it is sealed in format {form}, which is not known here"
        if number not in self._ciphers:
            return f"key {number} is not in the ring"
        return f"it has data version {version}, which is not known here"


def _head(form: int, number: int) -> bytes:
    return _HEAD.pack(_MARK, form, number, _DATA_VERSION)


def _associated(head: bytes, word: bytes, name: str, kind: str | None) -> bytes:
    """What a value is bound to. The format is bound too, so that nobody turns a bound value into an unbound one."""
    bound = b"" if kind is None or head[1] == _UNBOUND else kind.encode() + b"\0"
    return head + word + bound + name.encode()

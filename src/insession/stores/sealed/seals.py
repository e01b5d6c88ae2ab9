"""One sealed value: its bytes, how it is made, and what becomes of one that cannot be opened.

A sealed value is AES-256-GCM (NIST SP 800-38D) with a random nonce::

    offset  bytes
    0       1      0xC1, which no MessagePack value begins with: read without its key, it is nobody's data
    1       1      format: 1, or 2 where a patch named no kind
    2       4      number of the key, big-endian
    6       2      data version, big-endian; 0: the data has none, which means its first
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

from insession.errors import DataUnreadable
from insession.kernel.codec import FIRST, UNVERSIONED, joined, parted

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
_KEY: Final = struct.Struct(">BBI")
_HEAD: Final = struct.Struct(">BBIH")
_NONCE: Final = 12
_BODY: Final = _HEAD.size + _NONCE
_BROKEN: Final = "it was changed or moved, or sealed by a foreign key"


class Unreadable(bytes):
    """Stands for data that could not be opened. No codec decodes it: reading it raises `DataUnreadable`.

    ``problem`` says why. ``sealed`` is what lies in the store; written back, this goes back as it lay there.
    ``missing`` is the number of a key that the ring lacks, ``version`` the data version that its head names.
    ``broken``: a key that is proven to be the store's says that these bytes were changed, or moved from elsewhere.
    """

    sealed: bytes
    problem: str
    missing: int | None
    version: int
    broken: bool

    def __new__(
        cls, sealed: bytes, problem: str, *, missing: int | None = None, version: int = 0, broken: bool = False
    ) -> Self:
        """Its own bytes are one that MessagePack never uses."""
        self = super().__new__(cls, bytes((_MARK,)))
        self.sealed = sealed
        self.problem = problem
        self.missing = missing
        self.version = version or FIRST
        self.broken = broken
        return self


class Seals:
    """Seals with the current key of a ring, opens with any of them. Safe to use in any thread.

    ``proven`` are the numbers of those keys that are known to be this store's, see `CHECKS`.
    """

    __slots__ = ("_bound", "_by_head", "_ciphers", "_current", "_unbound", "current", "proven")

    def __init__(self, keys: Keys) -> None:
        self._ciphers: dict[int, AESGCM] = {number: AESGCM(key) for number, key in keys._ring.items()}  # noqa: SLF001
        self._by_head: dict[bytes, AESGCM] = {
            _KEY.pack(_MARK, form, number): cipher for form in _FORMATS for number, cipher in self._ciphers.items()
        }
        self.current: int = keys.current
        self.proven: set[int] = set()
        self._current: AESGCM = self._ciphers[keys.current]
        self._bound: bytes = _KEY.pack(_MARK, _BOUND, keys.current)
        self._unbound: bytes = _KEY.pack(_MARK, _UNBOUND, keys.current)

    def seal(self, word: bytes, name: str, data: bytes, kind: str | None = None) -> bytes:
        """Data sealed for this place; ``kind`` is that of a record, where it is known."""
        if type(data) is Unreadable:
            return data.sealed
        version, body = parted(data)
        head = (self._unbound if word is RECORD and kind is None else self._bound) + version
        nonce = urandom(_NONCE)
        return head + nonce + self._current.encrypt(nonce, body, _associated(head, word, name, kind))

    def open(self, word: bytes, name: str, sealed: bytes, kind: str | None = None) -> bytes:
        """The clear data of this place, or `Unreadable`."""
        head = sealed[: _HEAD.size]
        cipher = self._by_head.get(head[: _KEY.size])
        if cipher is None or len(head) < _HEAD.size:
            return self._not_opened(sealed, head)
        try:
            body = cipher.decrypt(sealed[_HEAD.size : _BODY], sealed[_BODY:], _associated(head, word, name, kind))
        except (InvalidTag, ValueError):  # a nonce that was cut short is a ValueError
            return self._not_opened(sealed, head)
        version = head[_KEY.size :]
        return body if version == UNVERSIONED else joined(version, body)

    def _not_opened(self, sealed: bytes, head: bytes) -> Unreadable:
        number, version = key_and_version(head)
        if len(head) < _HEAD.size or head[0] != _MARK or head[1] == ord("v"):
            return Unreadable(sealed, "it is not sealed")
        if head[1] not in _FORMATS:
            return Unreadable(sealed, f"it is sealed in format {head[1]}, which is not known here")
        if number not in self._ciphers:
            return Unreadable(sealed, f"key {number} is not in the ring", missing=number, version=version)
        if number in self.proven:
            return Unreadable(sealed, _BROKEN, version=version, broken=True)
        problem = f"it was changed or moved, or key {number} of the ring is not what sealed it"
        return Unreadable(sealed, problem, version=version)


def open_record(keys: Keys, session_id: str, kind: str, sealed: bytes) -> bytes:
    """The clear bytes of a session's data that was kept aside (``~unreadable/...``), with the right keys in hand.

    Raises `DataUnreadable`.
    """
    data = Seals(keys).open(RECORD, session_id, sealed, kind)
    if type(data) is Unreadable:
        raise DataUnreadable(session_id, data.problem)
    return data


def key_and_version(sealed: bytes) -> tuple[int, int]:
    """The number of the key and the data version that stand in a sealed value's head; zeros where it has none."""
    if len(sealed) < _HEAD.size:
        return 0, 0
    _, _, number, version = _HEAD.unpack(sealed[: _HEAD.size])
    return number, version


def _associated(head: bytes, word: bytes, name: str, kind: str | None) -> bytes:
    """What a value is bound to. The format is bound too, so that nobody turns a bound value into an unbound one."""
    bound = b"" if kind is None or head[1] == _UNBOUND else kind.encode() + b"\0"
    return head + word + bound + name.encode()

"""A session on its way to another process: sealed, for whoever has the key, once.

The blob is text that goes into JSON, a pickle or a queue: base64 (RFC 4648, section 5) of ::

    offset  bytes
    0       2      "S1": what this is, and its version
    2       16     salt
    18      8      digest of the service, keyed by the salt
    26      8      digest of the account, keyed by the salt
    34      12     nonce
    46      n      MessagePack of `Handover`, sealed by AES-256-GCM (NIST SP 800-38D); all before it is authenticated

The key is derived by scrypt (RFC 7914) with that salt from what both sides have: a key that they were given, or the
credentials themselves.
"""

from __future__ import annotations

import base64
import binascii
import secrets
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

import anyio.to_thread
import msgspec

from insession.errors import ConfigurationError, InvalidInput
from insession.kernel.operations import Fence

from .contracts import Authenticator, Ticket
from .errors import HandoverRefused
from .latch import derived

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

MAGIC: Final = b"S1"
_SALT, _DIGEST, _NONCE = 16, 8, 12
_HEAD: Final = len(MAGIC) + _SALT + 2 * _DIGEST
LONGEST: Final = 1 << 16
_TAMPERED: Final = "it does not open: it was changed on its way, or sealed with another key"


class Handover(msgspec.Struct, frozen=True):
    """What goes along."""

    service: str
    account: str
    token: str
    ticket: Ticket
    generation: int
    session_id: str
    """Where it stands in the register, and at which version it must be."""
    version: int
    fence: Fence | None
    """Its place under the cap."""
    expires: float
    """Nobody attaches it after that, in seconds since the epoch."""
    dies: float | None = None
    """When it is to be renewed at the latest."""

    def __repr__(self) -> str:
        return f"<Handover {self.token}>"


async def sealed(handover: Handover, authenticator: Authenticator, key: str | bytes | None) -> str:
    """A session as text that only the key opens."""
    salt, nonce = secrets.token_bytes(_SALT), secrets.token_bytes(_NONCE)
    head = MAGIC + salt + _digest(handover.service, salt) + _digest(handover.account, salt)
    cipher = _cipher(await anyio.to_thread.run_sync(derived, _secret(authenticator, key), salt))
    body = cipher.encrypt(nonce, msgspec.msgpack.encode(handover), head)
    return base64.urlsafe_b64encode(head + nonce + body).decode()


async def opened(blob: object, authenticator: Authenticator, key: str | bytes | None) -> Handover:
    """The session in a blob that was sealed for us. Raises `HandoverRefused`, and runs nothing that is in it."""
    from cryptography.exceptions import InvalidTag

    raw = _raw(blob)
    head, nonce, body = raw[:_HEAD], raw[_HEAD : _HEAD + _NONCE], raw[_HEAD + _NONCE :]
    salt = head[len(MAGIC) : len(MAGIC) + _SALT]
    digests = head[len(MAGIC) + _SALT :]
    if not secrets.compare_digest(digests[:_DIGEST], _digest(authenticator.service, salt)):
        raise HandoverRefused("service", "it belongs to another service, or was changed on its way")
    if not secrets.compare_digest(digests[_DIGEST:], _digest(authenticator.account, salt)):
        raise HandoverRefused("user", "it belongs to another user of this service, or was changed on its way")
    cipher = _cipher(await anyio.to_thread.run_sync(derived, _secret(authenticator, key), salt))
    try:
        return msgspec.msgpack.decode(cipher.decrypt(nonce, body, head), type=Handover)
    except (InvalidTag, msgspec.MsgspecError, UnicodeDecodeError):
        raise HandoverRefused("tampered", _TAMPERED) from None


def _raw(blob: object) -> bytes:
    if not isinstance(blob, str | bytes) or len(blob) > LONGEST:
        raise HandoverRefused("tampered", f"it is no text of at most {LONGEST} characters, as detach gives it")
    try:
        raw = base64.b64decode(blob, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise HandoverRefused("tampered", _TAMPERED) from None
    if len(raw) <= _HEAD + _NONCE or raw[: len(MAGIC)] != MAGIC:
        raise HandoverRefused("tampered", _TAMPERED)
    return raw


def _secret(authenticator: Authenticator, key: str | bytes | None) -> bytes:
    if key is None:
        return authenticator.credentials_digest()
    given: object = key
    if not isinstance(given, str | bytes) or not given:
        raise InvalidInput("key", "is a text or bytes, and not empty")
    return given.encode() if isinstance(given, str) else given


def _digest(text: str, salt: bytes) -> bytes:
    return blake2b(text.encode(), key=salt, digest_size=_DIGEST).digest()


def check(authenticator: Authenticator, key: str | bytes | None) -> None:
    """Raise what sealing would raise, before anything is changed for it."""
    _secret(authenticator, key)
    _cipher(bytes(32))


def _cipher(key: bytes) -> AESGCM:
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError as error:  # pragma: no cover - only where the extra is missing
        raise ConfigurationError("cryptography is not installed; pip install 'insession[remote]'") from error
    return AESGCM(key)

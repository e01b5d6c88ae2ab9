"""Ids of a platform as names of files: safe on any file system, and back again.

Everything but ``A-Z a-z 0-9 . _ -`` is percent-encoded (RFC 3986, of the id's UTF-8), and so are the dots that a name
would begin with, so that no id means "this folder", "the one above" or a hidden file. A name of more than 120 bytes
is cut, and a digest of the id follows after a ``~``, which no encoded id holds: such a name cannot be decoded, and the
journal keeps the id itself. An empty id is a lone ``%``.
"""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import Final

from insession.errors import InvalidInput

LONGEST: Final = 120
"""So many bytes a name has at most, without its extension."""
EMPTY: Final = "%"
_DIGEST: Final = 16
_SAFE: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")
_UNSAFE: Final = re.compile(rb"[^A-Za-z0-9._-]")
_ENCODED: Final = re.compile(r"(?:[A-Za-z0-9_-]|%[0-9A-F]{2})(?:[A-Za-z0-9._-]|%[0-9A-F]{2})*")


def id_text(given: object, field: str = "file_id") -> str:
    """An id as text. A number and its digits are one id: the platform may write either."""
    if isinstance(given, str):
        return given
    if isinstance(given, int) and not isinstance(given, bool):
        try:
            return str(given)
        except ValueError:
            raise InvalidInput(field, "has too many digits") from None
    raise InvalidInput(field, f"is a text or a whole number, not {type(given).__name__}")


def safe_name(given: object, field: str = "file_id") -> str:
    """The name that stands for an id; raises `InvalidInput` for what is neither text nor whole number."""
    text = id_text(given, field)
    if len(text) <= LONGEST and _SAFE.fullmatch(text):
        return text
    # Half a character (a lone surrogate) is legal in JSON, and is kept as Python would write it.
    raw = text.encode("utf-8", "surrogatepass")
    dots = len(raw) - len(raw.lstrip(b"."))
    name = "%2E" * dots + _UNSAFE.sub(_percent, raw[dots:]).decode("ascii") or EMPTY
    if len(name) <= LONGEST:
        return name
    digest = blake2b(raw, digest_size=_DIGEST).hexdigest()
    return f"{name[: LONGEST - 1 - 2 * _DIGEST]}~{digest}"


def id_of_name(name: str) -> str | None:
    """The id that a name stands for; None where the name was shortened, or is none that `safe_name` gives."""
    if name == EMPTY:
        return ""
    if not _ENCODED.fullmatch(name) or len(name) > LONGEST:
        return None
    parts = name.split("%")
    raw = parts[0].encode() + b"".join(bytes([int(part[:2], 16)]) + part[2:].encode() for part in parts[1:])
    try:
        text = raw.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return None
    return text if safe_name(text) == name else None


def _percent(found: re.Match[bytes]) -> bytes:
    return b"%%%02X" % found[0][0]

"""What of an exchange may stand in a log or a recording: never a token, and no document's text unless asked."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import quote, quote_plus

HIDDEN: Final = "***"
LONGEST: Final = 500
"""A text of a payload that is longer is taken for a document's, whatever it is called."""
_SECRET: Final = frozenset({"token", "baselinetoken", "authorization", "cookie"})
_CONTENT: Final = frozenset({"content", "answer", "description"})


class Redaction:
    """Makes values safe to be written.

    Args:
        secrets: What is replaced wherever it stands in a text, also as part of a URL.
        content: Leave documents and answers as they are; without it their length and hash stand for them.
    """

    def __init__(self, secrets: Iterable[str] = (), *, content: bool = False) -> None:
        self.content: bool = content
        forms = {form for one in secrets if one for form in (one, quote(one, safe=""), quote(one), quote_plus(one))}
        # The longest first: one may be part of another.
        self._secrets: tuple[str, ...] = tuple(sorted(forms, key=len, reverse=True))

    def text(self, text: str) -> str:
        """A text without the secrets."""
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        return text

    def value(self, value: Any, name: str = "") -> Any:
        """A JSON-like value, such as a payload; ``name`` is what it is called."""
        if name.lower() in _SECRET and value is not None:
            return HIDDEN
        if not self.content and _is_content(value, name):
            return digest(value)
        if isinstance(value, Mapping):
            return {self.text(str(key)): self.value(one, str(key)) for key, one in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(one) for one in value]
        if isinstance(value, bytes | bytearray):
            return self.text(bytes(value).decode(errors="backslashreplace"))
        return self.text(value) if isinstance(value, str) else value


def digest(value: Any) -> dict[str, Any]:
    """What stands for a document or an answer: its length in bytes, and the start of its hash (SHA-256)."""
    if isinstance(value, bytes | bytearray):
        raw = bytes(value)
    elif isinstance(value, str):
        raw = value.encode(errors="surrogatepass")
    else:
        raw = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str).encode(errors="surrogatepass")
    return {"bytes": len(raw), "sha256": hashlib.sha256(raw).hexdigest()[:16]}


def _is_content(value: Any, name: str) -> bool:
    if value is None or isinstance(value, bool | int | float):
        return False
    return name.lower() in _CONTENT or (isinstance(value, str | bytes | bytearray) and len(value) > LONGEST)

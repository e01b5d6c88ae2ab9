"""Who may ask: bearer tokens (RFC 6750), full ones and such as only read."""

from __future__ import annotations

import hmac
import os
import re
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Final

from insession.errors import ConfigurationError

VARIABLE: Final = "INSESSION_SERVICE_TOKENS"
SHORTEST: Final = 16
"""Characters of a token: fewer could be guessed."""
_READ_ONLY: Final = "read-only:"
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*")
"""The alphabet of RFC 6750, section 2.1; there is no colon in it."""
HOW: Final = (
    "put one into a file, as in: python3 -c 'import secrets; print(secrets.token_urlsafe())' > tokens,"
    f" and name the file (--token-file tokens), or set {VARIABLE}"
)


class Tokens:
    """The tokens that a service knows, as digests: what is not kept cannot be shown.

    Raises `ConfigurationError` for one that cannot be sent or is too short, and if there is none at all.
    """

    __slots__ = ("_digests",)

    def __init__(self, full: Iterable[str] = (), *, read_only: Iterable[str] = ()) -> None:
        self._digests = [(_digest(token), False) for token in full] + [(_digest(token), True) for token in read_only]
        if not self._digests:
            raise ConfigurationError(f"tokens: there is none; {HOW}")

    def __repr__(self) -> str:
        return f"<Tokens: {len(self._digests)}>"

    @classmethod
    def parse(cls, text: str) -> Tokens:
        """Tokens from text: words; one that begins with ``read-only:`` may only read; ``#`` begins a comment."""
        words = [word for line in text.splitlines() for word in line.partition("#")[0].split()]
        return cls(
            [word for word in words if not word.startswith(_READ_ONLY)],
            read_only=[word.removeprefix(_READ_ONLY) for word in words if word.startswith(_READ_ONLY)],
        )

    @classmethod
    def found(cls, file: str | os.PathLike[str] | None, environ: Mapping[str, str] = os.environ) -> Tokens | None:
        """Tokens of a file, else those that the environment holds (``INSESSION_SERVICE_TOKENS``), else None."""
        if file is None:
            return cls.parse(environ[VARIABLE]) if environ.get(VARIABLE) else None
        try:
            return cls.parse(Path(file).read_text("utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            problem = os.strerror(error.errno or 0) if isinstance(error, OSError) else "it is no text"
            raise ConfigurationError(f"the token file {os.fspath(file)!r} cannot be read: {problem}") from None

    def of(self, authorization: str) -> tuple[int, bool] | None:
        """Number of the token that a header Authorization shows, and whether it may only read; None: none of ours."""
        scheme, _, token = authorization.partition(" ")
        shown = sha256(token.strip().encode("utf-8", "surrogateescape")).digest()
        # All are compared, each in constant time: how long it takes says nothing.
        same = [hmac.compare_digest(shown, digest) for digest, _ in self._digests]
        if scheme.lower() != "bearer" or True not in same:
            return None
        number = same.index(True)
        return number, self._digests[number][1]


def _digest(token: str) -> bytes:
    if not _TOKEN.fullmatch(token) or len(token) < SHORTEST:
        raise ConfigurationError(
            f"tokens: one is not a bearer token of at least {SHORTEST} letters, digits and ._~+/- ; {HOW}"
        )
    return sha256(token.encode()).digest()

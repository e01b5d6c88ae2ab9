"""Bounds of what begins alike."""

from __future__ import annotations

from typing import Final

_SURROGATES: Final = 0xD800
_AFTER_SURROGATES: Final = 0xE000


def beyond(prefix: str) -> str | None:
    """A bound above every text that begins with the prefix; None: there is none."""
    stem = prefix.rstrip("\U0010ffff")
    if not stem:
        return None
    following = ord(stem[-1]) + 1
    # A lone surrogate cannot be written in UTF-8.
    return stem[:-1] + chr(_AFTER_SURROGATES if following == _SURROGATES else following)

"""Text of somebody else's, before a terminal gets it."""

from __future__ import annotations


def printable(text: str) -> str:
    """The text with its control characters as escapes: none of them moves a cursor or changes a colour."""
    return "".join(one if one.isprintable() else f"\\u{ord(one):04x}" for one in text)

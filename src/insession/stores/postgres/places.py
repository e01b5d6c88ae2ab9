"""Places in indexes: cursors of pages, and bounds of what begins alike."""

from __future__ import annotations

from typing import Final

from insession.errors import InvalidInput
from insession.kernel.record import Record, State

_ORDER: Final = {state: place for place, state in enumerate(State)}
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


def cursor_after(record: Record) -> str:
    """Where the page that ends with a record goes on."""
    return f"{record.kind}|{_ORDER[record.state]}|{record.rank!r}|{record.id}"


def place_of(cursor: str) -> tuple[str, int, float, str]:
    """Kind, state, rank and id of the record that a page ended with."""
    try:
        kind, state, rank, session_id = cursor.split("|", 3)
        return kind, int(state), float(rank), session_id
    except ValueError:
        raise InvalidInput("after", "is not one that a page gave out") from None

"""Where the remote face's records go."""

from __future__ import annotations

import logging
from typing import Final

from insession.errors import InsessionError

NAME: Final = "insession.remote"
_current: list[logging.Logger] = [logging.getLogger(NAME)]


def logger() -> logging.Logger:
    """The logger of this face: `NAME`, or what an alias renamed it to."""
    return _current[0]


def use(name: str) -> None:
    """Let records go to another logger from now on."""
    _current[0] = logging.getLogger(name)


def said(error: BaseException) -> str:
    """An error for a record: those of others are named only, for nobody knows what they quote."""
    return str(error) if isinstance(error, InsessionError) else type(error).__name__

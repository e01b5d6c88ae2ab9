"""Where the remote face's records go."""

from __future__ import annotations

import logging
from typing import Final

NAME: Final = "insession.remote"
_current: list[logging.Logger] = [logging.getLogger(NAME)]


def logger() -> logging.Logger:
    """The logger of this face: `NAME`, or what an alias renamed it to."""
    return _current[0]


def use(name: str) -> None:
    """Let records go to another logger from now on."""
    _current[0] = logging.getLogger(name)

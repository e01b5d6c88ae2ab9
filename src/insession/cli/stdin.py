"""Values that come by standard input, where ``-`` stands for them: no list of processes shows them.

They are read while the command line is: Ctrl-C stops what a loop would wait for.
"""

from __future__ import annotations

import sys
from typing import Final

import typer

from .codes import Usage

_TAKEN: Final = "insession.stdin"


def line(context: typer.Context, given: str | None) -> str | None:
    """A value of one line."""
    return _read(context, "readline").rstrip("\r\n") if given == "-" else given


def text(context: typer.Context, given: str | None) -> str | None:
    """A value that is all of it."""
    return _read(context, "read") if given == "-" else given


def _read(context: typer.Context, how: str) -> str:
    if context.resilient_parsing:
        return ""
    if _TAKEN in context.meta:
        raise Usage("only one value can come from standard input")
    context.meta[_TAKEN] = True
    try:
        read: bytes = getattr(sys.stdin.buffer, how)()
        return read.decode()
    except UnicodeDecodeError:
        raise Usage("what comes from standard input is not UTF-8") from None

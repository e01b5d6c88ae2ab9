"""What a value of the configuration may be; each check says what is wrong, or None."""

from __future__ import annotations

import os
import string
from collections.abc import Callable
from typing import Any, Final

SHORTEST_TIME: Final = 0.001
LONGEST_TIME: Final = 1e9
"""So many seconds a duration may have: some thirty years."""
SHORTEST_ID: Final = 8
LONGEST_ID: Final = 64
CHARSET: Final = string.ascii_lowercase + string.ascii_uppercase + string.digits
FEWEST_CHARACTERS: Final = 10
LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


def seconds(value: Any) -> str | None:
    """A duration."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    right = number and SHORTEST_TIME <= value <= LONGEST_TIME
    return None if right else f"is a number of seconds from {SHORTEST_TIME:g} to {LONGEST_TIME:g}"


def whole(least: int, most: int) -> Callable[[Any], str | None]:
    """A whole number of a range."""

    def problem(value: Any) -> str | None:
        return None if type(value) is int and least <= value <= most else f"is a whole number from {least} to {most}"

    return problem


id_length: Final = whole(SHORTEST_ID, LONGEST_ID)


def switch(value: object) -> str | None:
    """True or False, and nothing that is as good as one."""
    return None if isinstance(value, bool) else "is True or False"


def charset(value: object) -> str | None:
    """An alphabet; repeats are allowed, and do not count."""
    if not isinstance(value, str) or not value.isprintable() or any(one.isspace() for one in value):
        return "is a text of printable characters without blanks"
    return None if len(set(value)) >= FEWEST_CHARACTERS else f"has at least {FEWEST_CHARACTERS} different characters"


def level(value: object) -> str | None:
    """A level of the log, by name."""
    return None if isinstance(value, str) and value.upper() in LEVELS else f"is one of {', '.join(LEVELS)}"


def file_name(value: object) -> str | None:
    """The name of a file, or None."""
    named = os.fspath(value) if isinstance(value, os.PathLike) else value
    if named is None or (isinstance(named, str) and named and "\0" not in named and _encodable(named)):
        return None
    return "is the name of a file, or None for one in the state folder"


def _encodable(name: str) -> bool:
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        return False
    return True

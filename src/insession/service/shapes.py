"""What the schema says of values: it describes what the kernel checks, and checks nothing itself.

So there is one place that refuses (with an error that names the field), and the schema tells what it will refuse.
"""

from __future__ import annotations

from typing import Any, Final

from msgspec import Meta

from insession.kernel.engine import MOST_PAGE
from insession.kernel.events import EventType
from insession.kernel.ids import LARGEST_VERSION, LONGEST_NAME, LONGEST_REASON
from insession.kernel.tickets import LONGEST_TICKET

Shape = dict[str, Any]
_CLEAN: Final = r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]"
"""A character that is no control character, see `kernel.ids.check_text`."""
_TYPE: Final = "|".join(EventType)
_MOST_SECONDS: Final = 1e10


def _text(longest: int) -> Shape:
    return {"min_length": 1, "max_length": longest, "pattern": f"^{_CLEAN}+$"}


def _seconds(least: float) -> Shape:
    return {"minimum": least, "maximum": _MOST_SECONDS}


TEXT: Final[Shape] = _text(LONGEST_NAME)
PREFIX: Final[Shape] = {
    "max_length": LONGEST_NAME,
    "pattern": f"^([^~\\x00-\\x1f\\x7f-\\x9f\\u2028\\u2029]{_CLEAN}*)?$",
}
LOCK_PREFIX: Final[Shape] = {"max_length": LONGEST_NAME, "pattern": f"^{_CLEAN}*$"}
REASON: Final[Shape] = _text(LONGEST_REASON)
TICKET: Final[Shape] = _text(LONGEST_TICKET)
ID: Final[Shape] = {"pattern": "^[0-9a-f]{32}$", "min_length": 32, "max_length": 32}
KIND: Final[Shape] = {"pattern": "^~?[a-z][a-z0-9_.-]{0,63}$", "max_length": 65}
OWN_KIND: Final[Shape] = {"pattern": "^[a-z][a-z0-9_.-]{0,63}$", "max_length": 64}
KEY: Final[Shape] = {
    "pattern": f"^([^~/\\x00-\\x1f\\x7f-\\x9f\\u2028\\u2029]{_CLEAN}*)?/{_CLEAN}*$",
    "min_length": 1,
    "max_length": LONGEST_NAME,
}
LIMIT: Final[Shape] = {"minimum": 1, "maximum": MOST_PAGE}
SECONDS: Final[Shape] = _seconds(0.0)
TIMEOUT: Final[Shape] = _seconds(0.001)
VERSION: Final[Shape] = {"minimum": 1, "maximum": LARGEST_VERSION}
ETAG: Final[Shape] = {"pattern": r'^("[1-9][0-9]{0,17}"|\*)$'}
ANY_VERSION: Final[Shape] = {"pattern": r"^\*$"}
TYPES: Final[Shape] = {"pattern": f"^({_TYPE})(,({_TYPE}))*$"}
CURSOR: Final[Shape] = {"pattern": "^(0|[a-z0-9]{1,32}:[0-9]{1,18}(,[0-9]{1,18})*)$"}
LAST_CURSOR: Final[Shape] = {"pattern": f"{CURSOR['pattern']}|^$"}
"""Nothing is no cursor: some clients send the header before they have one."""


def maybe(extra: Shape, kind: str = "string") -> Shape:
    """Of a parameter that may be left out: there is no null in a URL or a header."""
    return {"one_of": None, "type": kind, **extra}


def shape(extra: Shape) -> Meta:
    """Of a struct's field: says it in the schema."""
    return Meta(extra_json_schema={"extra": extra})

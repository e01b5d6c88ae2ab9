"""Limits: how many sessions may live at once."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from insession.errors import ConfigurationError

MOST_OF_OWNER: Final = 1_000
MOST_OF_KIND: Final = 10_000_000


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """At most ``most`` live sessions, of each owner or of the whole kind.

    One too many is refused (``deny``), or makes room by an interrupt with the reason ``limit`` of the
    oldest, or of the least recently used (over a kind: of the one that is due first). What is due
    does not count: it expires then and there. An owner's limit is at most 1,000.
    """

    most: int
    over: Literal["owner", "kind"] = "owner"
    then: Literal["deny", "oldest", "least recently used"] = "deny"

    def __post_init__(self) -> None:
        if self.over not in {"owner", "kind"}:
            raise ConfigurationError("Limit.over: is 'owner' or 'kind'")
        if self.then not in {"deny", "oldest", "least recently used"}:
            raise ConfigurationError("Limit.then: is 'deny', 'oldest' or 'least recently used'")
        most = MOST_OF_OWNER if self.over == "owner" else MOST_OF_KIND
        if type(self.most) is not int or not 1 <= self.most <= most:
            raise ConfigurationError(f"Limit.most: is a whole number from 1 to {most}")

"""The fact that observers are told."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final, Literal

import msgspec
from msgspec.structs import force_setattr

from insession.errors import InvalidInput

from .keys import key_id_of

CREATED: Final = "created"
DESTROYED: Final = "destroyed"


class SessionEvent(msgspec.Struct, frozen=True):
    """A session was created or destroyed. Events are compared by value, and can be kept in sets.

    ``auth_key`` is the key as this process was given it; of what another process did, or nobody asked for (an expiry),
    there is the 64 bit ``auth_key_id`` alone. Both are None where sessions are known by ``session_id`` alone.
    """

    type: Literal["created", "destroyed"]
    session_id: int
    auth_key: Any = None
    auth_key_id: int | None = None

    def __post_init__(self) -> None:
        if self.type not in {CREATED, DESTROYED}:
            raise InvalidInput("type", "is 'created' or 'destroyed'")
        if self.auth_key is not None and self.auth_key_id is None:
            # A storage of somebody else's may know keys that we do not.
            with suppress(InvalidInput):
                force_setattr(self, "auth_key_id", key_id_of(self.auth_key))

    def __repr__(self) -> str:
        key = "" if self.auth_key_id is None else f", auth_key_id={self.auth_key_id}"
        return f"SessionEvent(type={self.type!r}, session_id={self.session_id}{key})"

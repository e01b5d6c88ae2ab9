"""What is known of one session."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any, Final

import msgspec

from insession.errors import InvalidInput
from insession.kernel.session import Session

FIELDS: Final = ("session_id", "auth_key_id", "first_msg_id", "node", "data")
"""What the data of a session holds, as a list without its empty end."""
OPTIONS: Final = frozenset({"first_msg_id", "node", "data"})
LONGEST_NODE: Final = 200


class SessionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one session. Times are seconds since the epoch.

    ``unique_id`` is new whenever the session is created again, and the same in every process: with ``first_msg_id`` it
    is what MTProto's ``new_session_created`` tells a client.
    """

    session_id: int
    auth_key_id: int | None
    created: float
    last_seen: float
    """Within the touch window: at most 5 % of the idle time and a minute old."""
    expires: float | None
    """When it is forgotten unless it is seen again; None: never."""
    unique_id: int
    first_msg_id: int | None
    node: str | None
    """The process or connection that serves it, as it was named."""
    data: Any
    """What the application keeps with it."""

    def __repr__(self) -> str:
        return f"SessionRecord(session_id={self.session_id}, auth_key_id={self.auth_key_id})"


def packed(session_id: int, key_id: int | None, options: dict[str, Any], node: str | None) -> list[Any]:
    """The data of a session, in as few bytes as it has content."""
    for name in options:
        if name not in OPTIONS:
            raise TypeError(f"a session is created with first_msg_id, node or data, not {name!r}")
    node = options.get("node", node)
    if node is not None and (not isinstance(node, str) or not 0 < len(node) <= LONGEST_NODE):
        raise InvalidInput("node", f"is a text of at most {LONGEST_NODE} characters")
    first = options.get("first_msg_id")
    if first is not None and (
        isinstance(first, bool) or not isinstance(first, int) or not -(1 << 63) <= first < 1 << 63
    ):
        raise InvalidInput("first_msg_id", "is a signed 64 bit number")
    return shortened([session_id, key_id, first, node, options.get("data")])


def shortened(content: list[Any]) -> list[Any]:
    """The list without what is None at its end."""
    while content[-1] is None:
        content.pop()
    return content


def content_of(data: Any) -> dict[str, Any]:
    """The data of a session by name."""
    return dict(zip(FIELDS, [*data, *[None] * (len(FIELDS) - len(data))], strict=True))


def record_of(session: Session, *, hidden: bool) -> SessionRecord:
    """What an engine's session says; ``hidden``: its owner is a digest, so that the key's id lies in the data."""
    content = content_of(session.data)
    if not hidden and session.owner is not None:
        content["auth_key_id"] = int(session.owner, 16)
    return SessionRecord(
        created=session.opened,
        last_seen=session.touched,
        expires=session.deadlines.idle,
        unique_id=unique_id(session.id, session.opened),
        **content,
    )


def unique_id(session_id: str, opened: float) -> int:
    """A signed 64 bit number that no other life of this session has. It is worked out, so that it takes no room."""
    return int.from_bytes(blake2b(f"{session_id}{opened!r}".encode(), digest_size=8).digest(), "big", signed=True)

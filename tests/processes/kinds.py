"""The kinds that these tests and their workers declare alike."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

import insession
from insession.kernel.clock import Clock, monotonic
from insession.kernel.limits import Limit


class Chat(msgspec.Struct):
    """What the old program keeps."""

    text: str

    def longer(self) -> Chat:
        return Chat(self.text + "x")


class Talk(msgspec.Struct):
    """What the new one keeps."""

    lines: list[str]

    def longer(self) -> Talk:
        return Talk([*self.lines, "y"])


CHAT: Final = {
    "old": insession.Kind("chat", data=Chat),
    "new": insession.Kind(
        "chat", data=insession.Data(Talk, version=2, upgrades={1: lambda data: {"lines": [data["text"]]}})
    ),
}
CHURN: Final = insession.Kind("churn", keep_count=1_000_000)
POLICIES: Final = ("deny", "oldest", "least recently used")
LIMIT: Final = 3
Hook = Callable[[insession.Session], Awaitable[object]]


def limited(policy: str) -> insession.Kind:
    """At most three for each owner; words of the policy may be joined."""
    then = policy.replace("_", " ")
    assert then in POLICIES
    return insession.Kind("limited", limits=(Limit(most=LIMIT, then=then),))  # type: ignore[arg-type]


def owned(hook: Hook | None) -> list[insession.Kind]:
    """A kind of each sort of recovery."""

    async def nothing(session: insession.Session) -> None:
        """Owners need a hook to be declared, and never call it."""

    return [
        insession.Kind("ends", recovery="end"),
        insession.Kind("keeps", recovery="keep"),
        insession.Kind("calls", recovery=hook or nothing),
    ]


def clock_ahead(seconds: float) -> Clock | None:
    """A clock that shows what it will be in a while, so that a node is taken for dead without the wait."""
    return Clock(time.time() - monotonic() + seconds) if seconds else None

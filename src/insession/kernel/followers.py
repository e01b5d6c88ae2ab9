"""Who hears of every ending of a kind as soon as this process does."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from typing import Any, Final, Protocol

from insession.kernel.record import State

_log: Final = logging.getLogger("insession.interrupts")


class Follower(Protocol):
    """Hears of endings, see `Engine.follow`."""

    def ended(self, session_id: str, state: State, reason: str | None, at: float) -> None:
        """A session ended, by anyone. Called on the loop's thread, at least once; it must not wait."""

    async def reload(self) -> None:
        """Endings may have been missed, because the log was trimmed: read anew what is held."""


class Followers:
    """The followers of one engine, by kind."""

    __slots__ = ("_by_kind",)

    def __init__(self) -> None:
        self._by_kind: dict[str, list[Follower]] = {}

    def __bool__(self) -> bool:
        return bool(self._by_kind)

    def add(self, kind: str, follower: Follower) -> Callable[[], None]:
        """Let it hear of every ending of a kind; what this returns ends that."""
        there = self._by_kind.setdefault(kind, [])
        there.append(follower)
        return partial(there.remove, follower)

    def tell(self, kind: str | None, ended: Iterable[str], state: State, reason: str | None, at: float) -> None:
        """Tell those of a kind; None: all, who know themselves which sessions they hold."""
        kinds = list(self._by_kind) if kind is None else (kind,)
        for follower in [one for name in kinds for one in self._by_kind.get(name, ())]:
            try:
                for session_id in ended:
                    follower.ended(session_id, state, reason, at)
            except Exception:
                _log.exception("a follower failed")

    def reloads(self) -> list[Coroutine[Any, Any, None]]:
        """What each has to do once endings may have been missed."""
        return [follower.reload() for there in self._by_kind.values() for follower in there]

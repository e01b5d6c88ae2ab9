"""Who hears of every ending of a kind as soon as this process does, and of its events as they are read."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from typing import Any, Final, Protocol

from insession.kernel.events import Event, EventType
from insession.kernel.record import State

_log: Final = logging.getLogger("insession.interrupts")


class Follower(Protocol):
    """Hears of endings, see `Engine.follow`."""

    def ended(self, session_id: str, state: State, reason: str | None, at: float) -> None:
        """A session ended, by anyone. Called on the loop's thread, at least once; it must not wait."""

    async def reload(self) -> None:
        """Endings may have been missed, because the log was trimmed: read anew what is held."""


class Listener(Protocol):
    """Hears events as they are read from the log, see `Engine.listen`."""

    def heard(self, event: Event) -> None:
        """An event, exactly once; it must not wait."""

    def missed(self) -> None:
        """The log was trimmed before it was read: events may have been missed."""


class Listeners:
    """The listeners of one engine, by kind."""

    __slots__ = ("_by_kind",)

    def __init__(self) -> None:
        self._by_kind: dict[str, list[tuple[Listener, frozenset[EventType]]]] = {}

    def add(self, kind: str, listener: Listener, types: frozenset[EventType]) -> Callable[[], None]:
        """Let it hear of these events of a kind; what this returns ends that."""
        there, entry = self._by_kind.setdefault(kind, []), (listener, types)
        there.append(entry)
        return partial(there.remove, entry)

    def tell(self, event: Event) -> None:
        """Tell those of the event's kind and type."""
        for listener, types in list(self._by_kind.get(event.kind, ())):
            if event.type in types:
                try:
                    listener.heard(event)
                except Exception:
                    _log.exception("a listener failed")

    def missed(self) -> None:
        """Tell all of them that events may have been missed."""
        for there in list(self._by_kind.values()):
            for listener, _ in list(there):
                listener.missed()


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

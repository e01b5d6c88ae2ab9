"""Turns whose session somebody else ends: they are cancelled."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from insession.errors import Closed, Expired, Interrupted, SessionEnded
from insession.kernel.record import State

_ERRORS = {State.INTERRUPTED: Interrupted, State.EXPIRED: Expired, State.CLOSED: Closed}


class _Running:
    """A turn that runs, and why its session ended."""

    __slots__ = ("error", "scope")

    def __init__(self, scope: anyio.CancelScope) -> None:
        self.scope: anyio.CancelScope = scope
        self.error: SessionEnded | None = None


class Endings:
    """The turns that run in this process, by the record of their session. A follower of its kind's endings."""

    def __init__(self) -> None:
        self._running: dict[str, _Running] = {}

    @asynccontextmanager
    async def following(self, record: str | None) -> AsyncIterator[None]:
        """A block that is cancelled when the session of a record ends, and then raises how it ended."""
        if record is None:
            yield
            return
        with anyio.CancelScope() as scope:
            mine = self._running[record] = _Running(scope)
            try:
                yield
            finally:
                if self._running.get(record) is mine:
                    del self._running[record]
        if mine.error is not None:
            raise mine.error

    def ended(self, session_id: str, state: State, reason: str | None, at: float) -> None:  # noqa: ARG002
        """See `insession.kernel.followers.Follower`."""
        running = self._running.get(session_id)
        if running is not None:
            running.error = _ERRORS.get(state, Interrupted)(session_id, reason)
            running.scope.cancel()

    async def reload(self) -> None:
        """See `insession.kernel.followers.Follower`. A turn whose session ended unheard is refused when it is saved."""

"""Turns whose session somebody else ends: they are cancelled."""

from __future__ import annotations

from collections.abc import Mapping

from insession.kernel.record import State
from insession.kernel.session import ended_as

from .driver import Visit


class Endings:
    """A follower of the endings of dialogue sessions, for the turns that run in this process."""

    def __init__(self, running: Mapping[str, Visit]) -> None:
        self._running = running

    def ended(self, session_id: str, state: State, reason: str | None, at: float) -> None:  # noqa: ARG002
        """See `insession.kernel.followers.Follower`."""
        visit = self._running.get(session_id)
        if visit is not None:
            visit.cancel(ended_as(session_id, state, reason))

    async def reload(self) -> None:
        """See `insession.kernel.followers.Follower`. A turn whose session ended unheard is refused when it is saved."""

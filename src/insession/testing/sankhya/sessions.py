"""The sessions that live at the double, and those that died there."""

from __future__ import annotations

import asyncio
import secrets
import time
from dataclasses import dataclass, field
from datetime import datetime

from .counters import Tally
from .settings import DoubleSettings


@dataclass(slots=True)
class Live:
    """A session of the service."""

    id: str = field(repr=False)
    user_agent: str
    host: str
    began: float
    touched: float
    began_wall: datetime
    requests: int = 0
    under_way: int = 0
    connections: set[asyncio.BaseTransport] = field(default_factory=set, repr=False)
    pagers: dict[str, list[dict[str, object]]] = field(default_factory=dict, repr=False)
    file_keys: dict[str, str] = field(default_factory=dict, repr=False)


class Sessions:
    """Opens and ends them."""

    def __init__(self, settings: DoubleSettings, tally: Tally) -> None:
        self._settings = settings
        self._tally = tally
        self.live: dict[str, Live] = {}

    def begin(self, user_agent: str, host: str) -> Live | None:
        """A new one; None if there is no room."""
        self._sweep()
        limit = self._settings.max_sessions
        if limit is not None and len(self.live) >= limit:
            if self._settings.limit_policy == "refuse":
                return None
            self.end(min(self.live.values(), key=lambda one: one.began).id, "evictions")
        now = time.monotonic()
        wall = datetime.now().astimezone()
        session = Live(f"{secrets.token_hex(16)}.master", user_agent, host, now, now, wall)
        self.live[session.id] = session
        self._tally.highest("peak_live_sessions", len(self.live))
        return session

    def use(self, id: str) -> Live | None:
        """The session for one more request; None if it is dead."""
        session = self.live.get(id)
        if session is None:
            return None
        now = time.monotonic()
        most = self._settings.session_max_requests
        if now - session.touched > self._settings.idle_timeout or (most is not None and session.requests >= most):
            self.end(id, "expirations")
            return None
        session.touched = now
        session.requests += 1
        return session

    def end(self, id: str, counted: str) -> bool:
        """End one, counted as ``logouts``, ``expirations``, ``evictions`` or ``kills``; False if it is dead already."""
        if self.live.pop(id, None) is None:
            return False
        self._tally.add(counted)
        return True

    def expire(self, id: str | None = None) -> int:
        """Let one die, or all; how many did."""
        return sum(self.end(one, "expirations") for one in ([id] if id else list(self.live)))

    @property
    def orphans(self) -> int:
        """Live ones whose connections have all ended."""
        return sum(all(each.is_closing() for each in list(one.connections)) for one in list(self.live.values()))

    def _sweep(self) -> None:
        last = time.monotonic() - self._settings.idle_timeout
        for session in [one for one in self.live.values() if one.touched < last]:
            self.end(session.id, "expirations")

"""One session that the pool holds: where it stands, and what may happen to it."""

from __future__ import annotations

import asyncio
import enum
from collections import deque
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final
from uuid import UUID

from insession.errors import InsessionError
from insession.kernel.permits import Permit

from .contracts import Ticket

if TYPE_CHECKING:
    from .register import Row

LEEWAY: Final = 60.0
LEEWAY_PART: Final = 0.2
"""A session that dies at a known time is renewed so long before, at most that part of its life."""


class SessionState(enum.StrEnum):
    """Where a held session stands."""

    DISCONNECTED = "disconnected"
    AUTHENTICATING = "authenticating"
    CONNECTED = "connected"
    EXECUTING = "executing"
    RECONNECTING = "reconnecting"
    ERROR = "error"


_S = SessionState
TRANSITIONS: Final[Mapping[SessionState, frozenset[SessionState]]] = MappingProxyType(
    {
        _S.DISCONNECTED: frozenset({_S.AUTHENTICATING}),
        _S.AUTHENTICATING: frozenset({_S.CONNECTED, _S.ERROR}),
        _S.CONNECTED: frozenset({_S.EXECUTING, _S.DISCONNECTED}),
        _S.EXECUTING: frozenset({_S.CONNECTED, _S.RECONNECTING, _S.DISCONNECTED}),
        _S.RECONNECTING: frozenset({_S.CONNECTED, _S.ERROR, _S.DISCONNECTED}),
        _S.ERROR: frozenset({_S.AUTHENTICATING, _S.DISCONNECTED}),
    }
)
"""Every transition that there is."""
Watch = Callable[[UUID, SessionState, SessionState], object]


class Held:
    """A session at the service under our name, the token. Only its pool changes it."""

    def __init__(self, token: UUID, watch: Watch, *, shared: bool) -> None:
        self.token: UUID = token
        self.shared: bool = shared
        """Whether it serves those who borrow a session."""
        self.kept: bool = False
        """Whether somebody asked for it by name, so that it does not end by itself."""
        self.state: SessionState = SessionState.DISCONNECTED
        self.ticket: Ticket | None = None
        self.generation: int = 0
        """How many logins it has had, in whatever process."""
        self.turn: asyncio.Lock = asyncio.Lock()
        """Held while a call is under way: the service sees one at a time."""
        self.renewing: asyncio.Task[InsessionError | None] | None = None
        self.row: Row | None = None
        self.permit: Permit | None = None
        self.over: bool = False
        self.stale: bool = False
        """Somebody else logs it out, or has: it is renewed before it is used again."""
        self.used: float = 0.0
        self.dies: float | None = None
        self.answers: int = 0
        """Calls that were answered in this generation."""
        self.born: float = 0.0
        self.failures: int = 0
        self.not_before: float = 0.0
        """A renewal that failed is not tried again before."""
        self.short_lives: deque[float] = deque()
        self.denied: tuple[str, float] | None = None
        """What was denied right after a renewal, and when: no sign of a dead session."""
        self._watch = watch

    def __repr__(self) -> str:
        return f"<Held {self.token} {self.state}>"

    def move(self, to: SessionState) -> None:
        """Go from one state to another; an `AssertionError` for what cannot happen."""
        if to is self.state:
            return
        if to not in TRANSITIONS[self.state]:
            raise AssertionError(f"a session does not go from {self.state} to {to}")
        before, self.state = self.state, to
        self._watch(self.token, before, to)

    def rest(self) -> None:
        """A call is over, and the session lives."""
        if self.state is SessionState.EXECUTING:
            self.move(SessionState.CONNECTED)

    def fail(self) -> None:
        """It is dead, and was not renewed."""
        self.stale = True
        if self.state is SessionState.EXECUTING:
            self.move(SessionState.RECONNECTING)
        if self.state in {SessionState.RECONNECTING, SessionState.AUTHENTICATING}:
            self.move(SessionState.ERROR)

    def leave(self) -> None:
        """It is over: go to the end by the transitions that there are."""
        self.over = True
        if self.state is SessionState.AUTHENTICATING:
            self.move(SessionState.ERROR)
        if self.state is not SessionState.DISCONNECTED:
            self.move(SessionState.DISCONNECTED)

    def begin(self, ticket: Ticket, now: float) -> None:
        """It was logged in: a new generation."""
        self.ticket, self.stale = ticket, False
        self.generation += 1
        self.answers, self.failures, self.not_before = 0, 0, 0.0
        self.resumed(now)
        life = ticket.expires
        self.dies = None if life is None else now + life - min(LEEWAY, life * LEEWAY_PART)

    def resumed(self, now: float) -> None:
        """It is known to live now."""
        self.born = self.used = now

    def worn(self, now: float, idle: float | None) -> bool:
        """Whether it is to be renewed before it is used: idle for too long, or near the end of its life."""
        return (bool(idle) and now - self.used > (idle or 0.0)) or (self.dies is not None and now >= self.dies)

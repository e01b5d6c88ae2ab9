"""What the commands ask for, whoever answers: an engine over a store, or a service over HTTP."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from insession.kernel.events import Event
from insession.kernel.upkeep import Stats
from insession.service.log import Logged
from insession.service.wire import Ending, LockList, OpenSession, SessionList, SessionView


class Client(Protocol):
    """Sessions as a command sees them. Fails with the errors of insession, or with `ServiceProblem`."""

    where: str
    """What is asked: a URL without its password."""

    async def find(
        self, *, kind: str | None, owner: str | None, node: str | None, state: str, cursor: str | None, limit: int
    ) -> SessionList:
        """A page of sessions, without their data; ``state`` may be ``any``."""

    async def get(self, session_id: str) -> SessionView:
        """One session with its data."""

    async def history(self, session_id: str) -> list[Event]:
        """What the log still knows of a session, oldest first."""

    async def open(self, wanted: OpenSession) -> SessionView:
        """Open a session."""

    async def touch(self, session_id: str) -> SessionView:
        """The other party was active."""

    async def close(self, session_id: str, reason: str) -> Ending:
        """End one session in good order."""

    async def interrupt(self, session_id: str, reason: str, wait: float | None) -> Ending:
        """End one session and stop its work."""

    async def interrupt_all(self, kind: str | None, owner: str | None, reason: str) -> int:
        """End all sessions, of a kind or an owner if given; how many."""

    async def stats(self) -> Stats:
        """Numbers of the store, and of the process that answers."""

    async def locks(self, prefix: str, *, cursor: str | None, limit: int) -> LockList:
        """A page of locks that somebody holds or waits for."""

    async def nodes(self) -> list[SessionView]:
        """The processes that own work now."""

    async def erase(self, owner: str) -> int:
        """End and remove everything of an owner; how much was removed."""

    def events(self, after: str | None, types: Collection[str] | None, *, follow: bool) -> AsyncGenerator[Logged, None]:
        """The log after a cursor (None: from now on); it ends where the log ends unless it is followed."""


Opened = AbstractAsyncContextManager[Client]
"""What a target gives: a client, closed at the end of the block."""

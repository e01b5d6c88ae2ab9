"""What the commands ask for, whoever answers: an engine over a store, or a service over HTTP."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from insession.kernel.events import Event
from insession.service.log import Logged
from insession.service.wire import Ending, SessionList, SessionView


class Client(Protocol):
    """Sessions as a command sees them. Fails with the errors of insession, or with `ServiceProblem`."""

    where: str
    """What is asked: a URL without its password."""

    async def find(
        self, *, kind: str | None, owner: str | None, state: str, cursor: str | None, limit: int
    ) -> SessionList:
        """A page of sessions, without their data; ``state`` may be ``any``."""

    async def get(self, session_id: str) -> SessionView:
        """One session with its data."""

    async def history(self, session_id: str) -> list[Event]:
        """What the log still knows of a session, oldest first."""

    async def interrupt(self, session_id: str, reason: str, wait: float | None) -> Ending:
        """End one session and stop its work."""

    async def interrupt_all(self, kind: str | None, owner: str | None, reason: str) -> int:
        """End all sessions, of a kind or an owner if given; how many."""

    def events(self, after: str | None, types: Collection[str] | None, *, follow: bool) -> AsyncGenerator[Logged, None]:
        """The log after a cursor (None: from now on); it ends where the log ends unless it is followed."""


Opened = AbstractAsyncContextManager[Client]
"""What a target gives: a client, closed at the end of the block."""

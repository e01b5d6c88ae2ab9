"""What a storage and an observer are: the shapes that the document describes. Nobody has to inherit from them.

A storage of the document's first form takes ``session_id`` alone; one of the later form takes an auth key before it. A
storage may answer whether its call changed anything (a bool); None means that it does not say, and the subject then
looks first.
"""

from __future__ import annotations

from typing import Any, NewType, Protocol

from .event import SessionEvent

long = NewType("long", int)
"""A session id: a signed 64 bit number that the client chooses."""


class SessionStorageProtocol(Protocol):
    """Where the ids of existing sessions are kept."""

    async def create_session(self, session_id: long) -> Any:
        """Keep a new session; one that exists stays as it is."""

    async def has_session(self, session_id: long) -> bool:
        """Whether a session is kept."""

    async def destroy_session(self, session_id: long) -> Any:
        """Keep a session no more; one that is unknown is no error."""


class KeyedSessionStorageProtocol(Protocol):
    """The same where a session is known by its auth key and its id together."""

    async def create_session(self, auth_key: Any, session_id: long) -> Any:
        """Keep a new session; one that exists stays as it is."""

    async def has_session(self, auth_key: Any, session_id: long) -> bool:
        """Whether a session is kept."""

    async def destroy_session(self, auth_key: Any, session_id: long) -> Any:
        """Keep a session no more; one that is unknown is no error."""


class SessionObserverProtocol(Protocol):
    """Who wants to hear that sessions begin and end."""

    async def update(self, event: SessionEvent) -> Any:
        """A session began or ended. A plain function will do; what it raises is logged and reaches nobody else."""

"""What a connector is."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Any

from insession.exchange.connection.connection import ConnectionAbstract
from insession.exchange.contracts import Id
from insession.exchange.options import StarterOptions
from insession.exchange.outcomes import Outcome

if TYPE_CHECKING:
    from insession.exchange.session import Session


class SessionConnectorAbstract(abc.ABC):
    """Everything between a `Session` and the platform: connection, protocol, and whom files are handed to.

    One of your own is a subclass with the four verbs, named to `SessionConnectorFactory.use`. From the session it has
    ``settings``, ``desk``, ``dialect`` and ``tell``, and nothing else is asked of it: `wait` and `stop` rest on
    ``_platform_connection`` and ``outcome`` unless they are written anew.
    """

    def __init__(self, session: Session) -> None:
        self._session: Session = session
        self._platform_connection: ConnectionAbstract | None = None
        self.outcome: Outcome | None = None
        """How it ended; None while it goes on."""

    @property
    def session_id(self) -> Id | None:
        """What the platform calls the session; None before that is known."""
        return None

    @abc.abstractmethod
    async def start(self, options: StarterOptions) -> None:
        """Join the active session, or start one; returns when files may come.

        Raises `StartSessionError` and `AuthRefused` (then it is disconnected), `ConnectFailed`, `StepTimedOut`.
        """

    @abc.abstractmethod
    async def abort(self, message: str = "") -> None:
        """Abort the session, also from a process that does not serve it; returns when the platform confirmed it.

        Raises `AbortRefused` and `AbortTimedOut`; the session then goes on.
        """

    @abc.abstractmethod
    async def reconnect(self) -> None:
        """Join the active session, from a new process too. Raises `SessionNotExistError`, and what `start` raises."""

    @abc.abstractmethod
    async def send_file(self, epicrisis: Any, answer: object) -> None:
        """Send the answer to a file of this session, which is named by its epicrisis or its id.

        Raises `SessionEssayNotCorrectError` where it is none, and `SessionNotStarted`.
        """

    async def wait(self) -> Outcome:
        """Wait until the session, or serving it, has ended; how.

        Raises `SessionServed` where another process took the session over, because this one stood still too long.
        """
        if self._platform_connection is not None:
            await self._platform_connection.wait()
        return self.outcome or Outcome.STOPPED

    async def stop(self) -> None:
        """Stop serving and leave the session to whoever reconnects to it."""
        self.outcome = self.outcome or Outcome.STOPPED
        if self._platform_connection is not None:
            await self._platform_connection.disconnect()

"""What a connection to the platform is. Its users know events and payloads, and no transport."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any, Self

Handler = Callable[..., Any]
"""Takes an event's payload. What it returns is awaited, if it can be."""


class Connect(abc.ABC):
    """What hears events and says them."""

    @abc.abstractmethod
    def on(self, event: str, fn: Handler) -> Self:
        """Let a function hear an event; one for each event, a later one takes its place."""

    @abc.abstractmethod
    async def emit(self, event: str, data: object = None, callback: Handler | None = None) -> Self:
        """Hand an event to the line; ``callback`` hears the platform's acknowledgement of socket.io, if one comes.

        Raises `NotConnectedError`, and `AnswerTooLarge` where the server would cut the line at it.
        """


class ConnectionAbstract(Connect):
    """A connection that is kept up until `disconnect`, over as many lines as that takes.

    Beside the platform's events there are two of its own: ``connect``, each time a line stands, before anything that
    came over it, and ``disconnect`` with a reason, each time one is gone. Handlers are called one after another, in
    the order in which things happened. ``*`` hears every event that has no handler of its own: the event's name comes
    first.
    """

    @abc.abstractmethod
    def is_connected(self) -> bool:
        """Whether a line stands now, as far as anybody can know."""

    @abc.abstractmethod
    async def connect(self) -> Self:
        """Make the first line, and keep lines up from then on. Raises `ConnectFailed` and `ConnectTimedOut`."""

    @abc.abstractmethod
    async def disconnect(self) -> Self:
        """Bring out what was handed over, and close for good. Closing what is closed changes nothing."""

    @abc.abstractmethod
    async def wait(self) -> Self:
        """Wait until it is closed for good."""

    @abc.abstractmethod
    def halt(self) -> None:
        """Make no new line when this one is gone: the platform does not want us."""

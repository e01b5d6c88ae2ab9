"""What a message goes through before the dialogue hears it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from insession.errors import ConfigurationError

from .session import Session

Next = Callable[[Session], Awaitable[Session]]
"""The rest of the way."""
PipeFunction = Callable[[Session, Next], Awaitable[Session]]


class PipeObject(Protocol):
    """A pipe as an object."""

    async def handle(self, session: Session, next: Next, /) -> Session:  # noqa: A002 - the document's word
        """Do something, let the rest of the way be gone by ``await next(session)`` or not, give the session back."""


Pipe = PipeFunction | PipeObject
"""A pipe: ``async def pipe(session, next)``, or an object with such a ``handle``.

It may stop the message by not calling ``next``, work before and after it, and replace replies. It gives the session
back, and calls ``next`` at most once.
"""


async def through(pipes: Sequence[Pipe], session: Session) -> None:
    """Send a turn through the pipes, in their order, and then let the dialogue hear it."""
    await _step(pipes, 0, session)


async def _step(pipes: Sequence[Pipe], place: int, session: Session) -> Session:
    if place == len(pipes):
        await session.dialog.hear()
        return session
    pipe = pipes[place]
    name = getattr(pipe, "__name__", type(pipe).__name__)
    gone = False

    async def onwards(one: Session) -> Session:
        nonlocal gone
        if gone:
            raise ConfigurationError(f"pipe {name} called next twice")
        if one is not session:
            raise ConfigurationError(f"pipe {name} called next with something else than its session")
        gone = True
        return await _step(pipes, place + 1, session)

    session.tracker.note(f"pipe {name}")
    handle: PipeFunction = pipe if callable(pipe) else pipe.handle
    if await handle(session, onwards) is not session:
        raise ConfigurationError(f"pipe {name} returned something else than its session; end it with `return session`")
    return session

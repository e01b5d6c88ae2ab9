"""What a message goes through before the dialogue hears it."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Protocol

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


def check_pipes(pipes: object) -> tuple[Pipe, ...]:
    """The pipes of a dialogue; `ConfigurationError` says which of them is none."""
    if isinstance(pipes, str) or not isinstance(pipes, Iterable):
        raise ConfigurationError("pipes: is a list of functions and objects")
    found: tuple[Any, ...] = tuple(pipes)
    for place, pipe in enumerate(found):
        if isinstance(pipe, type):
            raise ConfigurationError(f"pipes[{place}]: is the class {pipe.__name__}; give an object of it")
        if not callable(pipe) and not callable(getattr(pipe, "handle", None)):
            raise ConfigurationError(f"pipes[{place}]: is a function, or an object with handle, of (session, next)")
    return found


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
    answer: object = handle(session, onwards)
    if not inspect.isawaitable(answer):
        raise ConfigurationError(f"pipe {name} is no async function")
    back: object = await answer
    if back is not session:
        raise ConfigurationError(f"pipe {name} returned something else than its session; end it with `return session`")
    return session

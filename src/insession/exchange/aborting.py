"""Aborting a session that another process serves: asked for through the store, done by who has the line.

Who wants the end puts a message under the session and interrupts it (`ask`). Who serves it hears of that
(`when_asked`), aborts at the platform, and puts what the platform said where the other looks for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from insession.kernel.record import State
from insession.kernel.session import Session

from .errors import AbortRefused, AbortTimedOut, ExchangeError
from .looking import is_served
from .outcomes import Outcome

__all__ = ["REASON", "ask", "when_asked"]
REASON: Final = Outcome.CLIENT_ABORT.value
_ASKED: Final = "abort/asked"
_ANSWERED: Final = "abort/answered"
_LOOK: Final = 0.1
_LOOK_AROUND: Final = 1.0
_LAST_WORD: Final = 2.0


class _Asked(msgspec.Struct, frozen=True):
    """What is said to the platform."""

    message: str = ""


class _Answered(msgspec.Struct, frozen=True):
    """What came of it: nothing wrong, or the platform's refusal, or no answer of the platform in so many seconds."""

    problem: str | None = None
    refused: bool = False
    seconds: float = 0.0


async def ask(session: Session, message: str, wait: float) -> bool:
    """Have the session aborted by the process that serves it; returns when the platform has confirmed it.

    False: nobody serves it any more, and nothing is aborted. Raises `AbortRefused`, and `AbortTimedOut` where there is
    no word of it within ``wait`` seconds.
    """
    await session.items.delete(_ANSWERED)
    await session.items.put(_ASKED, msgspec.to_builtins(_Asked(message)))
    await session.interrupt(REASON)
    loop = asyncio.get_running_loop()
    until, look = loop.time() + wait, loop.time() + _LOOK_AROUND
    while loop.time() < until:
        if (found := await session.items.get(_ANSWERED)) is not None:
            _raise(msgspec.convert(found.data, _Answered))
            return True
        if loop.time() > look:
            # One that was killed seems to serve until its lease has run out.
            if not await is_served(session):
                return False
            look = loop.time() + _LOOK_AROUND
        await asyncio.sleep(_LOOK)
    raise AbortTimedOut(wait)


async def when_asked(session: Session, abort: Callable[[str], Awaitable[None]]) -> bool:
    """Wait until somebody asks for the session's abort, and have it done; returns when the platform confirmed it.

    What fails is told to who asked, the session goes on, and the next who asks is waited for. False where the session
    ends in another way.
    """
    await session.wait_interrupted()
    await session.refresh()
    if session.state is not State.INTERRUPTED:
        return False
    while not await _answered(session, abort):
        # The record has ended, so that no event tells of the next question.
        while await session.items.get(_ASKED) is None:  # noqa: ASYNC110 - it is another process that asks
            await asyncio.sleep(_LOOK_AROUND)
    return True


async def _answered(session: Session, abort: Callable[[str], Awaitable[None]]) -> bool:
    answering = asyncio.ensure_future(_answer(session, abort))
    try:
        return await asyncio.shield(answering)
    except asyncio.CancelledError:
        # The abort ends the session, and with it whoever waits here; the other terminal still waits for its answer.
        await asyncio.wait({answering}, timeout=_LAST_WORD)
        raise


async def _answer(session: Session, abort: Callable[[str], Awaitable[None]]) -> bool:
    found = await session.items.get(_ASKED)
    asked = _Asked() if found is None else msgspec.convert(found.data, _Asked)
    try:
        await abort(asked.message)
    except AbortRefused as error:
        answered = _Answered(error.message, refused=True)
    except AbortTimedOut as error:
        answered = _Answered(str(error), seconds=error.seconds)
    except ExchangeError as error:
        answered = _Answered(str(error))
    else:
        answered = _Answered()
    await session.items.delete(_ASKED)
    await session.items.put(_ANSWERED, msgspec.to_builtins(answered))
    return answered.problem is None


def _raise(answered: _Answered) -> None:
    if answered.problem is None:
        return
    if answered.refused:
        raise AbortRefused(answered.problem)
    if answered.seconds:
        raise AbortTimedOut(answered.seconds)
    raise ExchangeError(answered.problem)

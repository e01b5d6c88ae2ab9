"""Aborting a session that another process serves: asked for through the store, done by who has the line.

Who wants the end puts a message under the session (`ask`). Who serves it looks for one (`heed`), aborts at the
platform, and puts what the platform said where the other looks for it. The record is not touched: the platform may
refuse, and then the session goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from insession.kernel.session import Session

from .errors import AbortRefused, AbortTimedOut, ExchangeError
from .looking import is_served

__all__ = ["LOOK_AROUND", "ask", "heed"]
LOOK_AROUND: Final = 1.0
"""Who serves looks so often (seconds) whether its session is to be aborted."""
_ASKED: Final = "abort/asked"
_ANSWERED: Final = "abort/answered"
_LOOK: Final = 0.1
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
    # It outlives nobody who waits for it: who joins the session later is not to abort it.
    await session.items.put(_ASKED, msgspec.to_builtins(_Asked(message)), expires=wait + LOOK_AROUND)
    try:
        return await _heard(session, wait)
    finally:
        await session.items.delete(_ASKED)


async def _heard(session: Session, wait: float) -> bool:
    loop = asyncio.get_running_loop()
    until, look = loop.time() + wait, loop.time() + LOOK_AROUND
    while loop.time() < until:
        if (found := await session.items.get(_ANSWERED)) is not None:
            _raise(msgspec.convert(found.data, _Answered))
            return True
        if loop.time() > look:
            # One that was killed seems to serve until its lease has run out.
            if not await is_served(session):
                return False
            look = loop.time() + LOOK_AROUND
        await asyncio.sleep(_LOOK)
    raise AbortTimedOut(wait)


async def heed(session: Session, abort: Callable[[str], Awaitable[None]]) -> bool:
    """Abort the session if somebody asks for that; whether the platform confirmed it.

    What fails is told to who asked, and the session goes on.
    """
    found = await session.items.get(_ASKED)
    if found is None:
        return False
    answering = asyncio.ensure_future(_answer(session, abort, msgspec.convert(found.data, _Asked)))
    try:
        return await asyncio.shield(answering)
    except asyncio.CancelledError:
        # The abort ends the session, and with it whoever waits here; the other terminal still waits for its answer.
        await asyncio.wait({answering}, timeout=_LAST_WORD)
        raise


async def _answer(session: Session, abort: Callable[[str], Awaitable[None]], asked: _Asked) -> bool:
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

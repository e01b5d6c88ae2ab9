"""Serving a session from the command line: to its end, to a signal, or to an abort from another terminal."""

from __future__ import annotations

import asyncio
import logging
import os
import shlex
import sys
from collections.abc import Awaitable, Callable
from typing import Final

from insession.cli.call import Call
from insession.cli.codes import tell
from insession.errors import InsessionError
from insession.exchange.debuglog import NAME
from insession.exchange.errors import AuthRefused, ExchangeError, SessionServed, SessionTimedOut, StartSessionError
from insession.exchange.outcomes import Outcome
from insession.exchange.session import Session
from insession.exchange.settings import ExchangeSettings
from insession.exchange.solutions import Command, Solver

from .codes import of_error, of_report
from .options import Flags, isolation_of, resuming
from .solving import solver_from
from .stopping import Stop, stopping
from .watching import Watching

Begin = Callable[[Session], Awaitable[None]]
_HAND_OVER: Final = 1.0
"""Seconds beside the drain's own that stopping may take before it is given up: the last line may not come late."""


async def serve(call: Call, settings: ExchangeSettings, flags: Flags, begin: Begin, *, total: int | None = None) -> int:
    """Begin a session and serve it; the exit code.

    Args:
        call: The command.
        settings: Those of the session.
        flags: The options that the command was given.
        begin: How it begins: by a start, or by joining.
        total: How many files were asked for.
    """
    solver, again = solver_from(settings, isolation_of(flags)), resuming(flags)
    logger = logging.getLogger(NAME)
    logger.addFilter(_is_of_no_session)
    watching = Watching(call.display, settings, record=flags["record"], report=flags["report"], total=total)
    try:
        with watching:
            outcome = await _served(settings, solver, begin, watching, again, as_json=call.display.as_json)
    except ExchangeError as error:
        return _failed(error, watching, again)
    except InsessionError:
        _end(watching, again)
        raise
    finally:
        logger.removeFilter(_is_of_no_session)
    watching.report.outcome = outcome
    _end(watching, again)
    return of_report(watching.report, outcome, answers=solver is not None)


def _failed(error: ExchangeError, watching: Watching, again: list[str]) -> int:
    """Say what failed, and the report; the exit code."""
    if isinstance(error, SessionServed):
        # It is another's to go on with: nothing is said of how.
        watching.end()
        return of_error(error)
    watching.report.outcome = watching.report.outcome or _outcome_of(error)
    code = of_error(error)
    _end(watching, again)
    return code


def _is_of_no_session(record: logging.LogRecord) -> bool:
    """What happens in a session is said by `Watching`; a solution's failure, or a store that is away, by the log."""
    return not hasattr(record, "exchange")


async def _served(
    settings: ExchangeSettings,
    solver: Solver | None,
    begin: Begin,
    watching: Watching,
    again: list[str],
    *,
    as_json: bool,
) -> Outcome:
    session = Session(
        settings,
        solution=solver,
        on_event=watching.tell,
        on_wire=watching.wire,
        # Standard output is for the events and the report then.
        debug_stream=sys.stderr if as_json else None,
    )
    async with stopping() as stop, session:
        serving = asyncio.ensure_future(_whole(session, begin))
        asked = asyncio.ensure_future(stop.asked.wait())
        try:
            await asyncio.wait({serving, asked}, return_when=asyncio.FIRST_COMPLETED)
            if serving.done():
                return serving.result()
            return await _stopped(session, serving, settings, stop, lambda: _leave(watching, again, solver))
        finally:
            for task in (serving, asked):
                task.cancel()
            await asyncio.wait({serving, asked})


async def _whole(session: Session, begin: Begin) -> Outcome:
    await begin(session)
    return await session.wait()


async def _stopped(
    session: Session,
    serving: asyncio.Future[Outcome],
    settings: ExchangeSettings,
    stop: Stop,
    leave: Callable[[], None],
) -> Outcome:
    """End in good order, within the stated time; at the second signal at once."""
    tell(f"{stop.said}: finishing what is in hand, at most {settings.drain_timeout:g} s; once more stops at once")
    ending = asyncio.ensure_future(_ended(session, serving))
    again = asyncio.ensure_future(stop.again.wait())
    longest = settings.drain_timeout + settings.flush_timeout + _HAND_OVER
    done, _ = await asyncio.wait({ending, again}, timeout=longest, return_when=asyncio.FIRST_COMPLETED)
    if ending in done:
        again.cancel()
        return ending.result()
    leave()
    return Outcome.STOPPED


async def _ended(session: Session, serving: asyncio.Future[Outcome]) -> Outcome:
    try:
        await session.stop()
        # The session may have ended meanwhile, and then says how.
        return await serving
    except (ExchangeError, asyncio.CancelledError):
        return Outcome.STOPPED


def _leave(watching: Watching, again: list[str], solver: Solver | None) -> None:
    """End the process. Whatever hangs is not waited for: the journal holds what it holds at each moment."""
    if isinstance(solver, Command):
        solver.kill()
    watching.__exit__(None, None, None)
    watching.report.outcome = Outcome.STOPPED
    _end(watching, again)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(Outcome.STOPPED.exit_code)


def _outcome_of(error: ExchangeError) -> Outcome | None:
    if isinstance(error, AuthRefused | StartSessionError):
        return Outcome.REFUSED
    return Outcome.LOST if isinstance(error, SessionTimedOut) else None


def _end(watching: Watching, again: list[str]) -> None:
    """The report, and how to go on where that makes sense: the last that is said."""
    report = watching.report
    resume = None
    if report.session_id is not None and (report.outcome is None or not report.outcome.final):
        resume = shlex.join(["insession", "exchange", "reconnect", *again])
    watching.end(**({} if resume is None else {"resume": resume}))
    if resume is not None:
        waiting = len(report.open)
        held = f"; {waiting} files are journaled and not settled" if waiting else ""
        tell(f"session {report.session_id} lives on at the platform{held}. Go on with: {resume}")

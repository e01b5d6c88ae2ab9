"""Exit codes of ``insession exchange``: the one place that says what each means.

How a session ended decides (`insession.exchange.outcomes`), else the error. A session that finished and left files
without an acknowledged answer says so by a code of its own.
"""

from __future__ import annotations

from typing import Final

from insession.cli.codes import ENDED, ERROR, NOT_ALLOWED, NOT_FOUND, OK, UNAVAILABLE, USAGE, failed, tell
from insession.exchange.errors import (
    AbortRefused,
    AuthRefused,
    ExchangeError,
    NotConnectedError,
    SessionNotExistError,
    SessionNotStarted,
    SessionServed,
    SessionTimedOut,
    StartSessionError,
    StepTimedOut,
    UnsupportedServer,
)
from insession.exchange.outcomes import EXIT_CODES, Outcome
from insession.exchange.report import Report

INCOMPLETE: Final = 15
"""The platform closed the session in good order, and files have no acknowledged answer."""
OF_ERRORS: Final[dict[type[ExchangeError], int]] = {
    AuthRefused: EXIT_CODES[Outcome.REFUSED],
    StartSessionError: EXIT_CODES[Outcome.REFUSED],
    AbortRefused: NOT_ALLOWED,
    SessionNotExistError: NOT_FOUND,
    SessionNotStarted: NOT_FOUND,
    SessionServed: ENDED,
    SessionTimedOut: EXIT_CODES[Outcome.LOST],
    UnsupportedServer: ERROR,
    NotConnectedError: UNAVAILABLE,
    StepTimedOut: UNAVAILABLE,
}
"""The first that an error is an instance of."""
MEANINGS: Final = {
    OK: "the platform closed the session (finish), each file that came is acknowledged; or the command is done",
    ERROR: "an error; a check that found something; a replay with files that were not solved",
    USAGE: "wrong usage, or settings that cannot be taken",
    NOT_FOUND: "there is no active session",
    ENDED: "another process serves the session",
    UNAVAILABLE: "the platform or the store was not reached, or did not answer in time",
    NOT_ALLOWED: "the platform refused to abort the session",
    EXIT_CODES[Outcome.TIMEOUT_CLOSE]: "the platform closed the session because its time was over (timeout-close)",
    EXIT_CODES[Outcome.SESSION_ABORT]: "the platform aborted the session (session-abort)",
    EXIT_CODES[Outcome.CLIENT_ABORT]: "we aborted it while it was served (client-abort)",
    EXIT_CODES[Outcome.REFUSED]: "the platform refused the token, or the start (refused)",
    EXIT_CODES[Outcome.LOST]: "it ended without a word, or did not end in its time (lost)",
    INCOMPLETE: "finish, and files without an acknowledged answer",
    EXIT_CODES[Outcome.STOPPED]: "stopped by Ctrl-C or SIGTERM; the session lives on, and reconnect goes on with it",
}
EPILOG: Final = "Exit codes: " + "; ".join(f"{code} {meaning}" for code, meaning in sorted(MEANINGS.items())) + "."


def of_report(report: Report, outcome: Outcome, *, answers: bool = True) -> int:
    """The code of a session that was served.

    Args:
        report: What became of its files.
        outcome: How it ended.
        answers: Whether its files were to be answered.
    """
    if outcome is Outcome.FINISH and answers and any(one.state != "acknowledged" for one in report.files.values()):
        return INCOMPLETE
    return outcome.exit_code


def of_error(error: ExchangeError) -> int:
    """Say what failed; its code."""
    for kind, code in OF_ERRORS.items():
        if isinstance(error, kind):
            tell(str(error))
            return code
    return failed(error)

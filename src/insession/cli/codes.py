"""How a command ends: its exit code, and the one sentence on standard error where it failed."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Final

from insession.errors import InsessionError
from insession.service.problems import Problem, problem_of

from .text import printable

OK: Final = 0
ERROR: Final = 1
USAGE: Final = 2
NOT_FOUND: Final = 3
ENDED: Final = 4
UNAVAILABLE: Final = 5
NOT_ALLOWED: Final = 6
STOPPED: Final = 130
"""What a shell says of a program that Ctrl-C stopped: 128 and the number of the signal."""
OF_PROBLEMS: Final = {
    "invalid-input": USAGE,
    "configuration": USAGE,
    "session-not-found": NOT_FOUND,
    "session-ended": ENDED,
    "conflict": ENDED,
    "store-unavailable": UNAVAILABLE,
    "overloaded": UNAVAILABLE,
    "outcome-unknown": UNAVAILABLE,
}
"""The name of a problem (`service.problems`) decides, so that a store and a service fail alike."""
OF_STATUSES: Final = {401: NOT_ALLOWED, 403: NOT_ALLOWED, 429: UNAVAILABLE}
"""The status decides where the name says nothing else."""


class Usage(Exception):
    """The command was not said in a way that it can be done."""


class ServiceProblem(InsessionError):
    """The service refused, or failed, and says how: a problem (RFC 9457)."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem: Problem = problem


def failed(error: InsessionError | Usage, of: str = "") -> int:
    """Say what failed, with ``of`` before it; the exit code."""
    tell(f"{of}{error}")
    if isinstance(error, Usage):
        return USAGE
    problem = error.problem if isinstance(error, ServiceProblem) else problem_of(error)
    return OF_PROBLEMS.get(problem.name) or OF_STATUSES.get(problem.status, ERROR)


def tell(sentence: str) -> None:
    """One line on standard error, which is for people."""
    print(f"insession: {printable(' '.join(sentence.splitlines()))}", file=sys.stderr)  # noqa: T201


def first(codes: Iterable[int]) -> int:
    """The code of several that were done one after another: that of the first which failed."""
    return next((code for code in codes if code), OK)

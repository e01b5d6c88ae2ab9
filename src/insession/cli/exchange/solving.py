"""What answers files, where a command needs to know before anything begins."""

from __future__ import annotations

from insession.cli.codes import Usage
from insession.exchange.choosing import chosen_solution
from insession.exchange.settings import ExchangeSettings
from insession.exchange.solutions import Isolation, Solver, solver_of


def solver_from(settings: ExchangeSettings, isolation: Isolation = "auto") -> Solver | None:
    """The solver that is meant; None in only-save mode. `Usage` where nothing says who answers."""
    return None if settings.only_save else required(settings, isolation)


def required(settings: ExchangeSettings, isolation: Isolation = "auto") -> Solver:
    """The solver that is meant. `Usage` where nothing says who answers."""
    solution = chosen_solution(settings)
    if solution is None:
        raise Usage(
            "who answers the files? Give --solution module:function, a command or 'folder', set SESSION_SOLUTION, "
            "or take --only-save"
        )
    return solver_of(solution, isolation=isolation)

"""What ``--solution`` and the settings mean: which solver answers files."""

from __future__ import annotations

import re
from typing import Final

from insession.cli.codes import Usage
from insession.exchange.epicrisis import Epicrisis
from insession.exchange.settings import ExchangeSettings
from insession.exchange.solutions import Command, Isolation, OutputFolder, Solver, solver_of

FOLDER: Final = "folder"
"""The word for the output folder, where another program puts answers."""
_REFERENCE: Final = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
_EMPTY: Final = {"2021": "{}", "2023": "[]"}


def solver_from(settings: ExchangeSettings, isolation: Isolation = "auto") -> Solver | None:
    """The solver that is meant; None in only-save mode. `Usage` where nothing says who answers."""
    if settings.only_save:
        return None
    if settings.check_directory_answer or settings.solution == FOLDER:
        return OutputFolder(interval=settings.check_directory_answer_delay)
    if settings.solution is None:
        if settings.automatic_answer:
            return solver_of(_Empty(settings.dialect))
        raise Usage(
            "who answers the files? Give --solution module:function, a command or 'folder', set SESSION_SOLUTION, "
            "or take --only-save"
        )
    if _REFERENCE.fullmatch(settings.solution):
        return solver_of(settings.solution, isolation=isolation)
    return Command(settings.solution)


class _Empty:
    """Answers each file with nothing in it, to rehearse without a solution."""

    def __init__(self, dialect: str) -> None:
        self._answer: str = _EMPTY[dialect]

    async def execute_async(self, epicrisis: Epicrisis) -> str:  # noqa: ARG002 - whatever the file is
        """The empty answer."""
        return self._answer

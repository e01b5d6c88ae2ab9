"""Which solution the settings mean."""

from __future__ import annotations

import re
from typing import Final

from .epicrisis import Epicrisis
from .settings import ExchangeSettings
from .solutions import Command, OutputFolder

__all__ = ["FOLDER", "chosen_solution"]
FOLDER: Final = "folder"
"""The word for the output folder, where another program puts answers."""
_REFERENCE: Final = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
_EMPTY: Final = {"2021": "{}", "2023": "[]"}


def chosen_solution(settings: ExchangeSettings) -> object | None:
    """What `solver_of` takes; None where the settings name no solution, or files are only saved.

    ``module:function`` is a reference, ``folder`` the output folder, and all else a command for each file.
    """
    if settings.only_save:
        return None
    if settings.check_directory_answer or settings.solution == FOLDER:
        return OutputFolder(interval=settings.check_directory_answer_delay)
    if settings.solution is not None:
        return settings.solution if _REFERENCE.fullmatch(settings.solution) else Command(settings.solution)
    return _Empty(settings.dialect) if settings.automatic_answer else None


class _Empty:
    """Answers each file with nothing in it, to rehearse without a solution."""

    def __init__(self, dialect: str) -> None:
        self._answer: str = _EMPTY[dialect]

    async def execute_async(self, epicrisis: Epicrisis) -> str:  # noqa: ARG002 - whatever the file is
        """The empty answer."""
        return self._answer

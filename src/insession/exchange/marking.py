"""The names under which the document's siblings call a solution: `Marker` asks for one, `SolutionDemo` is one."""

from __future__ import annotations

import asyncio
from typing import Any

from insession.errors import InvalidInput

from .epicrisis import Epicrisis
from .solutions import SolutionAbstract, SolutionFactory, solver_of

__all__ = ["Marker", "SolutionDemo"]


class Marker:
    """Asks the solution of `SolutionFactory` about one file, outside of any session.

    ``Marker(epicrisis).markup_async(timeout)`` is the later form, ``Marker().markup_async(epicrisis)`` the first.
    """

    def __init__(self, epicrisis: Epicrisis | None = None) -> None:
        self.epicrisis: Epicrisis | None = epicrisis

    async def markup_async(self, given: Epicrisis | float | None = None) -> Any:
        """The answer; ``given`` is the file, or how many seconds there are for it. Raises `TimeoutError`."""
        epicrisis = given if isinstance(given, Epicrisis) else self.epicrisis
        if epicrisis is None:
            raise InvalidInput("epicrisis", "is missing: Marker(epicrisis).markup_async(timeout)")
        timeout = None if isinstance(given, Epicrisis) else given
        solver = solver_of(SolutionFactory.get())
        try:
            async with asyncio.timeout(timeout):
                return await solver.solve(epicrisis, timeout)
        finally:
            await solver.close()

    def markup(self, given: Epicrisis | float | None = None) -> Any:
        """The same for a program without an event loop."""
        return asyncio.run(self.markup_async(given))


class SolutionDemo(SolutionAbstract):
    """A solution to be replaced: it finds nothing. Override `get_solution`, which may block."""

    def execute(self, timeout: float | None = None) -> Any:  # noqa: ARG002 - as it is documented
        """What `get_solution` gives; in a thread."""
        return self.get_solution()

    def get_solution(self) -> Any:
        """The answer to ``self.epicrisis``."""
        return []

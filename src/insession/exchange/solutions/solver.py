"""What the work desk asks for answers, however they are made."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from insession.exchange.epicrisis import Epicrisis


@runtime_checkable
class Solver(Protocol):
    """Gives the answer to a file. Those in this room run a function, a command, or wait for another program.

    A solver that is cancelled (the file's deadline) stops as well as it can. What it raises means that this file has
    no answer from it this time; it never reaches another file.
    """

    unlimited: bool
    """Whether it only waits, so that the desk's limit of files in work does not hold it up."""

    async def solve(self, epicrisis: Epicrisis, timeout: float | None) -> object:
        """The answer: a text, or what JSON can hold. ``timeout`` is how many seconds there are, None: nobody says."""

    async def close(self) -> None:
        """Nothing more will be asked."""

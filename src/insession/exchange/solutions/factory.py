"""The one place that says what solves files."""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final, Literal

from insession.errors import ConfigurationError
from insession.exchange.epicrisis import Epicrisis
from insession.kernel.urls import unknown

from .calls import Call, DocumentedCall, call_of, imported
from .running import InLoop, InProcess, InThread, in_thread
from .solver import Solver

Isolation = Literal["auto", "loop", "thread", "process"]
_PLACES: Final[Mapping[str, Callable[[Call | DocumentedCall], Solver]]] = {
    "loop": InLoop,
    "thread": InThread,
    "process": InProcess,
}


def solver_of(solution: object, *, isolation: Isolation = "auto") -> Solver:
    """What asks a solution for its answers.

    ``solution`` is a function of an `Epicrisis`, or of one and the seconds that there are; ``module:function``; an
    object or class with ``execute_async(timeout)`` or ``execute(timeout)``; or a `Solver`, such as `Command` and
    `OutputFolder`. ``isolation`` is where a function runs: in the ``loop``, in a ``thread``, or in a ``process``;
    ``auto``: async functions in the loop, all others in a thread. Raises `ConfigurationError`.
    """
    if isolation not in ("auto", *_PLACES):
        raise ConfigurationError(f"isolation: {unknown('place', isolation, {'auto', *_PLACES})}")
    given = imported(solution) if isinstance(solution, str) else solution
    if not isinstance(given, type) and isinstance(given, Solver):
        return given
    call = call_of(given)
    if isolation == "auto":
        isolation = "loop" if call.waits else "thread"
    return _PLACES[isolation](call)


class SolutionAbstract(ABC):  # noqa: B024 - which of the two methods is written is the subclass's choice
    """A solution as the document's siblings write it: made for each file, with ``epicrisis`` as its attribute.

    Write `execute_async`, or `execute`, which then runs in a thread. They return the answer.
    """

    def __init__(self, epicrisis: Epicrisis) -> None:
        self.epicrisis: Epicrisis = epicrisis

    async def execute_async(self, timeout: float | None = None) -> Any:
        """The answer; ``timeout`` is how many seconds there are for it, None: nobody says."""
        return await in_thread(self.execute, timeout)

    def execute(self, timeout: float | None = None) -> Any:
        """The same, where it may block."""
        raise NotImplementedError(f"{type(self).__name__} has neither execute_async nor execute")


class SolutionFactory:
    """Which solution is used where none is given: ``SolutionFactory.set(solve)``, or ``with SolutionFactory.set(...)``.

    An object of it does the same, as ``SolutionFactory(epicrisis).set(...)`` and ``.get()`` in the document's siblings.
    """

    _solution: object = None

    def __init__(self, epicrisis: Epicrisis | None = None) -> None:
        self.epicrisis: Epicrisis | None = epicrisis

    @classmethod
    def set(cls, solution: object) -> AbstractContextManager[None]:
        """Use this solution from now on; as a context manager, until its end. Raises `ConfigurationError`."""
        solver_of(solution)
        before, cls._solution = cls._solution, solution
        return cls._restoring(before)

    @classmethod
    def get(cls) -> object:
        """The solution. Raises `ConfigurationError` where none is set."""
        if cls._solution is None:
            raise ConfigurationError("solution: none is set; give one, or name it by SolutionFactory.set(...)")
        return cls._solution

    @classmethod
    @contextmanager
    def _restoring(cls, before: object) -> Iterator[None]:
        try:
            yield
        finally:
            cls._solution = before

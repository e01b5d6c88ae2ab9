"""How the things that users write as solutions are called: functions, objects and classes of the documented shape."""

from __future__ import annotations

import copy
import importlib
import inspect
import os
import sys
from collections.abc import Callable
from typing import Any

from insession.errors import ConfigurationError
from insession.exchange.epicrisis import Epicrisis

_WITH_TIMEOUT = 2


def imported(reference: str) -> Any:
    """What ``module:function`` names; looked for in the working directory too. Raises `ConfigurationError`."""
    module, colon, name = reference.partition(":")
    if not colon or not module or not name:
        raise ConfigurationError(f"solution: {reference!r} is not of the form 'module:function'")
    if os.getcwd() not in sys.path and "" not in sys.path:  # noqa: PTH109 - entries of sys.path are texts
        sys.path.append(os.getcwd())  # noqa: PTH109
    try:
        found: Any = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.partition(".")[0] and error.name != module:
            raise
        raise ConfigurationError(f"solution: there is no module {module!r} here, nor is one installed") from None
    for part in name.split("."):
        if not hasattr(found, part):
            raise ConfigurationError(f"solution: module {module!r} has no {name!r}")
        found = getattr(found, part)
    return found


class Call:
    """One way to ask for an answer: a function of the file, or of the file and the seconds that there are.

    ``waits`` says whether the call gives an awaitable. It can be pickled if what it calls can be.
    """

    __slots__ = ("_function", "_timed", "waits")

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._timed = _takes(function, _WITH_TIMEOUT)
        self.waits: bool = _is_async(function)

    def __call__(self, epicrisis: Epicrisis, timeout: float | None) -> Any:
        """The answer, or an awaitable of it."""
        return self._function(epicrisis, timeout) if self._timed else self._function(epicrisis)


class DocumentedCall:
    """A class or object with ``execute_async`` or ``execute``, as the document's siblings have them.

    A class is made with the epicrisis, once for each file. An object whose method takes an epicrisis is given it; any
    other is copied for each file, and the copy has it as ``epicrisis``, so that two files never share one.
    """

    __slots__ = ("_method", "_solution", "waits")

    def __init__(self, solution: Any) -> None:
        self._solution = solution
        self.waits: bool = hasattr(solution, "execute_async")
        self._method = "execute_async" if self.waits else "execute"

    def __call__(self, epicrisis: Epicrisis, timeout: float | None) -> Any:
        """The answer, or an awaitable of it."""
        if isinstance(self._solution, type):
            return self._asked(self._solution(epicrisis), timeout)
        method = getattr(self._solution, self._method)
        if _takes(method, _WITH_TIMEOUT):
            return method(epicrisis, timeout)
        if _takes(method, 1) and "timeout" not in next(iter(inspect.signature(method).parameters)).lower():
            return method(epicrisis)
        own = copy.copy(self._solution)
        own.epicrisis = epicrisis
        return self._asked(own, timeout)

    def _asked(self, solution: Any, timeout: float | None) -> Any:
        method = getattr(solution, self._method)
        return method(timeout) if _takes(method, 1) else method()


def call_of(solution: Any) -> Call | DocumentedCall:
    """How to call a solution. Raises `ConfigurationError` for what is none."""
    if hasattr(solution, "execute_async") or hasattr(solution, "execute"):
        return DocumentedCall(solution)
    if callable(solution) and not isinstance(solution, type):
        return Call(solution)
    raise ConfigurationError(
        "solution: is a function of the epicrisis, 'module:function', an object or class with execute_async(timeout), "
        "a Command, or an OutputFolder"
    )


def _takes(function: Callable[..., Any], count: int) -> bool:
    """Whether it can be called with so many arguments by position."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some that are written in C do not say
        return count == 1
    try:
        signature.bind(*[None] * count)
    except TypeError:
        return False
    return True


def _is_async(function: Any) -> bool:
    while hasattr(function, "func"):  # functools.partial
        function = function.func
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004

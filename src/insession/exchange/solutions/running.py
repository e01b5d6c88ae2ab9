"""Where a solution that is Python runs: in the loop, in a thread, or in a process that can be killed."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import math
import os
import pickle
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import anyio
import anyio.to_process

from insession.errors import ConfigurationError
from insession.exchange.epicrisis import Epicrisis
from insession.exchange.errors import SolutionFailed

from .calls import Call, DocumentedCall

_Calls = Call | DocumentedCall
_THREAD: Final = "insession-solution"
_WATCH: Final = "insession-parent"
_LOOK: Final = 1.0


class InLoop:
    """An async function, in the event loop. It must not block: then no other file is served, and the line goes."""

    unlimited: bool = False

    def __init__(self, call: _Calls) -> None:
        self._call = call

    async def solve(self, epicrisis: Epicrisis, timeout: float | None) -> object:
        """Await the function; at the deadline it is cancelled."""
        answer = self._call(epicrisis, timeout)
        return await answer if inspect.isawaitable(answer) else answer

    async def close(self) -> None:
        """Nothing is held."""


class InThread:
    """A plain function, in a thread of its own. One that hangs past its deadline is left behind: nobody can kill it."""

    unlimited: bool = False

    def __init__(self, call: _Calls) -> None:
        self._call = call

    async def solve(self, epicrisis: Epicrisis, timeout: float | None) -> object:
        """Call the function; the thread ends with the program, if not before."""
        return await in_thread(_called, self._call, epicrisis, timeout)

    async def close(self) -> None:
        """Threads that still run go on, and keep no program from ending."""


class InProcess:
    """A function in another Python process, which is killed at the deadline, whatever it does.

    The function has to be importable there: one of a module, no lambda and none within another. Processes are reused,
    so that a model that a module loads is loaded once for each.
    """

    unlimited: bool = False

    def __init__(self, call: _Calls) -> None:
        try:
            pickle.dumps(call)
        except Exception as error:  # noqa: BLE001 - it is whatever its parts raise
            raise ConfigurationError(
                "solution: cannot be brought to another process; name it 'module:function', a function of a module "
                f"({type(error).__name__})"
            ) from None
        self._call = call
        self._limiter: anyio.CapacityLimiter | None = None

    async def solve(self, epicrisis: Epicrisis, timeout: float | None) -> object:
        """Call the function there. Raises `SolutionFailed` when its process dies."""
        if self._limiter is None:  # the desk limits; anyio's own would be the number of processors
            self._limiter = anyio.CapacityLimiter(math.inf)
        run = anyio.to_process.run_sync
        try:
            return await run(_in_worker, self._call, epicrisis, timeout, cancellable=True, limiter=self._limiter)
        except anyio.BrokenWorkerProcess:
            raise SolutionFailed("the process of the solution died") from None

    async def close(self) -> None:
        """Processes that wait for work end with the event loop."""


async def in_thread(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a thread of its own, which no end of the program waits for.

    A pool would be full for ever after as many calls hang as it has threads.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()

    def deliver(result: Any, error: BaseException | None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(result)
        elif isinstance(error, Exception) and not isinstance(error, StopIteration):
            future.set_exception(error)
        else:  # a future takes none of these
            future.set_exception(SolutionFailed(f"it raised {type(error).__name__}"))

    def run() -> None:
        result, error = None, None
        try:
            result = function(*arguments)
        except BaseException as raised:  # noqa: BLE001 - whatever it is, who waits has to hear of it
            error = raised
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(deliver, result, error)

    threading.Thread(target=contextvars.copy_context().run, args=(run,), name=_THREAD, daemon=True).start()
    return await future


def _called(call: _Calls, epicrisis: Epicrisis, timeout: float | None) -> Any:
    """Call in this thread, to the end: an async function has a loop of its own here."""
    answer = call(epicrisis, timeout)
    return asyncio.run(_awaited(answer)) if inspect.isawaitable(answer) else answer


async def _awaited(answer: Any) -> Any:
    return await answer


def _in_worker(call: _Calls, epicrisis: Epicrisis, timeout: float | None) -> Any:
    # A Ctrl-C in a terminal goes to every process there; the work in hand is the desk's to finish.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if not any(thread.name == _WATCH for thread in threading.enumerate()):
        threading.Thread(target=_end_with, args=(os.getppid(),), name=_WATCH, daemon=True).start()
    return _called(call, epicrisis, timeout)


def _end_with(parent: int) -> None:
    """End this process when its parent is gone: one that was killed ends none of its workers, and a solution may hang.

    Where there is no other parent to be given to (Windows) nothing is noticed.
    """
    while os.getppid() == parent:
        time.sleep(_LOOK)
    os._exit(1)

"""How one file comes to its answer: asked for with a deadline, tried again, checked, or replaced by a fallback."""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
import logging
import traceback
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec

from insession.errors import InsessionError
from insession.kernel.clock import Clock
from insession.kernel.ids import check_count, check_seconds

from .contracts import Answer
from .epicrisis import Epicrisis
from .errors import SolutionFailed
from .solutions import Solver

_log: Final = logging.getLogger("insession.exchange")
_MOST: Final = 10_000
GRACE: Final = 2.0
"""So many seconds a solution has to stop in, once it is cancelled."""
Validate = Callable[[Epicrisis, Any], object | Awaitable[object]]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How a work desk works. Durations are seconds.

    Args:
        concurrency: So many files are in work at once; the others wait, earliest deadline first.
        timeout: What a file has for its answer where the platform gives no time; None: as long as it takes. After a
            restart it begins anew.
        fallback: An answer, or a function of the epicrisis that gives one at once, for a file whose solution failed or
            is late; None: such a file has failed.
        margin: So long before the deadline the fallback stands in.
        validate: Called with the epicrisis and the answer before it is journaled. What it raises, or a ``False``, means
            that this is no answer.
        tries: So often a solution is asked for one file before it has failed.
        pause: Between two tries.
        only_save: Files are saved and journaled, and not answered. Without it they are, in the same session.
    """

    concurrency: int = 4
    timeout: float | None = None
    fallback: object = None
    margin: float = 1.0
    validate: Validate | None = None
    tries: int = 2
    pause: float = 0.5
    only_save: bool = False

    def __post_init__(self) -> None:
        for field in ("concurrency", "tries"):
            check_count(getattr(self, field), field, _MOST)
        for field in ("margin", "pause"):
            check_seconds(getattr(self, field), field)
        if self.timeout is not None:
            check_seconds(self.timeout, "timeout", least=0.001)


class _Late(Exception):
    """The time for a solution is over."""


class Answering:
    """Asks a solver, under a policy."""

    def __init__(self, solver: Solver, policy: Policy, clock: Clock) -> None:
        self._solver = solver
        self._policy = policy
        self._clock = clock

    def until(self, deadline: float | None) -> float | None:
        """When a solution has to be there: with a fallback a little before the deadline."""
        if deadline is None:
            return None
        return deadline if self._policy.fallback is None else deadline - self._policy.margin

    async def answer(self, epicrisis: Epicrisis, deadline: float | None) -> tuple[Answer, str | None]:
        """The answer; with why the fallback stands in, if it does. Raises `SolutionFailed`."""
        until = self.until(deadline)
        problem = "its time was over before its solution was asked"
        for attempt in range(self._policy.tries):
            if attempt and not await self._pause(until):
                break
            if until is not None and self._clock.now() >= until:
                break
            try:
                return await self._once(epicrisis, until), None
            except _Late:
                problem = "its solution was not ready in time"
                break
            except Exception as error:  # noqa: BLE001 - whatever a solution raises concerns this file only
                problem = _said(error)
        return await self._instead(epicrisis, problem), problem

    async def _pause(self, until: float | None) -> bool:
        """Wait before the next try; whether there is time for one."""
        if until is not None and self._clock.now() + self._policy.pause >= until:
            return False
        await self._clock.sleep(self._policy.pause)
        return True

    async def _once(self, epicrisis: Epicrisis, until: float | None) -> Answer:
        epicrisis.timeout = None if until is None else until - self._clock.now()
        task = asyncio.ensure_future(self._checked(epicrisis))
        try:
            if until is None:
                await asyncio.wait((task,))
            elif not await self._clock.wait(task, until):
                raise _Late
        finally:
            if not task.done():
                await _stop(task)
        if task.cancelled():
            raise SolutionFailed("its solution was cancelled")
        return task.result()

    async def _checked(self, epicrisis: Epicrisis) -> Answer:
        value = await self._solver.solve(epicrisis, epicrisis.timeout)
        answer = encoded(value)
        if self._policy.validate is not None:
            verdict = self._policy.validate(epicrisis, value)
            if inspect.isawaitable(verdict):
                verdict = await verdict
            if verdict is False:
                raise SolutionFailed("its answer did not pass the validation")
        return answer

    async def _instead(self, epicrisis: Epicrisis, problem: str) -> Answer:
        """The fallback."""
        value = self._policy.fallback
        if value is None:
            raise SolutionFailed(problem)
        try:
            if callable(value):
                value = value(epicrisis)
                if inspect.isawaitable(value):
                    value = await asyncio.wait_for(value, max(self._policy.margin, 0.1))
            return encoded(value)
        except Exception as error:  # noqa: BLE001 - the same
            raise SolutionFailed(f"{problem}; the fallback: {_said(error)}") from None


def encoded(value: object) -> Answer:
    """An answer as it is kept and sent. Raises `SolutionFailed` for what is none."""
    if isinstance(value, Answer):
        return value
    if value is None:
        raise SolutionFailed("its solution gave no answer (None)")
    try:
        if isinstance(value, bytes | bytearray):
            value = value.decode()
        text = value.encode() if isinstance(value, str) else msgspec.json.encode(value)
    except (UnicodeError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise SolutionFailed(f"its answer is no text or JSON value ({type(error).__name__})") from None
    if not text:
        raise SolutionFailed("its answer is empty")
    return Answer(text)


def _said(error: Exception) -> str:
    """What may be said of an error. Its own message may hold what is in the file, so only ours is repeated."""
    if isinstance(error, InsessionError):
        return str(error)
    where = "".join(traceback.format_tb(error.__traceback__))
    _log.error("a solution raised %s:\n%s", type(error).__name__, where)
    return f"its solution raised {type(error).__name__}"


async def _stop(task: asyncio.Future[Any]) -> None:
    """Cancel a solution; one that goes on all the same is left behind, and named in the log."""
    task.cancel()
    await asyncio.wait((task,), timeout=GRACE)
    if task.done():
        _forget(task)
    else:
        _log.error("a solution goes on though it was cancelled; its result will not be used")
        task.add_done_callback(_forget)


def _forget(task: asyncio.Future[Any]) -> None:
    """Take note of how it ended, so that nobody is warned of an exception that nobody saw."""
    if not task.cancelled():
        task.exception()

"""What runs for a session and stops when it ends: a block, or a stream."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import AsyncIterable, AsyncIterator
from typing import TYPE_CHECKING, Any, Final, TypeVar

import anyio

from insession.errors import SessionEnded
from insession.kernel.clock import Alarm
from insession.kernel.record import Outcome
from insession.kernel.session import Session, ended_error

if TYPE_CHECKING:
    from insession.kernel.following import Following

GRACE: Final = 5.0
"""Seconds after which work that goes on after its session's end counts as abandoned."""
T = TypeVar("T")
Worker = asyncio.Task[Any] | threading.Thread
_behind: weakref.WeakKeyDictionary[asyncio.Task[Any], threading.Thread] = weakref.WeakKeyDictionary()


def worker() -> Worker | None:
    """Who is at work now: the running task, or the thread that it was started for. None outside of any task.

    Who ends a session in the middle of its own work for it goes on, so it has to be known again.
    """
    task = asyncio.current_task()
    return task if task is None or not _behind else _behind.get(task, task)


def work_for(task: asyncio.Task[Any], thread: threading.Thread) -> None:
    """What this task does, it does for a thread that waits for it."""
    _behind[task] = thread


class Work:
    """Something that runs for a session, and must stop when it ends."""

    __slots__ = ("alarm", "grace", "group", "name", "outcome", "scope", "session", "task")

    def __init__(self, session: Session, grace: float) -> None:
        self.session: Session = session
        self.grace: float = grace
        self.scope: anyio.CancelScope | None = None
        self.outcome: Outcome | None = None
        self.group: list[Work] = []
        """All work of this process that the same ending stopped; empty while the session lives."""
        self.alarm: Alarm | None = None
        self.task: Worker | None = worker()
        self.name: str = _named(self.task)


def _named(task: Worker | None) -> str:
    if task is None:
        return "?"
    return task.name if isinstance(task, threading.Thread) else task.get_name()


class _Stopped(Exception):
    """A step of a guarded stream was cancelled because the session ended."""


class Guard(AsyncIterator[T]):
    """A stream that ends with its session."""

    __slots__ = ("__weakref__", "_entered", "_following", "_session", "_source", "_work")

    def __init__(self, following: Following, session: Session, source: AsyncIterable[T]) -> None:
        self._following = following
        self._source = aiter(source)
        self._session = session
        self._work = Work(session, GRACE)
        self._entered = False

    async def __anext__(self) -> T:
        session = self._session
        if not self._entered:
            await self._enter()
        if not session.interrupted:
            try:
                return await self._step()
            except _Stopped:
                pass
        await self.aclose(Outcome.CANCELLED)
        raise ended_error(session.record)

    async def _enter(self) -> None:
        """Begin at the first step, in the task that takes it."""
        self._work = Work(self._session, GRACE)
        try:
            await self._following._enter(self._session, self._work)
        except SessionEnded:
            await self.aclose()
            raise
        self._entered = True

    async def _step(self) -> T:
        """The next element; `_Stopped` if the session ended while it was waited for."""
        work = self._work
        work.task = worker()  # steps may be taken by one task after another
        try:
            with anyio.CancelScope() as scope:
                work.scope = scope
                return await anext(self._source)
        except Exception:
            await self.aclose()
            raise
        except BaseException:
            self._following._leave(work, Outcome.RETURNED)
            raise
        finally:
            work.scope = None
        raise _Stopped

    async def aclose(self, outcome: Outcome = Outcome.RETURNED) -> None:
        """Close the stream."""
        try:
            close = getattr(self._source, "aclose", None)
            if close is not None:
                await close()
        finally:
            self._following._leave(self._work, outcome)

    def __del__(self) -> None:
        # A consumer that leaves its loop drops the stream without closing it.
        if self._entered and self._work.outcome is None:
            self._following._on_loop(self._following._leave, self._work, Outcome.RETURNED)

"""One blocking call: a coroutine on the loop, and the thread that waits for it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import Context, copy_context
from typing import Any, Final, Generic, Protocol, TypeVar

from insession.errors import PortalClosed
from insession.kernel.working import work_for

LOOK: Final = 1.0
"""So often, in seconds, a thread that waits looks whether the loop is still there to answer it."""
T = TypeVar("T")


class Latch:
    """Opens once, and lets go the thread that waits for it. A wait that was interrupted may be waited again."""

    __slots__ = ("_lock", "is_open")

    def __init__(self) -> None:
        self.is_open: bool = False
        self._lock = threading.Lock()
        self._lock.acquire()

    def open(self) -> None:
        """Let the thread go."""
        if not self.is_open:
            self.is_open = True
            self._lock.release()

    def wait(self, loop: asyncio.AbstractEventLoop) -> None:
        """Wait until it is open; `PortalClosed` if the loop that would open it is gone."""
        while not self.is_open and not self._lock.acquire(timeout=LOOK):
            if loop.is_closed():
                raise PortalClosed(during=True)


class Calls(Protocol):
    """What keeps account of the calls under way."""

    def began(self, call: Call[Any]) -> bool:
        """A call begins; False: it may not, because everything ends."""

    def over(self, call: Call[Any]) -> None:
        """A call is over."""


class Call(Generic[T]):
    """A coroutine that runs on the loop while a thread waits for it.

    ``begin``, ``cancel`` run on the loop, in the order in which they were posted; all else in the thread. ``halfway``
    is opened at the latest when it is over.
    """

    __slots__ = ("_calls", "_context", "_loop", "_thread", "_work", "done", "error", "halfway", "task", "value")

    def __init__(
        self, calls: Calls, loop: asyncio.AbstractEventLoop, work: Callable[[], Coroutine[Any, Any, T]]
    ) -> None:
        self._calls = calls
        self._loop = loop
        self._work = work
        self._thread = threading.current_thread()
        self._context: Context = copy_context()
        self.task: asyncio.Task[T] | None = None
        self.done: Latch = Latch()
        self.halfway: Latch | None = None
        self.value: T | None = None
        self.error: BaseException | None = None

    def begin(self) -> None:
        """Start it."""
        if not self._calls.began(self):
            self._end(PortalClosed())
            return
        try:
            work = self._work()
        except Exception as error:  # noqa: BLE001 - a call that cannot even be made belongs to whoever waits for it
            self._calls.over(self)
            self._end(error)
            return
        self.task = task = self._loop.create_task(work, context=self._context)
        work_for(task, self._thread)
        task.add_done_callback(self._ended)

    def cancel(self) -> None:
        """Cancel it; its clean-up runs. One that has not begun will not."""
        if self.task is not None:
            self.task.cancel()
        else:
            self._end(None)

    def post(self) -> None:
        """Have it started."""
        post(self._loop, self.begin)

    def wait(self) -> None:
        """Wait until it is over."""
        self.done.wait(self._loop)

    def abandon(self) -> None:
        """The thread does not want it any more: cancel it, and wait for its clean-up.

        Interrupted once more, the thread leaves at once, and the clean-up goes on without it.
        """
        if not self.done.is_open:
            with suppress(PortalClosed):  # then nothing of it runs any more
                # What was posted runs in its order: if the start was, it has been by the time of this.
                post(self._loop, self.cancel)
                self.done.wait(self._loop)

    def result(self) -> T:
        """What came of it."""
        error, self.error = self.error, None
        if error is not None:
            try:
                raise error
            finally:
                del error  # its traceback holds this very frame
        return self.value  # type: ignore[return-value]

    def _ended(self, task: asyncio.Task[T]) -> None:
        self._calls.over(self)
        if task.cancelled():
            self._end(PortalClosed(during=True))  # by the end of everything; else nobody looks at it
        elif (error := task.exception()) is not None:
            self._end(error)
        else:
            self.value = task.result()
            self._end(None)

    def _end(self, error: BaseException | None) -> None:
        self.error = error
        self.task = None
        if self.halfway is not None:
            self.halfway.open()
        self.done.open()


def post(loop: asyncio.AbstractEventLoop, call: Callable[[], object]) -> None:
    """Run something on the loop; `PortalClosed` if that is gone."""
    try:
        loop.call_soon_threadsafe(call)
    except RuntimeError:
        raise PortalClosed from None

"""How observers are told: side by side, of one session's events in order, and shielded from who caused them."""

from __future__ import annotations

import asyncio
import dis
import sys
import types
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable, Iterator
from contextvars import ContextVar
from inspect import CO_COROUTINE, isawaitable
from typing import Any, Final

from insession.kernel.clock import Clock

from .event import SessionEvent

Failed = Callable[[SessionEvent, BaseException], None]


_WAITS: Final = frozenset({"GET_AWAITABLE", "GET_AITER", "GET_ANEXT", "BEFORE_ASYNC_WITH", "YIELD_VALUE", "SEND"})


_KNOWN: Final[dict[int, tuple[types.CodeType, bool]]] = {}
_MOST_KNOWN: Final = 1_024


def told_at_once(event: SessionEvent, observers: Iterable[Any], failed: Failed) -> list[Any]:
    """Tell those whose `update` cannot wait, which takes no task; the others."""
    rest: list[Any] = []
    for observer in observers:
        update = observer.update
        code = getattr(getattr(update, "__func__", update), "__code__", None)
        if code is None or not _never_waits(code):
            rest.append(observer)
            continue
        try:
            update(event).send(None)
        except StopIteration:
            pass
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - it reaches nobody but the log and the hook
            failed(event, error)
    return rest


def _never_waits(code: types.CodeType) -> bool:
    """Whether it is an ``async def`` without any ``await``: a call of it is over with its first step."""
    known = _KNOWN.get(id(code))  # what a code object hashes is all of it
    if known is None:
        if len(_KNOWN) >= _MOST_KNOWN:
            _KNOWN.clear()
        waits = any(one.opname in _WAITS for one in dis.get_instructions(code))
        known = _KNOWN[id(code)] = code, bool(code.co_flags & CO_COROUTINE) and not waits
    return known[1]


class Cause:
    """A call from outside of any `update`. It returns when everything that it caused has been told, to the last."""

    __slots__ = ("over", "pending")

    def __init__(self) -> None:
        self.pending: list[asyncio.Future[None]] = []
        self.over: bool = False


CAUSE: Final[ContextVar[Cause | None]] = ContextVar("insession_protocol_cause", default=None)
"""Set while an observer is told: a call that it makes must not wait for a telling that waits for it."""


def nested() -> Cause | None:
    """The cause of the `update` that this call is made in."""
    cause = CAUSE.get()
    return None if cause is None or cause.over else cause


class Delivery:
    """One event on its way to all who observe when its turn comes.

    Those that cannot wait are told at once. One task tells the others one after another, for as long as they return at
    once. The first that waits keeps the task, and another goes on with the rest: so all that wait do it side by side,
    each in a task of its own.
    """

    __slots__ = ("_audience", "_cause", "_clock", "_failed", "_left", "_rest", "_timeout", "event", "lane", "waiters")

    def __init__(
        self,
        event: SessionEvent,
        *,
        audience: Callable[[], list[Any]],
        cause: Cause,
        failed: Failed,
        clock: Clock,
        timeout: float | None,
    ) -> None:
        self.event: SessionEvent = event
        self.waiters: list[asyncio.Future[None]] = []
        self.lane: Lane | None = None
        self._audience = audience
        self._cause = cause
        self._failed = failed
        self._clock = clock
        self._timeout = timeout
        self._left = 0
        self._rest: Iterator[Any] = iter(())

    def begin(self, tasks: set[asyncio.Task[None]]) -> bool:
        """Tell all who observe now; whether that is done already, because none of them can wait."""
        rest = told_at_once(self.event, self._audience(), self._failed)
        self._left = len(rest)
        self._rest = iter(rest)
        if rest:
            self._spawn(tasks)
            return False
        self._wake()
        return True

    def wait(self) -> asyncio.Future[None]:
        """A future that is done when everybody has been told; of its own, so that cancelling it harms nobody."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiters.append(future)
        return future

    def _spawn(self, tasks: set[asyncio.Task[None]]) -> None:
        task = _begun(self._run(tasks))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    async def _run(self, tasks: set[asyncio.Task[None]]) -> None:
        CAUSE.set(self._cause)
        for observer in self._rest:
            turn = _Turn(self, tasks)
            try:
                told = observer.update(self.event)
                if isawaitable(told):
                    await _driven(told, turn.waits)
            except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - it reaches nobody but the log and the hook
                turn.over(error)
            else:
                turn.over(None)
            if turn.waited:
                return

    def _told(self) -> None:
        self._left -= 1
        if not self._left:
            self._wake()
            if self.lane is not None:
                self.lane.finished()

    def _wake(self) -> None:
        for future in self.waiters:
            if not future.done():
                future.set_result(None)


if sys.version_info >= (3, 12):

    def _begun(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """A task that begins at once: who returns without waiting costs no turn of the loop."""
        return asyncio.Task(work, loop=asyncio.get_running_loop(), eager_start=True)

else:

    def _begun(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return asyncio.get_running_loop().create_task(work)


class _Turn:
    """One observer's turn. One that waits too long is cancelled and counts as told, whatever it does then."""

    __slots__ = ("_alarm", "_delivery", "_done", "_task", "_tasks", "waited")

    def __init__(self, delivery: Delivery, tasks: set[asyncio.Task[None]]) -> None:
        self._delivery = delivery
        self._tasks = tasks
        self._alarm: Any = None
        self._task: asyncio.Task[Any] | None = None
        self._done = False
        self.waited: bool = False

    def waits(self) -> None:
        """The observer waits for something: the next ones begin."""
        self.waited = True
        delivery = self._delivery
        if delivery._timeout is not None:  # noqa: SLF001 - two halves of one thing
            self._task = asyncio.current_task()
            self._alarm = delivery._clock.alarm(delivery._clock.now() + delivery._timeout, self._too_long)  # noqa: SLF001
        delivery._spawn(self._tasks)  # noqa: SLF001

    def over(self, error: BaseException | None) -> None:
        """It has returned or raised; what it does after its time is not looked at."""
        if self._alarm is not None:
            self._alarm.cancel()
        if self._done:
            return
        self._done = True
        if error is not None:
            self._delivery._failed(self._delivery.event, error)  # noqa: SLF001
        self._delivery._told()  # noqa: SLF001

    def _too_long(self) -> None:
        timeout = self._delivery._timeout  # noqa: SLF001
        self.over(TimeoutError(f"the observer did not finish within {timeout:g} s"))
        if self._task is not None:
            self._task.cancel()


@types.coroutine
def _driven(told: Awaitable[Any], waits: Callable[[], None]) -> Generator[Any, Any, None]:
    """Await something, and say so when it waits for the first time."""
    steps = told.__await__()
    try:
        awaited = next(steps)
    except StopIteration:
        return
    waits()
    try:
        while True:
            try:
                answer = yield awaited
            except GeneratorExit:
                steps.close()
                raise
            except BaseException as error:  # noqa: BLE001 - handed on to whom it was meant for
                awaited = steps.throw(error)
            else:
                awaited = steps.send(answer)
    except StopIteration:
        return


class Lane:
    """One session's calls and events, while there are any: one change at a time, events told in their order."""

    __slots__ = ("_lanes", "_place", "_queue", "_tasks", "lock", "users")

    def __init__(self, lanes: dict[Any, Lane], place: Any, tasks: set[asyncio.Task[None]]) -> None:
        self.lock: asyncio.Lock = asyncio.Lock()
        self.users: int = 0
        self._queue: deque[Delivery] = deque()
        self._lanes = lanes
        self._place = place
        self._tasks = tasks

    def tell(self, delivery: Delivery) -> None:
        """Tell of an event, after those that are on their way."""
        delivery.lane = self
        self._queue.append(delivery)
        if len(self._queue) == 1:
            self._go_on()

    @property
    def last(self) -> Delivery | None:
        """The event that is told last of those on their way."""
        return self._queue[-1] if self._queue else None

    def finished(self) -> None:
        """The first event has been told to everybody."""
        self._queue.popleft()
        self._go_on()

    def _go_on(self) -> None:
        while self._queue and self._queue[0].begin(self._tasks):
            self._queue.popleft()
        self.leave()

    def leave(self) -> None:
        """Forget the lane where nobody uses it any more."""
        if not self.users and not self._queue and self._lanes.get(self._place) is self:
            del self._lanes[self._place]

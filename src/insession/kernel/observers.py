"""Observers: functions that are told of events."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, Self

import anyio
import anyio.to_thread

from insession.errors import CursorTrimmed, StoreError
from insession.kernel.events import Event
from insession.kernel.streams import EventStream

if TYPE_CHECKING:
    from insession.kernel.engine import Engine

_log: Final = logging.getLogger("insession.observers")
QUEUE: Final = 1_000
TIMEOUT: Final = 5.0
AT_ONCE: Final = 32
"""So many sessions an observer is told of at the same time; of one session, one event after another."""
Observer = Callable[[Event], Awaitable[None] | None]
OnError = Callable[[Event | None, BaseException], None]


class Subscription:
    """One observer. It reads the log with a cursor of its own, so a slow one costs nobody else.

    Used as ``async with engine.observe(...)``, or closed with `close`. ``failures`` counts what it
    raised, or did not finish in 5 s.
    """

    def __init__(self, engine: Engine, observer: Observer, stream: EventStream, on_error: OnError | None) -> None:
        self._engine = engine
        self._observer = observer
        self._in_thread = not (
            inspect.iscoroutinefunction(observer) or inspect.iscoroutinefunction(type(observer).__call__)
        )
        self._stream = stream
        self._on_error = on_error
        self._lanes: dict[str, deque[Event]] = {}
        self._waiting = 0
        self._room = asyncio.Event()
        self._turns = asyncio.Semaphore(AT_ONCE)
        # Threads of its own: an observer that never returns takes none from the program.
        self._threads = anyio.CapacityLimiter(AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()
        self._reader: asyncio.Task[None] | None = None
        self.failures: int = 0

    async def __aenter__(self) -> Self:
        await self._stream.start()
        self._reader = self._engine._spawn(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Stop telling the observer; what it is at is cancelled."""
        tasks = {*self._tasks, *(() if self._reader is None else (self._reader,))} - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _read(self) -> None:
        while True:
            try:
                event = await anext(self._stream)
            except CursorTrimmed as error:
                self._failed(None, error)
                continue
            except StoreError as error:
                self._failed(None, error)
                await self._engine.clock.sleep(1.0)
                continue
            await self._queue(event)

    async def _queue(self, event: Event) -> None:
        while self._waiting >= QUEUE:
            self._room.clear()
            await self._room.wait()
        self._waiting += 1
        lane = self._lanes.get(event.id)
        if lane is not None:
            lane.append(event)
            return
        self._lanes[event.id] = deque((event,))
        task = self._engine._spawn(self._tell_all(event.id))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tell_all(self, session_id: str) -> None:
        lane = self._lanes[session_id]
        async with self._turns:
            while lane:
                await self._tell(lane.popleft())
                self._waiting -= 1
                self._room.set()
            del self._lanes[session_id]

    async def _tell(self, event: Event) -> None:
        clock = self._engine.clock
        try:
            with anyio.CancelScope() as scope:
                alarm = clock.alarm(clock.now() + TIMEOUT, scope.cancel)
                try:
                    await self._call(event)
                finally:
                    alarm.cancel()
            if scope.cancelled_caught:
                self._failed(event, TimeoutError(f"the observer did not finish within {TIMEOUT:g} s"))
        except Exception as error:
            self._failed(event, error)

    async def _call(self, event: Event) -> None:
        if self._in_thread:
            told = await anyio.to_thread.run_sync(self._observer, event, abandon_on_cancel=True, limiter=self._threads)
        else:
            told = self._observer(event)
        if inspect.isawaitable(told):
            await told

    def _failed(self, event: Event | None, error: BaseException) -> None:
        self.failures += 1
        _log.warning("an observer failed at %s: %r", event.type if event else "reading the log", error)
        if self._on_error is not None:
            try:
                self._on_error(event, error)
            except Exception:
                _log.exception("on_error failed")

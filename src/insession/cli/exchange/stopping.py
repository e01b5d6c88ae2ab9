"""Ctrl-C and SIGTERM while a session is served: the first asks for an end in good order, the second ends at once."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """Whether we were asked to stop. ``asked`` is set by the first signal; the second cancels the block."""

    def __init__(self, task: asyncio.Task[object] | None) -> None:
        self.asked: asyncio.Event = asyncio.Event()
        self.signal: int = 0
        self._task: asyncio.Task[object] | None = task

    def heard(self, number: int) -> None:
        """A signal came."""
        if self.asked.is_set() and self._task is not None:
            self._task.cancel()
        self.signal = number
        self.asked.set()


@asynccontextmanager
async def stopping() -> AsyncIterator[Stop]:
    """Take the signals for the block's time."""
    loop = asyncio.get_running_loop()
    stop = Stop(asyncio.current_task())
    for number in SIGNALS:
        loop.add_signal_handler(number, stop.heard, number)
    try:
        yield stop
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)

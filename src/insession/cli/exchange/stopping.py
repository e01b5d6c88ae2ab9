"""Ctrl-C and SIGTERM while a session is served: the first asks for an end in good order, the second ends at once."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from typing import Final

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """Whether we were asked to stop. ``asked`` is set by the first signal; the second cancels the block."""

    def __init__(self, task: asyncio.Task[object] | None) -> None:
        self.asked: asyncio.Event = asyncio.Event()
        self.twice: bool = False
        self.said: str = ""
        """The name of the first signal."""
        self._task: asyncio.Task[object] | None = task

    def heard(self, number: signal.Signals) -> None:
        """A signal came."""
        if not self.asked.is_set():
            self.said = "Ctrl-C" if number is signal.SIGINT else number.name
            self.asked.set()
        elif self._task is not None and not self.twice:
            self.twice = True
            self._task.cancel()


@contextlib.asynccontextmanager
async def stopping() -> AsyncIterator[Stop]:
    """Take the signals for the block's time."""
    loop = asyncio.get_running_loop()
    stop = Stop(asyncio.current_task())
    taken = []
    for number in SIGNALS:
        # Where a loop takes no signals (Windows), Ctrl-C stops at once; the journal holds what it held.
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, stop.heard, number)
            taken.append(number)
    try:
        yield stop
    finally:
        for number in taken:
            loop.remove_signal_handler(number)

"""Ctrl-C and SIGTERM while a session is served: the first asks for an end in good order, the second ends at once."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from typing import Final

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """Whether we were asked to stop: ``asked`` is set by the first signal, ``again`` by the second."""

    def __init__(self) -> None:
        self.asked: asyncio.Event = asyncio.Event()
        self.again: asyncio.Event = asyncio.Event()
        self.said: str = ""
        """The name of the first signal."""

    def heard(self, number: signal.Signals) -> None:
        """A signal came."""
        if self.asked.is_set():
            self.again.set()
            return
        self.said = "Ctrl-C" if number is signal.SIGINT else number.name
        self.asked.set()


@contextlib.asynccontextmanager
async def stopping() -> AsyncIterator[Stop]:
    """Take the signals for the block's time."""
    loop = asyncio.get_running_loop()
    stop = Stop()
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

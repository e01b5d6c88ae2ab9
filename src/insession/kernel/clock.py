"""Time: one wall reading, plus the monotonic clock since.

A stepped wall clock expires nothing. Where the system has one, the monotonic clock is that of the
boot, so that a suspended machine's sessions grow older too.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from time import clock_gettime
from typing import Any, Final, Protocol


class Alarm(Protocol):
    """A call that waits for its time."""

    def cancel(self) -> None:
        """It is not wanted any more."""


_BOOT: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def monotonic() -> float:
    """Seconds of the monotonic clock; where the system has it, that of the boot, sleep included."""
    return clock_gettime(_BOOT)


class Clock:
    """What the engine and the embedded stores tell time by."""

    def __init__(self, offset: float | None = None) -> None:
        self._offset = time.time() - monotonic() if offset is None else offset

    def now(self) -> float:
        """Seconds since the epoch."""
        return self._offset + clock_gettime(_BOOT)

    def correct(self, least: float, most: float) -> None:
        """Follow another clock, whose distance from the monotonic one is now known to lie between two numbers.

        What lies between them stays. Else this shows the least that the other may show, and is never ahead of it.
        """
        if not least <= self._offset <= most:
            self._offset = least

    def alarm(self, when: float, call: Callable[[], None]) -> Alarm:
        """Call at a time, on the running loop."""
        return asyncio.get_running_loop().call_later(max(0.0, when - self.now()), call)

    async def sleep(self, seconds: float) -> None:
        """Wait for so long."""
        await self.wait(asyncio.get_running_loop().create_future(), self.now() + seconds)

    async def wait(self, future: asyncio.Future[Any], until: float) -> bool:
        """Wait for a future until a time; whether it is done. The future is left as it is."""
        if future.done():
            return True
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def wake(_: object = None) -> None:
            if not woken.done():
                woken.set_result(None)

        alarm = self.alarm(until, wake)
        future.add_done_callback(wake)
        try:
            await woken
        finally:
            alarm.cancel()
            future.remove_done_callback(wake)
        return future.done()

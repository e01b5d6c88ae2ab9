"""Time: one wall reading, plus the monotonic clock since.

A stepped wall clock expires nothing. Where the system has one, the monotonic clock is that of the
boot, so that a suspended machine's sessions grow older too.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Protocol


class Alarm(Protocol):
    """A call that waits for its time."""

    def cancel(self) -> None:
        """It is not wanted any more."""


if hasattr(time, "CLOCK_BOOTTIME"):

    def monotonic() -> float:
        """Seconds since boot, sleep included."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

else:  # pragma: no cover - other systems

    def monotonic() -> float:
        """Seconds of the monotonic clock."""
        return time.monotonic()


class Clock:
    """What the engine and the embedded stores tell time by."""

    def __init__(self, offset: float | None = None) -> None:
        self._offset = time.time() - monotonic() if offset is None else offset

    def now(self) -> float:
        """Seconds since the epoch."""
        return self._offset + monotonic()

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

"""A clock that only moves when a test says so."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from itertools import count

from insession.kernel.clock import Alarm, Clock

_START = 1_800_000_000.0


class _ManualAlarm:
    def __init__(self, call: Callable[[], None]) -> None:
        self.call: Callable[[], None] | None = call

    def cancel(self) -> None:
        self.call = None


class ManualClock(Clock):
    """Time that stands still until `advance`."""

    def __init__(self, start: float = _START) -> None:
        super().__init__(0.0)
        self._now = start
        self._alarms: list[tuple[float, int, _ManualAlarm]] = []
        self._order = count()

    def now(self) -> float:
        """The time that the test has set."""
        return self._now

    def alarm(self, when: float, call: Callable[[], None]) -> Alarm:
        """Call when the test has advanced that far; at once if it has."""
        if when <= self._now:
            return asyncio.get_running_loop().call_soon(call)
        alarm = _ManualAlarm(call)
        heapq.heappush(self._alarms, (when, next(self._order), alarm))
        return alarm

    def set(self, when: float) -> None:
        """Jump there without ringing anything: for tests of rules and stores."""
        self._now = when

    async def advance(self, seconds: float, *, turns: int = 20) -> None:
        """Let time pass, alarm by alarm, and let what they woke run for some turns of the loop each."""
        end = self._now + seconds
        while self._alarms and self._alarms[0][0] <= end:
            when, _, alarm = heapq.heappop(self._alarms)
            self._now = max(self._now, when)
            if alarm.call is not None:
                alarm.call()
                await settle(turns)
        self._now = end
        await settle(turns)


async def settle(turns: int = 20) -> None:
    """Let everything that is ready run."""
    for _ in range(turns):
        await asyncio.sleep(0)

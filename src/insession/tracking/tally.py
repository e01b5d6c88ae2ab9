"""How many sessions of this process began and ended, and how many of the ended are still history."""

from __future__ import annotations

import heapq
from collections import deque

from insession.kernel.record import State


class Tally:
    """Counts, all but the history monotone until `reset`.

    The history is bounded by number and by age. What was interrupted joins it ``delay`` seconds after its end: until
    then it is readable for certain, however short the history is.
    """

    __slots__ = (
        *("_age", "_delay", "_fresh", "_history", "_interrupts", "_recent"),
        *("completed", "created", "expired", "interrupted", "most", "piled"),
    )

    def __init__(self, *, most: int, age: float, delay: float) -> None:
        self.most: int = most
        self._age = age
        self._delay = delay
        self._recent: deque[float] = deque()
        self._fresh: deque[tuple[float, bool]] = deque()
        self._interrupts = 0
        self.piled: int = 0
        """How many ended since the history was shortened."""
        self._history: list[float] = []  # a heap: who was interrupted comes late, and may be the oldest
        self.reset()

    def reset(self) -> None:
        """Count from zero; the history stays."""
        self.created: int = 0
        self.interrupted: int = 0
        self.completed: int = 0
        self.expired: int = 0

    def take_over(self, earlier: Tally) -> None:
        """Go on counting where an earlier one stopped."""
        self.created, self.interrupted = earlier.created, earlier.interrupted
        self.completed, self.expired = earlier.completed, earlier.expired

    def heard(self, state: State, at: float) -> None:
        """A session ended, of any process. Told twice of one it keeps one more than it must, and not for long."""
        self.piled += 1
        interrupted = state is State.INTERRUPTED
        self._interrupts += interrupted
        if self._interrupts:
            self._fresh.append((at, interrupted))

    def surplus(self, now: float) -> int:
        """How many of the newest are kept beside the history, so that what was interrupted just now is among them."""
        while self._fresh and self._fresh[0][0] + self._delay <= now:
            self._interrupts -= self._fresh.popleft()[1]
        return len(self._fresh) if self._interrupts else 0

    def ended(self, state: State, at: float) -> None:
        """One of this process's sessions ended."""
        self.history(at)
        if state is State.INTERRUPTED:
            self.interrupted += 1
            self._recent.append(at)
            return
        if state is State.EXPIRED:
            self.expired += 1
        else:
            self.completed += 1
        self._archive(at)

    def _archive(self, at: float) -> None:
        heapq.heappush(self._history, at)
        if len(self._history) > self.most:
            heapq.heappop(self._history)

    def history(self, now: float) -> int:
        """How many ended sessions the history holds."""
        while self._recent and self._recent[0] + self._delay <= now:
            self._archive(self._recent.popleft())
        while self._history and self._history[0] + self._age <= now:
            heapq.heappop(self._history)
        return len(self._history)

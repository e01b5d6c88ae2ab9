"""How many sessions of this process began and ended, and how many of the ended are still history."""

from __future__ import annotations

from collections import deque

from insession.kernel.record import State


class Tally:
    """Counts, all but the history monotone until `reset`.

    The history is bounded by number and by age. What was interrupted joins it ``delay`` seconds after its end: until
    then it is readable for certain, however short the history is.
    """

    __slots__ = ("_age", "_delay", "_history", "_most", "_recent", "completed", "created", "expired", "interrupted")

    def __init__(self, *, most: int, age: float, delay: float) -> None:
        self._most = most
        self._age = age
        self._delay = delay
        self._recent: deque[float] = deque()
        self._history: deque[float] = deque(maxlen=most)
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

    def ended(self, state: State, at: float) -> None:
        """One of this process's sessions ended."""
        if state is State.INTERRUPTED:
            self.interrupted += 1
            self._recent.append(at)
            return
        if state is State.EXPIRED:
            self.expired += 1
        else:
            self.completed += 1
        self._history.append(at)

    def recent(self, now: float) -> int:
        """How many were interrupted so short ago that they are not history yet."""
        while self._recent and self._recent[0] + self._delay <= now:
            self._history.append(self._recent.popleft())
        return len(self._recent)

    def history(self, now: float) -> int:
        """How many ended sessions the history holds."""
        self.recent(now)
        while self._history and self._history[0] + self._age <= now:
            self._history.popleft()
        return len(self._history)

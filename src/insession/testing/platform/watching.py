"""What a double and a process of it have in common: waiting for what the platform has counted."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final

from .counters import Counters
from .rules import Drop

_LOOK: Final = 0.02


class Watched(ABC):
    """A platform that can be asked what it has seen, and be told to fail."""

    @property
    @abstractmethod
    def url(self) -> str:
        """What a participant has in ``HOST``."""

    @property
    def download_url(self) -> str:
        """What a participant of 2023 has in ``DOWNLOAD_HOST``."""
        return f"{self.url}/download"

    @abstractmethod
    def counters(self) -> Counters:
        """What it has seen so far; a copy."""

    @abstractmethod
    def drop(self, way: Drop) -> None:
        """Lose every client's line in this way."""

    @abstractmethod
    def abort(self, message: str = "aborted by the operator") -> None:
        """End every active session by force."""

    def wait_until(self, holds: Callable[[Counters], bool], timeout: float = 30.0) -> Counters:
        """Wait until the counters are so; gives them. Blocks its thread.

        Raises:
            TimeoutError: They are not so in time; the message says how far they are.
        """
        end = time.monotonic() + timeout
        while not holds(counters := self.counters()):
            if time.monotonic() > end:
                raise TimeoutError(f"not in {timeout} s: {_shown(counters)}")
            time.sleep(_LOOK)
        return counters

    def wait_closed(self, sessions: int = 1, timeout: float = 60.0) -> Counters:
        """Wait until so many sessions have ended; gives the counters."""
        return self.wait_until(lambda counters: len(counters.closed) >= sessions, timeout)


def _shown(counters: Counters) -> str:
    return (
        f"{counters.sent} of {len(counters.files)} files sent, {counters.answered} answered, "
        f"{counters.connections} connections, drops {counters.drops}, closed {counters.closed}, "
        f"violations {counters.violations[:5]}"
    )

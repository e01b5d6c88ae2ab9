"""What both providers of the tracking face share: whether they run, and what was asked of them."""

from __future__ import annotations

import abc
import time
from collections.abc import AsyncIterator
from typing import Any


class Counts:
    """Requests to a provider, and how they went."""

    __slots__ = ("failed", "last_success", "requests")

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin anew."""
        self.requests: int = 0
        self.failed: int = 0
        self.last_success: float | None = None

    def succeeded(self) -> None:
        """One more request that got what it asked for."""
        self.requests += 1
        self.last_success = time.time()

    def refused(self) -> None:
        """One more request that failed, whoever's fault it was."""
        self.requests += 1
        self.failed += 1

    @property
    def success_rate(self) -> float:
        """The share of requests that succeeded, 0 to 1; 1 before the first."""
        return 1.0 if not self.requests else (self.requests - self.failed) / self.requests


class Provider(abc.ABC):
    """A part of the manager that can also be used alone.

    ``process(input)`` is an async generator of exactly one item, and raises where it cannot give it. A caller's bad
    input fails that request and says nothing about the provider's health.
    """

    name: str

    def __init__(self) -> None:
        self.counts: Counts = Counts()
        self._started: float | None = None

    @property
    def is_available(self) -> bool:
        """Whether it runs."""
        return self._started is not None

    @abc.abstractmethod
    async def initialize(self) -> bool:
        """Start; False, with the reason in the log, where it can never work."""

    @abc.abstractmethod
    def process(self, request: Any) -> AsyncIterator[Any]:
        """Answer one request."""

    @abc.abstractmethod
    async def cleanup(self) -> bool:
        """Stop; a second call does nothing."""

    async def health_check(self) -> bool:
        """Whether it runs and can do its work."""
        return self.is_available

    def get_status(self) -> dict[str, Any]:
        """Whether it runs, in words."""
        return {
            "name": self.name,
            "is_available": self.is_available,
            "status": "running" if self.is_available else "stopped",
        }

    def get_metrics(self) -> dict[str, Any]:
        """What was asked of it. ``uptime`` is seconds since its start, ``last_success`` seconds since the epoch."""
        counts = self.counts
        return {
            "name": self.name,
            "provider_type": type(self).__name__,
            "total_requests": counts.requests,
            "successful_requests": counts.requests - counts.failed,
            "failed_requests": counts.failed,
            "error_count": counts.failed,
            "success_rate": counts.success_rate,
            "last_success": counts.last_success,
            "uptime": 0.0 if self._started is None else time.monotonic() - self._started,
        }

    def reset_metrics(self) -> None:
        """Zero the counters; touches nothing else."""
        self.counts.reset()

    def _start(self) -> None:
        self._started = time.monotonic()

    def _stop(self) -> None:
        self._started = None

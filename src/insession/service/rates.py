"""How often somebody may ask: a bucket of requests for each caller that fills up again."""

from __future__ import annotations

import math
from typing import Final

from insession.errors import ConfigurationError

RATE: Final = 1_000.0
"""Requests a second of each caller, where callers are told apart by tokens."""
BURST: Final = 2.0
"""So many seconds of requests may come at once."""
MOST_CALLERS: Final = 10_000


class Rates:
    """The generic cell rate algorithm (ITU-T I.371): of each caller one number, when his bucket will be full again.

    Litestar's own keeps a list of all requests of a second, and decodes and encodes it at each of them.
    """

    __slots__ = ("_burst", "_full", "_step")

    def __init__(self, rate: float) -> None:
        if not 0.0 < rate < math.inf:
            raise ConfigurationError("rate: is a positive number of requests a second, or None")
        self._step = 1.0 / rate
        # One at a time must always pass.
        self._burst = max(BURST, self._step)
        self._full: dict[object, float] = {}

    def take(self, caller: object, now: float) -> float:
        """One request: 0.0, or the seconds after which there is room for it."""
        full = max(self._full.get(caller, 0.0), now) + self._step
        if full - now > self._burst + 1e-9:
            return full - now - self._burst
        if len(self._full) >= MOST_CALLERS and caller not in self._full:
            self._forget(now)
        self._full[caller] = full
        return 0.0

    def _forget(self, now: float) -> None:
        """Forget whose buckets are full; if these are few, also who was seen first: a tenth, so that it is seldom."""
        self._full = {caller: full for caller, full in self._full.items() if full > now}
        for caller in list(self._full)[: len(self._full) - MOST_CALLERS * 9 // 10]:
            del self._full[caller]

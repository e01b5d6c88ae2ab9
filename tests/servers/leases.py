"""How long a lease on a server's own clock has to be, so that what a test does with it fits in."""

from __future__ import annotations

import os


def lease_unit() -> float:
    """Seconds: 100 ms, and longer where others want the cores too."""
    busy = os.getloadavg()[0] / (os.cpu_count() or 1)
    return 0.1 * min(max(1.0, busy), 10.0)

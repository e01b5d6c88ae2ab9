"""What comes after a race for a memory was lost to another chat."""

from __future__ import annotations

import asyncio
import random
from typing import Final

FIRST: Final = 0.001
MOST: Final = 0.032


def pause(lost: int) -> float:
    """Seconds to wait before the next try, after so many lost ones in a row: random, and none after the first.

    Two that need the same number of trips for a try run in step, and then it is always the same one that comes too
    late. A random pause breaks the step; with full jitter, see M. Brooker, *Exponential Backoff and Jitter* (2015).
    """
    return random.uniform(0.0, min(FIRST * 2 ** min(lost, 10), MOST)) if lost > 1 else 0.0  # noqa: S311


async def after_loss(lost: int) -> None:
    """Wait that long, in real time whatever the clock of the engine says: what is waited for is another program."""
    await asyncio.sleep(pause(lost))

"""Waiting for a condition, never for a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from insession.testing import ManualClock

T = TypeVar("T")


async def happens(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Return when it holds; `TimeoutError` if it does not for so long."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what is waited for belongs to others
            await asyncio.sleep(0.001)


async def while_time_passes(clock: ManualClock, work: Coroutine[Any, Any, T], step: float = 0.1) -> T:
    """What some work gives, while time passes and the service answers."""
    task = asyncio.ensure_future(work)
    async with asyncio.timeout(20.0):
        while not task.done():
            await clock.advance(step)
            await asyncio.sleep(0.002)  # the service's time, which is real
    return task.result()

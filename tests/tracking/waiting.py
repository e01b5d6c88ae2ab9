"""Waiting for what other threads and processes do, with an end to it."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable

DEADLINE = 20.0
"""Every wait of these tests ends by then, whatever happens."""


async def until(condition: Callable[[], object], seconds: float = DEADLINE) -> None:
    """Wait until it holds, a function or an async one; `TimeoutError` if it does not."""
    async with asyncio.timeout(seconds):
        while True:
            holds = condition()
            if await holds if inspect.isawaitable(holds) else holds:
                return
            await asyncio.sleep(0.001)

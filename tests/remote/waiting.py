"""Waiting for a condition, never for a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


async def happens(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Return when it holds; `TimeoutError` if it does not for so long."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what is waited for belongs to others
            await asyncio.sleep(0.001)

"""What a part of a soak is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SEED: Final = 20_260


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that has to hold, and about how long it takes to see it."""

    name: str
    seconds: float
    run: Callable[[Path], str]
    """Gets an empty folder, gives a word about what it saw, raises if it does not hold."""


def awaited(scenario: Callable[[Path], Awaitable[object]]) -> Callable[[Path], str]:
    """A scenario in a loop of its own."""

    async def run(folder: Path) -> str:
        seen = await scenario(folder)
        return "" if seen is None else f"{seen:,}" if isinstance(seen, int) else str(seen)

    return lambda folder: asyncio.run(run(folder))

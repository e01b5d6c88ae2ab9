"""The program that type checkers read (`make lint`) does what it says."""

from __future__ import annotations

from .program import main


async def test_it_runs() -> None:
    assert await main() == {"call": {"closed": 1}}

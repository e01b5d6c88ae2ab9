"""The programs that type checkers read (`make lint`) do what they say."""

from __future__ import annotations

from . import blocking_program
from .program import main


async def test_it_runs() -> None:
    assert await main() == {"call": {"closed": 1}}


def test_the_one_with_threads_runs() -> None:
    assert blocking_program.main() == {"call": {"closed": 1}}

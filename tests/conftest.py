"""What all tests share."""

from __future__ import annotations

import pytest
from hypothesis import settings

from .met import table

# The same examples every time, on machines of any speed; the soak looks for others.
settings.register_profile("insession", derandomize=True, database=None, deadline=None)
settings.load_profile("insession")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """We promise asyncio."""
    return "asyncio"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what the state machines met."""
    lines = table()
    if lines:
        terminalreporter.section("state machine")
        for line in lines:
            terminalreporter.write_line(line)

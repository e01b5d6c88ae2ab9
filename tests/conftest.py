"""What all tests share."""

from __future__ import annotations

import pytest

from .met import table


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

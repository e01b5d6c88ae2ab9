"""What all tests share."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings

from .met import met, record_states, table

# The same examples every time, on machines of any speed; the soak looks for others.
settings.register_profile("insession", derandomize=True, database=None, deadline=None)
settings.load_profile("insession")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """We promise asyncio."""
    return "asyncio"


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker hands over what its state machines met."""
    output: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["met"] = met()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over what a worker hands over."""
    for store, states in getattr(node, "workeroutput", {}).get("met", {}).items():
        record_states(store, states)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what the state machines met."""
    lines = table()
    if lines:
        terminalreporter.section("state machine")
        for line in lines:
            terminalreporter.write_line(line)

"""The double, in a thread of the test's process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from insession.testing import SankhyaDouble

from .running import Program

Run = Callable[..., Program]


@pytest.fixture
def double() -> Iterator[SankhyaDouble]:
    with SankhyaDouble(seed=30) as double:
        yield double


@pytest.fixture
def start(double: SankhyaDouble, tmp_path: Path) -> Iterator[Run]:
    """Start a program beside others on one store."""
    with ExitStack() as stack:
        yield lambda text, **environ: stack.enter_context(Program(text, double, tmp_path, **environ))

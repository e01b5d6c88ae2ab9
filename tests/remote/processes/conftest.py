"""The double, in a thread of the test's process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from insession.testing import SankhyaDouble

from .running import Program

Run = Callable[..., Program]


@dataclass(frozen=True, slots=True)
class House:
    """A double, and programs that share a store."""

    double: SankhyaDouble
    start: Run
    """Start a program beside the others."""


@contextmanager
def open_house(folder: Path) -> Iterator[House]:
    """One whose store is in a folder."""
    with ExitStack() as stack:
        double = stack.enter_context(SankhyaDouble(seed=30))
        yield House(double, lambda text, **environ: stack.enter_context(Program(text, double, folder, **environ)))


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with open_house(tmp_path) as house:
        yield house


@pytest.fixture
def double(house: House) -> SankhyaDouble:
    return house.double


@pytest.fixture
def start(house: House) -> Run:
    return house.start

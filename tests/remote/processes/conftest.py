"""The double, in a thread of the test's process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
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


@pytest.fixture
def make_house(tmp_path: Path) -> Iterator[Callable[[], House]]:
    """As many as a test wants, which know nothing of each other."""
    with ExitStack() as stack:

        def make() -> House:
            double = stack.enter_context(SankhyaDouble(seed=30))
            folder = tmp_path / double.url.rpartition(":")[2]
            folder.mkdir()
            return House(double, lambda text, **environ: stack.enter_context(Program(text, double, folder, **environ)))

        yield make


@pytest.fixture
def house(make_house: Callable[[], House]) -> House:
    return make_house()


@pytest.fixture
def double(house: House) -> SankhyaDouble:
    return house.double


@pytest.fixture
def start(house: House) -> Run:
    return house.start

"""Engines for threads: on memory, and on SQLite, which has threads of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from insession.blocking import BlockingEngine, connect


@pytest.fixture(params=["memory", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return "memory:" if request.param == "memory" else f"sqlite:///{tmp_path / 'sessions.db'}"


@pytest.fixture
def engine(url: str) -> Iterator[BlockingEngine]:
    with connect(url) as engine:
        yield engine

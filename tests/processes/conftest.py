"""The stores that processes share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import pytest

from tests.servers.postgres import fresh_schema, shared_server

from .running import sqlite_url

URLS: Final[Mapping[str, Callable[[Path], str]]] = {
    "sqlite": sqlite_url,
    "postgres": lambda _: shared_server().url(fresh_schema()),
}


@pytest.fixture(params=URLS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty store, for every store that processes share."""
    return URLS[request.param](tmp_path)

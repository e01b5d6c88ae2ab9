"""The stores that several processes share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from tests.servers.postgres import fresh_schema, shared_server
from tests.servers.valkey import Valkey

from .running import sqlite_url


@pytest.fixture(params=["sqlite", "valkey", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty store."""
    name = cast("str", request.param)
    if name == "sqlite":
        yield sqlite_url(tmp_path)
    elif name == "postgres":
        yield shared_server().url(fresh_schema())
    else:
        server = Valkey(tmp_path)
        server.start()
        yield server.url
        server.stop()

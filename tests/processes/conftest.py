"""The stores that several processes share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from tests.servers.cluster import Cluster
from tests.servers.valkey import Valkey

from .running import sqlite_url


@pytest.fixture(params=["sqlite", "valkey", "cluster"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty store."""
    if cast("str", request.param) == "sqlite":
        yield sqlite_url(tmp_path)
        return
    server = Valkey(tmp_path) if request.param == "valkey" else Cluster(tmp_path / "cluster")
    try:
        server.start()
        yield server.url
    finally:
        server.stop()

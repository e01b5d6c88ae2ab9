"""The stores that several processes share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final, cast

import pytest

from tests.servers import cluster, valkey
from tests.servers.postgres import fresh_schema, shared_server

from .running import sqlite_url


def _valkey_url(_: Path) -> str:
    server = valkey.shared()
    # The stores of the tests before are closed, and nobody else uses this server.
    server.ask("FLUSHALL")
    return server.url


def _cluster_url(_: Path) -> str:
    servers = cluster.shared()
    for server in servers.masters:
        server.ask("FLUSHALL")
    return servers.url


EMPTY: Final[dict[str, Callable[[Path], str]]] = {
    "sqlite": sqlite_url,
    "valkey": _valkey_url,
    "cluster": _cluster_url,
    "postgres": lambda _: shared_server().url(fresh_schema()),
}
"""The URL of an empty store of each sort."""


@pytest.fixture(params=list(EMPTY))
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty store."""
    return EMPTY[cast("str", request.param)](tmp_path)


@pytest.fixture(params=[name for name in EMPTY if name != "cluster"])
def one_log_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty store with a single log: times of different partitions say nothing about what was read."""
    return EMPTY[cast("str", request.param)](tmp_path)


@pytest.fixture(params=["valkey", "postgres"])
def server_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty store on a server."""
    return EMPTY[cast("str", request.param)](tmp_path)

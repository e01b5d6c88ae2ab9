"""`insession migrate` on stores that an older version made, on new ones, and on such as have no schema."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.processes.conftest import EMPTY
from tests.servers.postgres import fresh_schema, shared_server

from .conftest import Run, lines

Migrate = Callable[..., Any]


@pytest.fixture
def migrate(inside: Run) -> Migrate:
    """The command in this process; what it printed as JSON."""
    return lambda *arguments: lines(inside("migrate", "--json", "--store", *arguments))[0]


def test_sqlite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, migrate: Migrate) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.db").touch()
    made = migrate("sqlite:///s.db")
    assert made == {"store": "sqlite:///s.db", "before": None, "after": made["after"]}
    with sqlite3.connect("s.db") as connection:
        connection.execute("ALTER TABLE state_default DROP COLUMN mark")
        connection.execute("PRAGMA user_version = 1")
    connection.close()
    assert migrate("sqlite:///s.db") == made | {"before": 1}
    assert migrate("sqlite:///s.db") == made | {"before": made["after"]}


def test_postgres(migrate: Migrate) -> None:
    store = shared_server().url(fresh_schema())
    made = migrate(store)
    assert made["before"] is None
    assert migrate(store) == made | {"before": made["after"]}
    assert migrate(store, "--namespace", "other")["before"] is None


def test_valkey_has_no_schema(tmp_path: Path, migrate: Migrate) -> None:
    found = migrate(EMPTY["valkey"](tmp_path))
    assert (found["before"], found["after"]) == (None, None)

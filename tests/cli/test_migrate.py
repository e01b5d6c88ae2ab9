"""`insession migrate` on stores that an older version made, on new ones, and on such as have no schema."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
from pathlib import Path
from typing import Any

import pytest

from insession.cli.commands import run
from tests.processes.conftest import EMPTY
from tests.servers.postgres import ask, fresh_schema, shared_server


class Migrate:
    """The command in this process, in an empty folder; what it printed as JSON."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def __call__(self, store: str, *arguments: str) -> Any:
        self._monkeypatch.setattr(sys, "argv", ["insession", "migrate", "--json", "--store", store, *arguments])
        code = run()
        shown = self._capsys.readouterr()
        assert (code, shown.err) == (0, "")
        return json.loads(shown.out)


@pytest.fixture
def migrate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Migrate:
    monkeypatch.chdir(tmp_path)
    return Migrate(monkeypatch, capsys)


def test_sqlite(tmp_path: Path, migrate: Migrate) -> None:
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
    schema = fresh_schema()
    store = shared_server().url(schema)
    made = migrate(store)
    assert made["before"] is None
    asyncio.run(ask(shared_server(), f'UPDATE "{schema}".versions SET version = 1'))  # noqa: S608
    assert migrate(store) == made | {"before": 1}
    assert migrate(store, "--namespace", "other")["before"] is None


def test_valkey_has_no_schema(tmp_path: Path, migrate: Migrate) -> None:
    found = migrate(EMPTY["valkey"](tmp_path))
    assert (found["before"], found["after"]) == (None, None)

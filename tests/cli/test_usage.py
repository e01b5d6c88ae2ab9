"""What a command cannot be called with: one sentence, which names the field, and exit code 2."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from .conftest import Run

NO_ONE = "00" * 16
USAGE = 2


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("open", "--data", "{"), "data: is not JSON"),
        (("open", "--idle", "soon"), "--idle"),
        (("open", "--absolute", "soon"), "--absolute"),
        (("open", "--idle", "-1"), "idle: "),
        (("open", "--kind", "~node"), "kind: "),
        (("open", "--kid", "job"), "--kind"),
        (("touch",), "ID..."),
        (("touch", "nonsense\x1b[31m"), "\\u001b"),
        (("close", NO_ONE, "--reason", ""), "reason"),
        (("ls", "--node", "nonsense"), "node"),
        (("locks", "--prefix", "\n"), "prefix"),
        (("erase",), "OWNER"),
        (("erase", "ann"), "--yes"),
        (("copy", "--from", "sqlite:///s.db"), "--to"),
        (("copy", "--from", "sqlite:///missing.db", "--to", "sqlite:///s.db"), "no such file"),
        (("copy", "--from", "sqlite:///s.db", "--to", "sqlit:///x.db"), "'sqlite:'"),
        (("migrate", "--store", "memory:"), "inside of one process"),
        (("migrate", "--url", "http://127.0.0.1:9"), "--url"),
        (("rewrap",), "INSESSION_KEYS"),
        (("verify",), "INSESSION_KEYS"),
        (("hardware-id", "--length", "3"), "--length"),
        (("hardware-id", "--app", ""), "app: "),
        (("serve", "--port", "70000"), "--port"),
        (("serve", "--host", "0.0.0.0"), "INSESSION_SERVICE_TOKENS"),  # noqa: S104 - that is refused
        (("serve", "--token-file", "missing"), "'missing' cannot be read"),
        (("stats", "--config", "missing.toml"), "missing.toml"),
        (("stats", "--url", "http://u:hunter2@"), "--url"),
    ],
)
def test_it_names_the_field(
    inside: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("INSESSION_STATE_DIR", str(tmp_path))
    if "--store" not in arguments and "--url" not in arguments:
        (tmp_path / "s.db").touch()
        monkeypatch.setenv("INSESSION_STORE", "sqlite:///s.db")
    done = inside(*arguments)
    assert (done.returncode, done.stdout) == (USAGE, ""), done
    assert says in done.stderr
    assert done.stderr.count("\n") == 1
    assert "hunter2" not in done.stderr


@pytest.mark.parametrize(
    ("given", "arguments", "says"),
    [
        (b"ann\n{}", ("--owner", "-", "--data", "-"), "only one value"),
        (b"\xff", ("--data", "-"), "UTF-8"),
        (b"{", ("--data", "-"), "data: is not JSON"),
    ],
)
def test_what_comes_by_standard_input(
    inside: Run, monkeypatch: pytest.MonkeyPatch, given: bytes, arguments: tuple[str, ...], says: str
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
    done = inside("open", "--store", "sqlite:///not-there.db", *arguments)
    assert (done.returncode, done.stdout) == (USAGE, "")
    assert says in done.stderr

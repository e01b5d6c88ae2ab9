"""The command line as a process, on a store and on a service of that store."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import httpx2
import pytest

from insession.cli.commands import run
from tests.programs import INSESSION, Process, insession, started

STORE = "sqlite:///sessions.db"
Run = Callable[..., CompletedProcess[str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cli")


@pytest.fixture(scope="module")
def service(folder: Path) -> Iterator[Process]:
    with started(*INSESSION, "serve", "--store", STORE, "--port", "0", cwd=folder) as process:
        yield process
        assert process.stop() == (0, "")


@pytest.fixture(params=["store", "url"])
def target(request: pytest.FixtureRequest, service: Process) -> tuple[str, str]:
    return ("--store", STORE) if request.param == "store" else ("--url", service.url)


@pytest.fixture
def cli(folder: Path, target: tuple[str, str]) -> Run:
    """A command on either of them."""
    return lambda *arguments: insession(*arguments, *target, cwd=folder)


@pytest.fixture
def opened(service: Process) -> Callable[..., str]:
    """Opens a session; its id."""

    def open_session(**body: Any) -> str:
        answer = httpx2.post(f"{service.url}/v1/sessions", json=body, trust_env=False)
        session_id: str = answer.json()["id"]
        return session_id

    return open_session


@pytest.fixture
def inside(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: Path) -> Run:
    """A command in this process: the same but for the start, which costs more than most commands."""
    monkeypatch.chdir(folder)
    for name in [name for name in os.environ if name.startswith("INSESSION_")]:
        monkeypatch.delenv(name)

    def run_inside(*arguments: str) -> CompletedProcess[str]:
        monkeypatch.setattr(sys, "argv", ["insession", *arguments])
        code = run()
        shown = capsys.readouterr()
        return CompletedProcess(arguments, code, shown.out, shown.err)

    return run_inside


def lines(done: CompletedProcess[str]) -> list[Any]:
    """What a command wrote as JSON."""
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]

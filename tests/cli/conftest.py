"""The command line as a process, on a store and on a service of that store."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import httpx2
import pytest

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


def lines(done: CompletedProcess[str]) -> list[Any]:
    """What a command wrote as JSON."""
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]

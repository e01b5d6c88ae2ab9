"""The platform's document about exchange sessions: its import paths, and a program that is written by them."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from insession import aliases, exchange
from insession.exchange import errors
from insession.exchange.documented import DOCUMENTED
from insession.testing.platform import PlatformDouble, PlatformRules
from tests.programs import clean_environ

NAMED = {
    "baseline.session": "Session",
    "baseline.session.connector": "SessionConnectorFactory",
    "baseline.session.connector.session_connector_abstract": "SessionConnectorAbstract",
    "baseline.session.connector.session_websocket_connector": "SessionWebsocketConnector",
}
"""What the document names itself."""
PROGRAM = """
import asyncio
from baseline.session import Session, SessionStarterOptions
from baseline.session.connector import SessionConnectorFactory
from baseline.session.connector.session_websocket_connector import SessionWebsocketConnector
from baseline.solution import SolutionDemo, SolutionFactory


class Connector(SessionWebsocketConnector):
    async def start(self, options):
        print("starting", options.file_count)
        await super().start(options)


class Solution(SolutionDemo):
    def get_solution(self):
        return {"length": len(self.epicrisis.content)}


async def main():
    SessionConnectorFactory.use(Connector)
    SolutionFactory.set(Solution)
    session = Session()
    await session.start(SessionStarterOptions(type="algorithmic", file_count=12, file_timeout=10))
    print(session.id, (await session.wait()).value)
    await session.close()


asyncio.run(main())
"""


@pytest.fixture
def resolved() -> Iterator[None]:
    """The document's names, on request; afterwards nothing of them is imported."""
    with aliases.install("baseline"):
        yield
    for path in [path for path in sys.modules if path.partition(".")[0] == "baseline"]:
        del sys.modules[path]


@pytest.mark.requirement("R1", "R12")
@pytest.mark.parametrize(("path", "name"), NAMED.items())
def test_the_documented_paths_resolve(resolved: None, path: str, name: str) -> None:
    found = getattr(importlib.import_module(path), name)
    assert found is getattr(exchange, name)


@pytest.mark.requirement("R1")
def test_every_declared_name_is_ours(resolved: None) -> None:
    for path, names in DOCUMENTED.by_path().items():
        module = importlib.import_module(path)
        for name in names:
            assert getattr(module, name).__module__.startswith("insession.exchange"), f"{path}.{name}"


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("baseline.session.connector.exceptions", "NotConnectedError"),
        ("baseline.session.connector.exceptions", "StartSessionError"),
        ("baseline.session.connector.exceptions", "SessionEssayNotCorrectError"),
        ("baseline.session.exception", "SessionNotExistError"),
        ("baseline.epicrisis", "FileIsExistError"),
    ],
)
def test_its_errors_are_ours(resolved: None, path: str, name: str) -> None:
    assert getattr(importlib.import_module(path), name) is getattr(errors, name)


def test_every_public_name_is_there_when_it_is_asked_for() -> None:
    """They are imported late, so that installing aliases needs no extra."""
    assert [name for name in exchange.__all__ if not hasattr(exchange, name)] == []
    assert set(exchange.__all__) == set(exchange._WHERE)
    assert set(exchange.__all__) <= set(dir(exchange))


def test_a_name_that_is_none_of_its(resolved: None) -> None:
    with pytest.raises(ImportError, match="did you mean 'Session'"):
        exec("from baseline.session import Sesion")  # noqa: S102 - an import statement, as a program has it


@pytest.mark.requirement("R1", "R11", "R12")
@pytest.mark.processes
def test_a_program_by_the_document_runs_unchanged(tmp_path: Path) -> None:
    """With a connector of its own, and a solution as the document's siblings have it."""
    (tmp_path / "program.py").write_text(PROGRAM)
    with PlatformDouble(rules=PlatformRules(count=3, interval=0.05)) as platform:
        settings = f"TOKEN=t-1\nHOST={platform.url}\nSESSION_JOIN_TIMEOUT=0.2\nINSESSION_STORE=sqlite:///{tmp_path}/j\n"
        (tmp_path / ".env").write_text(settings)
        done = subprocess.run(
            [sys.executable, "-W", "error", "-m", "insession.aliases", "run", "--only", "baseline", "program.py"],
            cwd=tmp_path,
            env=clean_environ(),
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )
        counters = platform.counters()
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "starting 12"
    assert done.stdout.splitlines()[1].endswith(" finish")
    assert (counters.answered, counters.violations) == (3, [])

"""Made-up documents, packages that are really installed, and the samples of a real document."""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from insession import aliases

from .sampled import Samples

Write = Callable[..., None]


def imported() -> list[str]:
    """What is imported of the made-up package."""
    return sorted(path for path in sys.modules if path.partition(".")[0] == "oldhouse")


@pytest.fixture(autouse=True)
def documents(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two made-up documents; afterwards everything is as it was."""
    monkeypatch.setitem(aliases.DOCUMENTS, "oldhouse.sessions", "tests.aliases.face:DOCUMENTED")
    monkeypatch.setitem(aliases.DOCUMENTS, "oldhouse.records", "tests.aliases.face:SECOND")
    finders = list(sys.meta_path)
    yield
    for path in imported():
        del sys.modules[path]
    assert sys.meta_path == finders
    assert aliases._aside == {}


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write a package's files, by their path, into a folder that lies on `sys.path`."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(**files: str) -> None:
        for path, text in files.items():
            file = tmp_path / f"{path.replace('__', '/').removesuffix('/init')}"
            file = file / "__init__.py" if path.endswith("__init") else file.with_suffix(".py")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        importlib.invalidate_caches()

    return write


@pytest.fixture
def aliased() -> Iterator[None]:
    with aliases.install("modules.session_management"):
        yield


@pytest.fixture(params=["memory:", "sqlite:///sessions.db"])
def environ(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    return {"INSESSION_STORE": request.param, "INSESSION_STATE_DIR": str(tmp_path / "state")}


@pytest.fixture
def folder(tmp_path: Path, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory of the samples, which name their files relative to it."""
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
async def samples(aliased: None, folder: Path) -> Samples:
    """The samples of the session management module's guide, after the first, which gives the configuration."""
    samples = Samples("manager")
    await samples.run("configuration")
    samples.names["logger"] = logging.getLogger("program")
    return samples

"""`python -m insession.aliases` as a process."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.programs import run

pytestmark = pytest.mark.processes
Aliases = Callable[..., CompletedProcess[str]]
WHERE = """
import sys, __main__
import neighbour
assert sys.modules["__main__"].__dict__ is globals() and __name__ == "__main__" and __spec__ is None
print(__file__, sys.argv, sys.path[0], sep="\\n")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "neighbour.py").write_text("")
    return tmp_path


@pytest.fixture
def python(folder: Path) -> Aliases:
    return lambda *arguments: run(sys.executable, "-W", "error", *arguments, cwd=folder)


@pytest.fixture
def program(folder: Path, python: Aliases) -> Aliases:
    """Run a program with the aliases in place."""

    def started(text: str, *arguments: str, options: tuple[str, ...] = ()) -> CompletedProcess[str]:
        (folder / "scripts" / "program.py").write_text(text)
        return python("-m", "insession.aliases", "run", *options, "scripts/program.py", *arguments)

    return started


def test_the_program_finds_what_python_gives_it(program: Aliases, python: Aliases) -> None:
    arguments = ("one", "--override", "--", "-x", "--help")
    done = program(WHERE, *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == python("scripts/program.py", *arguments).stdout


def test_a_safe_path_stays_safe(folder: Path, python: Aliases) -> None:
    (folder / "program.py").write_text("import sys; print(sys.path)")
    done = python("-P", "-m", "insession.aliases", "run", "program.py")
    assert done.stdout == python("-P", "program.py").stdout


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("raise SystemExit(7)", 7),
        ("import sys; sys.exit('no')", 1),
        ("1 / 0", 1),
        ("", 0),
        ("import os; os._exit(9)", 9),
    ],
)
def test_the_exit_code_is_the_programs(program: Aliases, text: str, code: int) -> None:
    assert program(text).returncode == code


def test_threads_and_exit_functions_find_the_program(program: Aliases) -> None:
    text = (
        "import atexit, pickle, threading\n"
        "class Mine: ...\n"
        "def late(): threading.main_thread().join(); assert pickle.loads(pickle.dumps(Mine())); print('late')\n"
        "atexit.register(lambda: print(type(pickle.loads(pickle.dumps(Mine()))).__name__))\n"
        "threading.Thread(target=late).start()\n"
    )
    done = program(text)
    assert (done.stdout, done.stderr, done.returncode) == ("late\nMine\n", "", 0)


def test_what_it_installs_is_the_same_as_what_the_program_would(program: Aliases) -> None:
    text = (
        "import sys, insession.aliases as aliases, modules.session_management as there\n"
        "found = [one for one in sys.meta_path if type(one).__module__ == 'insession.aliases']\n"
        "assert len(aliases._installed) == len(found) == 1, found\n"
        "assert isinstance(there.__loader__, aliases._Loader)\n"
    )
    done = program(text)
    assert (done.returncode, done.stderr) == (0, "")


def test_installing_imports_no_extra_and_no_store(program: Aliases) -> None:
    stores = ("insession.stores", "insession.stores.sqlite")
    heavy = (*stores, "cryptography", "grpc", "typer", "pytest", "httpx2", "pydantic")
    done = program(f"import sys, modules.session_management; print([one for one in {heavy} if one in sys.modules])")
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_override_and_only(folder: Path, program: Aliases) -> None:
    package = folder / "scripts" / "modules" / "session_management"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("__all__ = ['theirs']")
    text = "import modules.session_management as there; print('theirs' in there.__all__)"
    assert program(text).stdout == "True\n"
    assert program(text, options=("--override",)).stdout == "False\n"
    assert program(text, options=("--only", "modules.session_management", "--override")).stdout == "False\n"


def test_wrong_usage_is_said(python: Aliases, program: Aliases) -> None:
    done = program("", options=("--only", "modules.session_managment"))
    assert done.returncode == 2
    assert "did you mean 'modules.session_management'?" in done.stderr
    done = python("-m", "insession.aliases", "run", "nowhere.py")
    assert done.returncode == 2
    assert "nowhere.py is not a file" in done.stderr
    assert python("-m", "insession.aliases").returncode == 2


def test_the_list(python: Aliases) -> None:
    done = python("-m", "insession.aliases", "list")
    assert (done.returncode, done.stderr) == (0, "")
    ours = "insession.tracking"
    hardware = "providers.hardware_id_provider.HardwareIDProvider"
    others = ("mtpylon.", "sankhya_sdk.", "logger sankhya_sdk.")
    assert [line for line in done.stdout.splitlines() if not line.startswith(others)] == [
        f"modules.session_management.SessionManager = {ours}.manager.SessionManager",
        f"modules.session_management.SessionManagementConfig = {ours}.config.SessionManagementConfig",
        f"modules.session_management.config.SessionManagementConfig = {ours}.config.SessionManagementConfig",
        f"modules.session_management.core.session_manager.SessionManager = {ours}.manager.SessionManager",
        f"modules.session_management.{hardware} = {ours}.hardware.HardwareIDProvider",
        f"modules.session_management.providers.session_tracker.SessionTracker = {ours}.tracker.SessionTracker",
        "logger modules.session_management = logger insession.tracking",
    ]
    assert "mtpylon.sessions.SessionSubject = insession.protocol.subject.SessionSubject" in done.stdout
    assert "sankhya_sdk.SankhyaContext = insession.remote.sankhya.blocking.SankhyaContext" in done.stdout
    assert "logger sankhya_sdk.session = logger insession.remote" in done.stdout

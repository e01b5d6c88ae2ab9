"""The migration page tells the truth: its code runs, its commands find tests, its table of names is complete."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from insession import aliases
from tests.pages import run_blocks
from tests.programs import ROOT, run

PAGE = (ROOT / "docs" / "migration-session-management.md").read_text()
COMMANDS = [
    [given, ours]
    for given, ours in re.findall(r"^\| `(python -m pytest [^`]*)` \| `(python -m pytest [^`]*)`", PAGE, re.MULTILINE)
]


async def test_its_code_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("INSESSION_STORE", "memory:")
    monkeypatch.setenv("INSESSION_STATE_DIR", str(tmp_path / "state"))
    assert await run_blocks(PAGE, "the page") == PAGE.count("```python")


@pytest.mark.processes
def test_the_code_of_the_aliases_page_runs(tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "aliases.md").read_text(), re.DOTALL)
    for block in blocks:
        done = run(sys.executable, "-W", "error", "-c", block, cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
    assert blocks


@pytest.mark.processes
@pytest.mark.requirement("M91")
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_command_of_the_guide_has_one_of_ours(command: list[str], tmp_path: Path) -> None:
    ours = command[1].split()[1:]
    paths = [str(ROOT / part) if part.startswith("tests/") else part for part in ours if not part.startswith("--cov")]
    options = [
        "--collect-only",
        "-q",
        "-p",
        "no:cacheprovider",
        f"--rootdir={ROOT}",
        f"--config-file={ROOT / 'pyproject.toml'}",
    ]
    done = run(sys.executable, *paths, *options, cwd=tmp_path, environ={"PYTHONPATH": f"{ROOT}:{ROOT / 'src'}"})
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"\d+ tests? collected", done.stdout)


@pytest.mark.requirement("M91")
def test_commands_folders_and_dependencies_are_told_of() -> None:
    assert len(COMMANDS) == 3
    for folder in ("docs", "tests"):
        (row,) = re.findall(rf"^\| `modules/session_management/{folder}/` \| `([\w/]+)`", PAGE, re.MULTILINE)
        assert (ROOT / row).is_dir()
    dependencies = PAGE.partition("## Dependencies\n")[2].partition("\n## ")[0]
    wanted = re.search(r"^dependencies = \[(.*?)\]", (ROOT / "pyproject.toml").read_text(), re.MULTILINE | re.DOTALL)
    assert wanted is not None
    for package in re.findall(r'"(\w+)', wanted[1]):
        assert package in dependencies


def test_links_lead_somewhere() -> None:
    for page in ("migration-session-management.md", "aliases.md"):
        for link in re.findall(r"\]\(([^)#:]+)\)", (ROOT / "docs" / page).read_text()):
            assert (ROOT / "docs" / link).exists(), link


def test_the_pages_name_every_documented_module() -> None:
    document = aliases.install("modules.session_management")
    document.uninstall()
    text = (ROOT / "docs" / "aliases.md").read_text()
    for path, names in document.documents[0].by_path().items():
        for ours in names.values():
            assert ours.replace(":", ".") in text
        if path != document.roots[0]:
            for name in names:
                assert f"| `from {path} import {name}` | `from insession.tracking import {name}` |" in PAGE

"""Finds ``@pytest.mark.requirement("M12", ...)`` in the syntax trees of the tests; nothing is imported."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

from tests.programs import ROOT

FOLDERS = (ROOT / "tests", ROOT / "src" / "insession" / "testing" / "contract")
Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef


class Proof(NamedTuple):
    """A number on a test: of a function, of a class (all its tests), or of a whole file (an empty name)."""

    number: str
    path: str
    name: str


def proofs(folders: Sequence[Path] = FOLDERS, *, root: Path = ROOT) -> list[Proof]:
    """All numbers on tests, in the order of their files and lines.

    Raises:
        ValueError: A marker without plain numbers, or on something that is not a test; it names file and line.
    """
    found = [path for folder in folders for path in sorted(folder.rglob("*.py"))]
    # The documents' samples are fragments, and some are none of Python's.
    paths = [path for path in found if "samples" not in path.relative_to(root).parts]
    return [proof for path in paths for proof in _in_file(path, path.relative_to(root).as_posix())]


def _in_file(path: Path, name: str) -> Iterator[Proof]:
    tree = ast.parse(path.read_bytes(), name)
    left = {call for call in ast.walk(tree) if isinstance(call, ast.Call) and _is_marker(call)}
    for test, marker in _markers(tree, ""):
        left.remove(marker)
        for number in _numbers(marker, name):
            yield Proof(number, name, test)
    if left:
        line = min(marker.lineno for marker in left)
        raise ValueError(f"{name}:{line}: write a requirement marker out on a test or its class, or in pytestmark")


def _markers(node: ast.Module | ast.ClassDef | Function, name: str) -> Iterator[tuple[str, ast.Call]]:
    marked: list[ast.AST] = [] if isinstance(node, ast.Module) else [*node.decorator_list]
    lines = [] if isinstance(node, Function) else node.body
    marked += [line for line in lines if isinstance(line, ast.Assign) and _is_pytestmark(line)]
    for found in itertools.chain.from_iterable(map(ast.walk, marked)):
        if isinstance(found, ast.Call) and _is_marker(found):
            yield name, found
    for line in lines:
        if isinstance(line, ast.ClassDef | Function) and _is_collected(line):
            yield from _markers(line, f"{name}::{line.name}".removeprefix("::"))


def _numbers(marker: ast.Call, path: str) -> list[str]:
    values = [argument.value for argument in marker.args if isinstance(argument, ast.Constant)]
    numbers = [value for value in values if isinstance(value, str)]
    if not numbers or len(numbers) < len(marker.args) or marker.keywords:
        raise ValueError(f'{path}:{marker.lineno}: a requirement marker takes plain strings, such as "M12"')
    return numbers


def _is_marker(call: ast.Call) -> bool:
    return ast.unparse(call.func) == "pytest.mark.requirement"


def _is_pytestmark(line: ast.Assign) -> bool:
    return any(isinstance(target, ast.Name) and target.id == "pytestmark" for target in line.targets)


def _is_collected(node: ast.ClassDef | Function) -> bool:
    # A contract's suite is inherited, and has tests under any name.
    if isinstance(node, ast.ClassDef):
        return node.name.startswith("Test") or any(
            isinstance(child, Function) and _is_collected(child) for child in node.body
        )
    return node.name.startswith("test")

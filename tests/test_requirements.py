from __future__ import annotations

from pathlib import Path

import pytest

from tests.requirements.__main__ import main
from tests.requirements.faces import Face, disorder, faces
from tests.requirements.markers import Proof, proofs

FACES = faces()
KNOWN = {number for face in FACES for number in face.numbers}


def found(folder: Path, text: str) -> list[Proof]:
    (folder / "test_some.py").write_text(text)
    return proofs([folder], root=folder)


def test_the_page_is_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check"]) == 0, capsys.readouterr().err


@pytest.mark.parametrize("face", FACES, ids=lambda face: face.title)
def test_numbers_are_complete(face: Face) -> None:
    assert disorder(face) == []


@pytest.mark.parametrize("face", FACES, ids=lambda face: face.title)
def test_every_requirement_has_a_test(face: Face) -> None:
    proven = {proof.number for proof in proofs()}
    missing = [number for number in face.numbers if number not in proven]
    assert not missing, f"no test has {', '.join(missing)}"


def test_every_marker_names_a_requirement() -> None:
    unknown = [f"{proof.number} on {proof.path}::{proof.name}" for proof in proofs() if proof.number not in KNOWN]
    assert not unknown, f"no face has {', '.join(unknown)}"


def test_markers_are_found_on_functions_classes_and_files(tmp_path: Path) -> None:
    text = """
pytestmark = [pytest.mark.processes, pytest.mark.requirement("M1")]

@pytest.mark.requirement("M2", "M3")
async def test_one(): ...

@pytest.mark.parametrize("case", [pytest.param(1, marks=pytest.mark.requirement("M4"))])
def test_two(case): ...

@pytest.mark.requirement("M5")
class Suite:
    @pytest.mark.requirement("P7b")
    def test_three(self): ...
"""
    assert [(proof.number, proof.name) for proof in found(tmp_path, text)] == [
        ("M1", ""),
        ("M2", "test_one"),
        ("M3", "test_one"),
        ("M4", "test_two"),
        ("M5", "Suite"),
        ("P7b", "Suite::test_three"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        '@pytest.mark.requirement("M1")\ndef helper(): ...',
        '@pytest.mark.requirement("M1")\nclass Sample: ...',
        'MARK = pytest.mark.requirement("M1")',
        "@pytest.mark.requirement(*NUMBERS)\ndef test_one(): ...",
        "@pytest.mark.requirement()\ndef test_one(): ...",
        '@pytest.mark.requirement(number="M1")\ndef test_one(): ...',
    ],
)
def test_a_marker_that_proves_nothing_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ValueError, match=r"^test_some\.py:1: "):
        found(tmp_path, text)


def test_disorder_among_numbers_is_told() -> None:
    topics = {"One": {"M1": "", "P2": "", "M4": ""}, "Two": {"M1": "", "M1b": "", "M02": ""}}
    assert disorder(Face(title="", about="", last="M2", topics=topics)) == [
        "M2 is missing",
        "P2 is not in M1 to M2",
        "M4 is not in M1 to M2",
        "M02 is not in M1 to M2",
        "M1 is there twice",
    ]

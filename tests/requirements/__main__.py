"""``python -m tests.requirements [--check]``: writes `docs/requirements.md`, or says whether it is up to date."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence

from tests.programs import ROOT

from .faces import Face, faces
from .markers import Proof, proofs

PAGE = ROOT / "docs" / "requirements.md"
HEAD = """\
# Requirements

What is promised, a sentence for each number, and the tests that prove it: those that carry the number as a marker. A
class or a file stands for all of its tests.

This page is generated: mend `tests/requirements/*.toml` or a marker, then run `make requirements`.
"""


def page() -> str:
    """The page as it has to be now."""
    tests: dict[str, list[Proof]] = {}
    for proof in proofs():
        tests.setdefault(proof.number, []).append(proof)
    return "\n".join([HEAD, *(line for face in faces() for line in _lines(face, tests))])


def _lines(face: Face, tests: Mapping[str, Sequence[Proof]]) -> Iterator[str]:
    yield f"## {face.title}\n\n{face.about}\n"
    for topic, sentences in face.topics.items():
        yield f"### {topic}\n\n| number | promise | tests |\n|---|---|---|"
        for number, sentence in sentences.items():
            promise = sentence.replace("|", r"\|")
            links = "<br>".join(dict.fromkeys(map(_link, tests.get(number, ()))))
            yield f"| {number} | {promise} | {links or 'none'} |"
        yield ""


def _link(test: Proof) -> str:
    file = test.path.rpartition("/")[2]
    return f"[`{file}{test.name and '::'}{test.name}`](../{test.path})"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or check; 1 if the page is stale, or a marker cannot be read."""
    parser = argparse.ArgumentParser(prog="python -m tests.requirements")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if the page is out of date")
    asked = parser.parse_args(arguments)
    try:
        text = page()
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    if not asked.check:
        PAGE.write_text(text, "utf-8")
    elif not PAGE.exists() or PAGE.read_text("utf-8") != text:
        print("docs/requirements.md is out of date: run make requirements, and commit what it wrote", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

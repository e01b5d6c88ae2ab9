"""Reads the faces' requirements: a TOML file each, with a table for each topic, and in it a sentence for each number.

Beside its topics a file has ``title``, ``about`` (Markdown, for who has read nothing else) and ``last``, the number
that ends the list: numbers begin with 1 and leave nothing out. One that was put in later has a letter behind it (P7b).
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Face:
    """The requirements of a face, by topic and number, in the order of their file."""

    title: str
    about: str
    last: str
    topics: Mapping[str, Mapping[str, str]]

    @property
    def numbers(self) -> list[str]:
        """All numbers; one that stands under two topics is there twice."""
        return [number for sentences in self.topics.values() for number in sentences]


def faces() -> list[Face]:
    """All faces, in the order of their files' names."""
    return [_face(path) for path in sorted(Path(__file__).parent.glob("*.toml"))]


def _face(path: Path) -> Face:
    content = tomllib.loads(path.read_text("utf-8"))
    title, about, last = (content.pop(key).strip() for key in ("title", "about", "last"))
    topics = {
        topic: {number: " ".join(sentence.split()) for number, sentence in sentences.items()}
        for topic, sentences in content.items()
    }
    return Face(title=title, about=about, last=last, topics=topics)


def disorder(face: Face) -> list[str]:
    """What is wrong with a face's numbers, a sentence each."""
    letter, count = face.last[0], int(face.last[1:])
    expected = [f"{letter}{number}" for number in range(1, count + 1)]
    # P7b counts as P7.
    plain = {number: re.sub("[a-z]$", "", number) for number in face.numbers}
    return [
        *(f"{number} is missing" for number in expected if number not in plain),
        *(f"{number} is not in {letter}1 to {face.last}" for number in plain if plain[number] not in expected),
        *(f"{number} is there twice" for number in plain if face.numbers.count(number) > 1),
    ]

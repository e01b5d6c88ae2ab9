"""The names under which the document's siblings call a solution."""

from __future__ import annotations

from pathlib import Path

import pytest

from insession.errors import InvalidInput
from insession.exchange.dto import SessionFileDto
from insession.exchange.epicrisis import Epicrisis
from insession.exchange.marking import Marker, SolutionDemo
from insession.exchange.solutions import SolutionFactory


class Length(SolutionDemo):
    def get_solution(self) -> list[int]:
        return [len(self.epicrisis.content)]


@pytest.fixture
def epicrisis(tmp_path: Path) -> Epicrisis:
    (tmp_path / "1.xml").write_bytes(b"<x/>")
    return Epicrisis(SessionFileDto(session_id=1, file_id=1), path_to_xml=tmp_path / "1.xml")


async def test_either_form_asks_the_solution_that_is_set(epicrisis: Epicrisis) -> None:
    with SolutionFactory.set(Length):
        assert await Marker(epicrisis).markup_async(10) == [4]
        assert await Marker().markup_async(epicrisis) == [4]


def test_without_a_loop(epicrisis: Epicrisis) -> None:
    with SolutionFactory.set(SolutionDemo):
        assert Marker(epicrisis).markup() == []


async def test_without_a_file() -> None:
    with SolutionFactory.set(Length), pytest.raises(InvalidInput, match="epicrisis"):
        await Marker().markup_async(3.0)

"""What a session is started with."""

from __future__ import annotations

from typing import Any

import pytest

from insession.errors import InvalidInput
from insession.exchange.dialects import Dialect2021, Dialect2023
from insession.exchange.options import ContestStarterOptions, SessionStarterOptions


def test_the_start_of_2021_has_every_field_of_the_page() -> None:
    options = SessionStarterOptions(type="technical", dataset="test", file_count=10, file_timeout=60, language="eng")
    assert options.prepare_to_command() == {
        "type": "technical",
        "params": {"dsType": "test", "countFiles": 10, "lang": "eng", "time": 60},
    }


def test_the_defaults_of_2021() -> None:
    assert SessionStarterOptions().prepare_to_command() == {
        "type": "algorithmic",
        "params": {"dsType": "train", "countFiles": 300, "lang": "rus", "time": 60},
    }


def test_the_start_of_2023() -> None:
    options = ContestStarterOptions(contest="doctor", stage="final", session_type="challenge", nosology="1,2")
    assert options.prepare_to_command() == {
        "contest": "doctor",
        "params": {
            "countFiles": None,
            "stage": "final",
            "time": None,
            "sessionType": "challenge",
            "nosologyString": "1,2",
        },
    }
    assert "nosologyString" not in ContestStarterOptions().prepare_to_command()["params"]


@pytest.mark.requirement("R41")
@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"type": "fast"}, "type"),
        ({"dataset": "all"}, "dataset"),
        ({"language": "deu"}, "language"),
        ({"file_count": 9}, "file_count"),
        ({"file_count": 1001}, "file_count"),
        ({"file_count": 20.0}, "file_count"),
        ({"file_count": True}, "file_count"),
        ({"file_timeout": 9}, "file_timeout"),
        ({"file_timeout": 61}, "file_timeout"),
    ],
)
def test_what_is_out_of_bounds_in_2021_is_refused(given: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        SessionStarterOptions(**given)
    assert raised.value.field == field


@pytest.mark.requirement("R41")
@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"contest": "cook"}, "contest"),
        ({"stage": "first"}, "stage"),
        ({"session_type": "final"}, "session_type"),
        ({"file_count": 0}, "file_count"),
        ({"file_timeout": 9}, "file_timeout"),
        ({"nosology": "1,x"}, "nosology"),
    ],
)
def test_what_is_out_of_bounds_in_2023_is_refused(given: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        ContestStarterOptions(**given)
    assert raised.value.field == field


def test_how_long_all_files_take() -> None:
    assert SessionStarterOptions(file_count=300, file_timeout=60).duration == 18_000.0
    assert SessionStarterOptions(type="final").duration is None
    assert ContestStarterOptions().duration is None
    assert ContestStarterOptions(file_count=10, file_timeout=10).duration == 100.0


@pytest.mark.requirement("R41")
async def test_options_of_the_other_generation_are_refused() -> None:
    with pytest.raises(InvalidInput, match="SessionStarterOptions"):
        Dialect2021().start(ContestStarterOptions())
    later = Dialect2023(download_host="http://127.0.0.1:1/download", token="t")
    with pytest.raises(InvalidInput, match="ContestStarterOptions"):
        later.start(SessionStarterOptions())

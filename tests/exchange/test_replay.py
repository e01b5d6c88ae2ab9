"""A solution runs offline against a recording."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from insession.errors import InvalidInput
from insession.exchange.answering import Policy
from insession.exchange.contracts import ExchangeEvent, WireMessage
from insession.exchange.epicrisis import Epicrisis
from insession.exchange.recording import Recorder, Recording
from insession.exchange.replay import replay
from insession.exchange.settings import ExchangeSettings

SETTINGS = ExchangeSettings.model_validate({"token": "t-0", "host": "http://127.0.0.1:9"})
OF_2023 = SETTINGS.but(dialect="2023", download_host="http://127.0.0.1:9")


def recorded(path: Path, *messages: tuple[str, str, Any], settings: ExchangeSettings = SETTINGS) -> Recording:
    with Recorder(path / "r.jsonl", settings, began=0.0) as recorder:
        for at, (direction, event, payload) in enumerate(messages):
            recorder.wire(
                WireMessage(at=at / 100, direction="in" if direction == "in" else "out", event=event, payload=payload)
            )
    return Recording(path / "r.jsonl")


def came(file_id: int | str, content: object = "<x/>") -> tuple[str, str, Any]:
    return ("in", "session-file-avaiable", {"sessionId": "s-1", "fileId": file_id, "content": content})


def sent(file_id: int | str, content: str) -> tuple[str, str, Any]:
    return ("out", "session-file-send", {"sessionId": "s-1", "fileId": file_id, "content": content})


async def length(epicrisis: Epicrisis) -> dict[str, int]:
    if epicrisis.content == b"<bad/>":
        raise ValueError("no answer to this one")
    return {"bytes": len(epicrisis.content)}


async def test_every_file_is_solved_and_compared(tmp_path: Path) -> None:
    recording = recorded(
        tmp_path,
        ("in", "session-start-success", {"sessionId": "s-1"}),
        came(1),
        sent(1, '{ "bytes": 4 }'),
        came("2", {"a": "ё"}),
        sent("2", '{"bytes": 5}'),
        came("../evil"),
        came(1),
        ("in", "session-close", {"sessionId": "s-1", "type": "finish"}),
    )
    events: list[ExchangeEvent] = []
    found = await replay(recording, length, folder=tmp_path, tell=events.append)
    assert found.answers == {"1": b'{"bytes":4}', "2": b'{"bytes":10}', "../evil": b'{"bytes":4}'}
    assert found.different == ["2"]
    assert (found.unsolved, found.report.totals().repeated) == ([], 1)
    assert (tmp_path / "files" / "sessions" / "s-1" / "input" / "1.xml").read_bytes() == b"<x/>"
    assert not (tmp_path.parent / "evil.xml").exists()
    assert events


async def test_what_is_not_solved_is_told(tmp_path: Path) -> None:
    recording = recorded(tmp_path, came(1), came(2, "<bad/>"))
    found = await replay(recording, length, folder=tmp_path, policy=Policy(tries=1), speed=1_000)
    assert [file.id for file in found.unsolved] == [2]
    assert found.report.files["2"].state == "failed"
    assert found.report.files["1"].state == "acknowledged"


async def test_a_recording_of_2023_takes_contents_from_the_disk(tmp_path: Path) -> None:
    ids = {"sessionId": 5, "epicrisisId": 1, "versionId": 2, "taskId": 3, "timeoutFile": 30, "awsLink": "x"}
    recording = recorded(
        tmp_path,
        ("in", "session_send_next_file", ids),
        ("out", "session-send-file-result", {"sessionId": 5, "epicrisisId": 1, "taskId": 3, "answer": [1]}),
        ("in", "session_send_next_file", ids | {"taskId": 4}),
        settings=OF_2023,
    )
    folder = tmp_path / "files" / "sessions" / "5" / "input"
    folder.mkdir(parents=True)
    (folder / "1_2_3.xml").write_bytes(b"12345")
    found = await replay(
        recording,
        lambda epicrisis: [len(epicrisis.content)],
        folder=tmp_path / "replayed",
        saved=tmp_path,
        policy=Policy(tries=1),
    )
    assert found.answers == {"1_2_3": b"[5]"}
    assert found.different == ["1_2_3"]
    assert [file.id for file in found.unsolved] == ["1_2_4"]


async def test_a_recording_without_files(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no file in it"):
        await replay(recorded(tmp_path), length, folder=tmp_path)

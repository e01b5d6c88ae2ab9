"""A recording: written line by line, readable after a crash, without a token."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from insession.errors import InvalidInput
from insession.exchange.contracts import WireMessage
from insession.exchange.recording import Recorder, Recording
from insession.exchange.settings import ExchangeSettings

TOKEN = "tok-5f2e81c0-secret"
SETTINGS = ExchangeSettings.model_validate({"token": TOKEN, "host": "http://127.0.0.1:9"})
LONG = "<x>" * 1_000


def record(path: Path) -> Path:
    with Recorder(path, SETTINGS, began=100.0) as recorder:
        recorder.wire(WireMessage(at=100.5, direction="out", event="session-start", payload={"token": TOKEN}))
        recorder.wire(
            WireMessage(at=102.0, direction="in", event="session-file-avaiable", payload={"fileId": 7, "content": LONG})
        )
    return path


def test_what_was_recorded_is_read(tmp_path: Path) -> None:
    recording = Recording(record(tmp_path / "day" / "one.jsonl"))
    assert (recording.header.dialect, recording.header.host) == ("2021", "http://127.0.0.1:9")
    (sent,) = recording.sent("session-start")
    (came,) = recording.received("session-file-avaiable", "session-file-available")
    assert (sent.at, came.at, came.payload) == (0.5, 2.0, {"fileId": 7, "content": LONG})
    assert not recording.cut


def test_it_is_private_and_holds_no_token(tmp_path: Path) -> None:
    path = record(tmp_path / "one.jsonl")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert TOKEN not in path.read_text()


def test_one_that_is_there_is_never_overwritten(tmp_path: Path) -> None:
    path = record(tmp_path / "one.jsonl")
    before = path.read_bytes()
    with pytest.raises(InvalidInput, match="exists"):
        record(path)
    assert path.read_bytes() == before


def test_a_last_line_that_a_crash_cut(tmp_path: Path) -> None:
    path = record(tmp_path / "one.jsonl")
    path.write_bytes(path.read_bytes()[:-5])
    recording = Recording(path)
    assert (len(recording.lines), recording.cut) == (1, True)


@pytest.mark.parametrize("content", [b"", b"{}", b"nonsense", b'{"format":"x","dialect":"","host":"","began":0}'])
def test_what_is_no_recording(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "one.jsonl"
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match="recording"):
        Recording(path)


def test_a_broken_line_in_the_middle_is_named(tmp_path: Path) -> None:
    path = record(tmp_path / "one.jsonl")
    lines = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join([lines[0], b"broken", lines[2]]))
    with pytest.raises(InvalidInput, match="line 2"):
        Recording(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be read"):
        Recording(tmp_path / "none")

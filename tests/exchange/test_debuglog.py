"""The log of a session: redacted, bound from the beginning, a file in debug mode alone."""

from __future__ import annotations

import io
import json
import logging
import stat
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from insession.exchange import debuglog
from insession.exchange.contracts import ExchangeEvent, What, WireMessage
from insession.exchange.debuglog import NAME, SessionLog
from insession.exchange.redaction import Redaction, digest
from insession.exchange.settings import ExchangeSettings

TOKEN = "tok/5f2e 81c0+secret"
REFUSED = f"refused: {TOKEN}"
TEXT = "<epicrisis>Иванов И. И., 47 лет</epicrisis>"
CAME = WireMessage(at=1.0, direction="in", event="session-file-avaiable", payload={"fileId": "7", "content": TEXT})


def settings(root: Path, **given: Any) -> ExchangeSettings:
    return ExchangeSettings.model_validate({"token": TOKEN, "host": "http://127.0.0.1:9", "root": root} | given)


def records(path: Path | None) -> list[dict[str, Any]]:
    assert path is not None
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


@pytest.mark.requirement("R7", "R8")
def test_in_debug_mode_each_message_is_a_line_of_json(tmp_path: Path) -> None:
    shown = io.StringIO()
    with SessionLog(settings(tmp_path, debug=True), stream=shown) as log:
        path = log.path
        log.wire(CAME)
        log.tell(ExchangeEvent(what=What.SAVED, at=2.0, session_id=12, file_id="7"))
    assert path is not None
    assert path.parent == tmp_path / "logs"
    assert path.name.startswith("debug_")
    first, second = records(path)
    assert (first["level"], first["message"], first["event"]) == ("DEBUG", "received", "session-file-avaiable")
    assert (second["message"], second["file_id"], second["session"]) == ("saved", "7", 12)
    assert shown.getvalue() == path.read_text("utf-8")


@pytest.mark.requirement("R8")
def test_without_debug_mode_there_is_no_file(tmp_path: Path) -> None:
    with SessionLog(settings(tmp_path), stream=io.StringIO()) as log:
        log.wire(CAME)
        log.warning("something")
    assert log.path is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.requirement("R44")
class TestWhatIsHidden:
    def test_token_and_content(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        """W22: also what the program's own handlers see."""
        caplog.set_level(logging.DEBUG, NAME)
        shown = io.StringIO()
        with SessionLog(settings(tmp_path, debug=True), stream=shown) as log:
            path = log.path
            log.debug("connecting", url=f"wss://p.example/socket.io/?token={quote(TOKEN, safe='')}&version=2")
            log.debug(REFUSED, token="other", payload={"baselineToken": TOKEN, "message": f"no {TOKEN}"})
            log.wire(CAME)
            log.wire(WireMessage(at=1.0, direction="out", event="session-file-send", payload={"content": TEXT}))
        assert path is not None
        for text in (path.read_text("utf-8"), shown.getvalue(), caplog.text):
            assert "secret" not in text
            assert quote(TOKEN, safe="") not in text
            assert "Иванов" not in text
            assert digest(TEXT)["sha256"] in text
        assert records(path)[2]["payload"] == {"fileId": "7", "content": digest(TEXT)}

    def test_in_full_if_asked(self, tmp_path: Path) -> None:
        with SessionLog(settings(tmp_path, debug=True, debug_content="1"), stream=io.StringIO()) as log:
            path = log.path
            log.wire(CAME)
            log.debug("connecting", url=f"?token={TOKEN}")
        assert records(path)[0]["payload"]["content"] == TEXT
        assert TOKEN in records(path)[1]["url"]

    def test_content_is_not_asked_for_without_debug_mode(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG, NAME)
        with SessionLog(settings(tmp_path, debug_content="1")) as log:
            log.wire(CAME)
        assert "received" in caplog.text
        assert "Иванов" not in caplog.text

    def test_the_file_is_its_user_s(self, tmp_path: Path) -> None:
        with SessionLog(settings(tmp_path, debug=True), stream=io.StringIO()) as log:
            assert log.path is not None
            assert stat.S_IMODE(log.path.stat().st_mode) == 0o600

    @pytest.mark.parametrize("value", [TEXT, TEXT.encode(), {"text": TEXT}, [TEXT]])
    def test_content_in_any_form(self, value: object) -> None:
        cleaned = Redaction().value({"content": value, "answer": value, "fileId": 7, "long": "x" * 2_000})
        assert "Иванов" not in json.dumps(cleaned, ensure_ascii=False)
        assert cleaned["fileId"] == 7
        assert cleaned["long"]["bytes"] == 2_000


def test_records_are_bound_before_the_platform_has_named_the_session(tmp_path: Path) -> None:
    """W23: what fails before the id is known is in the log of the session that failed."""
    with SessionLog(settings(tmp_path, debug=True), stream=io.StringIO()) as log:
        path = log.path
        log.warning("the token was refused")
        log.tell(ExchangeEvent(what=What.STARTED, at=1.0, session_id="s-1"))
    first, second = records(path)
    assert (first["session"], second["session"]) == (None, "s-1")
    assert first["label"] == second["label"] == log.label


def test_sessions_of_one_program_have_logs_of_their_own(tmp_path: Path) -> None:
    with (
        SessionLog(settings(tmp_path, debug=True), stream=io.StringIO()) as one,
        SessionLog(settings(tmp_path, debug=True), stream=io.StringIO()) as other,
        SessionLog(settings(tmp_path), stream=io.StringIO()) as silent,
    ):
        paths = one.path, other.path
        one.debug("one")
        other.debug("other")
        silent.debug("silent")
    assert [[record["message"] for record in records(path)] for path in paths] == [["one"], ["other"]]


def test_it_is_rotated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """W22: a session of hours does not fill the disk."""
    monkeypatch.setattr(debuglog, "LARGEST", 2_000)
    monkeypatch.setattr(debuglog, "BACKUPS", 2)
    with SessionLog(settings(tmp_path, debug=True), stream=io.StringIO()) as log:
        for number in range(200):
            log.debug("step", number=number)
    files = sorted((tmp_path / "logs").iterdir())
    assert len(files) == 3
    assert all(file.stat().st_size <= 2_000 for file in files)
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in files)
    assert records(files[0])[-1]["number"] == 199


def test_the_logger_is_left_as_it_is(tmp_path: Path) -> None:
    logger = logging.getLogger(NAME)
    before = (logger.level, list(logger.handlers), logger.propagate)
    with SessionLog(settings(tmp_path, debug=True), stream=io.StringIO()) as log:
        log.debug("step")
        assert (logger.level, list(logger.handlers), logger.propagate) == before

"""What the dialects read and write: both spellings, both forms of content, ids as they came."""

from __future__ import annotations

from typing import Any

import pytest

from insession.errors import ConfigurationError
from insession.exchange.contracts import Answer, Outgoing
from insession.exchange.dialects import (
    AbortConfirmed,
    AbortDenied,
    Aborted,
    AuthError,
    Closed,
    Dialect2021,
    Dialect2023,
    FileCame,
    Rejoined,
    RejoinRefused,
    Started,
    StartRefused,
    Verdict,
)
from insession.exchange.errors import EmptyError, NotHasRequiredFieldError, ProtocolError, ValidationError

FILE: dict[str, Any] = {"sessionId": "7", "fileId": "f1", "content": "<x/>"}
NEXT: dict[str, Any] = {
    "sessionId": 7,
    "epicrisisId": 5,
    "versionId": 2,
    "teamId": 1,
    "taskId": 9,
    "sessionTypeCode": "training",
    "awsLink": "s3",
    "timeoutFile": 60,
}


def later() -> Dialect2023:
    return Dialect2023(download_host="http://127.0.0.1:1/download", token="t")


def came(payload: dict[str, Any], event: str = "session-file-avaiable") -> FileCame:
    heard = Dialect2021().hear(event, payload)
    assert isinstance(heard, FileCame)
    return heard


@pytest.mark.requirement("R32")
@pytest.mark.parametrize("event", ["session-file-avaiable", "session-file-available", "session_file_available"])
def test_the_file_event_is_heard_in_every_spelling(event: str) -> None:
    assert came(FILE, event).file_id == "f1"


@pytest.mark.requirement("R23", "R36")
def test_content_is_text_or_an_object() -> None:
    assert came(FILE | {"content": "<ё>\r\n</ё>"}).content == "<ё>\r\n</ё>".encode()
    assert came(FILE | {"content": {"b": "ё", "a": [1, 2]}}).content == '{"b":"ё","a":[1,2]}'.encode()


@pytest.mark.parametrize(
    ("content", "error"),
    [(None, EmptyError), ("", EmptyError), (5, ValidationError), ("\ud800", ValidationError)],
)
def test_content_that_is_none(content: object, error: type[Exception]) -> None:
    with pytest.raises(error, match="content"):
        came(FILE | {"content": content})


@pytest.mark.requirement("R33")
@pytest.mark.parametrize("session_id", [7, "7", "0x7"], ids=repr)
@pytest.mark.parametrize("file_id", [9, "9", "../../evil"], ids=repr)
def test_ids_are_echoed_as_they_came(session_id: int | str, file_id: int | str) -> None:
    file = came({"sessionId": session_id, "fileId": file_id, "content": "x"})
    assert file.session_id is not None
    outgoing = Outgoing(session_id=file.session_id, file_id=file.file_id, answer=Answer(b'{"a":1}'), raw=file.raw)
    said = Dialect2021().result(outgoing)
    assert said.event == "session-file-send"
    assert said.payload == {"sessionId": session_id, "fileId": file_id, "content": '{"a":1}'}
    assert [type(said.payload[name]) for name in ("sessionId", "fileId")] == [type(session_id), type(file_id)]


@pytest.mark.parametrize(
    "file_id", ["", True, 1.5, ["a"], "x" * 70_000], ids=["empty", "bool", "float", "list", "long"]
)
def test_what_is_no_id_is_refused(file_id: object) -> None:
    with pytest.raises(ValidationError, match="fileId"):
        came(FILE | {"fileId": file_id})


def test_a_file_without_an_id_is_refused() -> None:
    with pytest.raises(NotHasRequiredFieldError, match="fileId: is missing"):
        came({"content": "x"})
    with pytest.raises(ProtocolError, match="no JSON object"):
        Dialect2021().hear("session-file-avaiable", "x")


@pytest.mark.requirement("R35")
def test_a_file_need_not_name_its_session() -> None:
    assert came({"fileId": "f1", "content": "x"}).session_id is None


@pytest.mark.requirement("R32")
def test_an_abort_is_spelled_as_the_page_has_it_unless_told_otherwise() -> None:
    said = Dialect2021().abort("7", "enough")
    assert (said.event, said.payload) == ("session-cliend-abort", {"sessionId": "7", "message": "enough"})
    said = Dialect2021(abort_spelling="client").abort("7", "enough")
    assert (said.event, said.payload) == ("session-client-abort", None)


@pytest.mark.parametrize("dialect", [Dialect2021(), None], ids=["2021", "2023"])
def test_the_sessions_own_events(dialect: Dialect2021 | None) -> None:
    hear = (dialect or later()).hear
    assert hear("connection-auth-error", {"message": "no"}) == AuthError(message="no")
    assert hear("connection_auth_error", "no") == AuthError(message="no")
    assert hear("session-start-success", {"sessionId": 7}) == Started(session_id=7)
    assert hear("session-start-error", {"message": "no"}) == StartRefused(message="no")
    assert hear("session-reconnect-success", {"sessionId": "7"}) == Rejoined(session_id="7")
    assert hear("session-reconnect-error", {"message": "no"}) == RejoinRefused(message="no", asked=True)
    assert hear("session-auto-reconnect-error", {}) == RejoinRefused(asked=False)
    assert hear("session-close", {"sessionId": 7, "type": "finish"}) == Closed(session_id=7, why="finish")
    assert hear("session-close", {"sessionId": 7, "type": "odd"}) == Closed(session_id=7, why=None)
    assert hear("session-abort", {"sessionId": 7, "message": "m"}) == Aborted(session_id=7, message="m")
    assert hear("session-abort", None) == Aborted(session_id=None)
    for spelled in ("cliend", "client"):
        assert hear(f"session-{spelled}-abort-success", {"message": "m"}) == AbortConfirmed(message="m")
        assert hear(f"session-{spelled}-abort-error", {"message": "m"}) == AbortDenied(message="m")
    assert hear("something-else", {}) is None


@pytest.mark.requirement("R34")
def test_a_verdict_names_its_file() -> None:
    hear, key = Dialect2021().hear, Dialect2021().key
    assert hear("session-file-send-success", {"sessionId": "7", "fileId": "f1"}) == Verdict(
        session_id="7", key=key("f1", {}), file_id="f1", accepted=True
    )
    assert hear("session-file-send-error", {"sessionId": "7", "fileId": 1, "message": "no"}) == Verdict(
        session_id="7", key=key(1, {}), file_id=1, accepted=False, message="no"
    )
    file = later().hear("session-send-next-file", NEXT)
    assert isinstance(file, FileCame)
    verdict = later().hear("session-file-send-success", {"sessionId": 7, "taskId": 9, "epicrisisId": 5})
    assert isinstance(verdict, Verdict)
    assert verdict.key == later().key(file.file_id, file.raw)


def test_the_file_of_2023_is_named_by_three_ids_and_fetched() -> None:
    for event in ("session-send-next-file", "session_send_next_file"):
        file = later().hear(event, NEXT)
        assert isinstance(file, FileCame)
        assert (file.session_id, file.file_id, file.timeout, file.content) == (7, "5_2_9", 60, None)
        assert file.fetch is not None
    with pytest.raises(ValidationError, match="timeoutFile"):
        later().hear("session-send-next-file", NEXT | {"timeoutFile": -1})


def test_the_answer_of_2023_is_a_list() -> None:
    def said(text: bytes) -> Any:
        return later().result(Outgoing(session_id=7, file_id="5_2_9", answer=Answer(text), raw=NEXT))

    assert said(b'[{"code":"x"}]').event == "session-send-file-result"
    assert said(b'[{"code":"x"}]').payload == {
        "sessionId": 7,
        "epicrisisId": 5,
        "taskId": 9,
        "answer": [{"code": "x"}],
    }
    for text in (b'{"a":1}', b"text"):
        with pytest.raises(ValidationError, match="no list"):
            said(text)


def test_the_dialect_of_2023_needs_a_place_to_fetch_from() -> None:
    with pytest.raises(ConfigurationError, match="DOWNLOAD_HOST"):
        Dialect2023(download_host=None, token="t")

"""The two generations of the protocol, as the platform speaks them: names of events, and payloads.

Names are the platform's own, its misspellings included.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from .rules import FileId, PlatformFile, PlatformRules

Payload = dict[str, Any]


class Result(msgspec.Struct, frozen=True):
    """A client's result of a file, and what is wrong with its form."""

    file: object
    content: str
    problems: tuple[str, ...]


class Dialect(Protocol):
    """What differs between the generations."""

    result_event: str

    def session_id(self, number: int) -> FileId:
        """An id for the n-th session of the platform."""

    def file_id(self, number: int) -> FileId:
        """An id for the n-th file of the platform."""

    def wants(self, options: Mapping[str, Any]) -> tuple[object, object]:
        """How many files a start asks for, and how many seconds apart."""

    def problems_of_start(self, options: Mapping[str, Any]) -> list[str]:
        """What is wrong with a start."""

    def offer(self, session: FileId, file: PlatformFile) -> tuple[str, Payload]:
        """The event that offers a file."""

    def result(self, session: FileId, data: Mapping[str, Any]) -> Result:
        """Read a result."""

    def told(self, session: FileId, file: FileId) -> Payload:
        """Which file an acknowledgement, or an error, is about."""


def dialect_of(rules: PlatformRules) -> Dialect:
    """The one that the rules name."""
    return Y2021(rules) if rules.dialect == "2021" else Y2023(rules)


def _differs(data: Mapping[str, Any], name: str, expected: object) -> list[str]:
    if name not in data:
        return [f"the result has no {name}"]
    if data[name] != expected or type(data[name]) is not type(expected):
        return [f"the result's {name} is {str(data[name])[:80]!r}, not {expected!r} as it was sent"]
    return []


class Y2021:
    """Content in the event, ids as text, the answer as text."""

    result_event = "session-file-send"

    def __init__(self, rules: PlatformRules) -> None:
        self._rules = rules

    def session_id(self, number: int) -> FileId:
        return f"{1000 + number}" if self._rules.session_ids == "string" else 1000 + number

    def file_id(self, number: int) -> FileId:
        return f"{number:06}"

    def wants(self, options: Mapping[str, Any]) -> tuple[object, object]:
        asked = options.get("params") or {}
        return asked.get("countFiles"), asked.get("time")

    def problems_of_start(self, options: Mapping[str, Any]) -> list[str]:
        problems = []
        if options.get("type") not in {"algorithmic", "technical", "final"}:
            problems.append("the start's type is none of algorithmic, technical, final")
        if not isinstance(options.get("params"), dict):
            problems.append("the start has no params")
        return problems

    def offer(self, session: FileId, file: PlatformFile) -> tuple[str, Payload]:
        named = {"sessionId": session} if self._rules.names_session else {}
        return f"session-file-{self._rules.spelling}", {**named, "fileId": file.id, "content": file.content}

    def result(self, session: FileId, data: Mapping[str, Any]) -> Result:
        content = data.get("content")
        problems = _differs(data, "sessionId", session)
        if not isinstance(content, str):
            problems.append("the result's content is no text")
        return Result(data.get("fileId"), content if isinstance(content, str) else json.dumps(content), tuple(problems))

    def told(self, session: FileId, file: FileId) -> Payload:
        return {"sessionId": session, "fileId": file}


class Y2023:
    """A file is named by the event and fetched over HTTP, ids are numbers, the answer is a list."""

    result_event = "session-send-file-result"

    def __init__(self, rules: PlatformRules) -> None:
        self._rules = rules

    def session_id(self, number: int) -> FileId:
        return 1000 + number

    def file_id(self, number: int) -> FileId:
        return 50_000 + number

    def wants(self, options: Mapping[str, Any]) -> tuple[object, object]:
        asked = options.get("params") or {}
        return asked.get("countFiles"), asked.get("time")

    def problems_of_start(self, options: Mapping[str, Any]) -> list[str]:
        problems = []
        if options.get("contest") not in {"doctor", "finder"}:
            problems.append("the start's contest is neither doctor nor finder")
        asked = options.get("params")
        if not isinstance(asked, dict) or asked.get("stage") not in {"qualifying", "semifinal", "final"}:
            problems.append("the start's stage is none of qualifying, semifinal, final")
        return problems

    def offer(self, session: FileId, file: PlatformFile) -> tuple[str, Payload]:
        return "session-send-next-file", {
            **self.told(session, file.id),
            "versionId": 1,
            "teamId": 7,
            "sessionTypeCode": "training",
            "awsLink": f"epicrises/{file.id}.xml",
            "timeoutFile": self._rules.file_timeout,
        }

    def result(self, session: FileId, data: Mapping[str, Any]) -> Result:
        file, answer = data.get("epicrisisId"), data.get("answer")
        problems = _differs(data, "sessionId", session)
        if isinstance(file, int):
            problems += _differs(data, "taskId", task_of(file))
        if not isinstance(answer, list):
            problems.append("the result's answer is no list")
        return Result(file, json.dumps(answer, ensure_ascii=False), tuple(problems))

    def told(self, session: FileId, file: FileId) -> Payload:
        return {"sessionId": session, "epicrisisId": file, "taskId": task_of(file)}


def task_of(file: FileId) -> int:
    """The task under which a file of 2023 is given out."""
    return 900_000 + int(file)

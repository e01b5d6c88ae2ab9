"""What the events of a session say, as the document's siblings name it: frozen, and checked when made.

Ids keep the type that came. Of a file event the first generation sends ``file_id`` and ``content``, the second
``epicrisis_id``, ``version_id``, ``task_id`` and ``aws_link``; `SessionFileDto` holds either.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final, Self

from .contracts import Id
from .errors import EmptyError, NotHasRequiredFieldError, ValidationError


@dataclasses.dataclass(frozen=True, slots=True)
class MessageDto:
    """A message of the platform."""

    message: str


@dataclasses.dataclass(frozen=True, slots=True)
class SessionStartSuccessDto:
    """The session began."""

    session_id: Id


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SessionFileSendDto:
    """The platform's verdict on an answer; `ValidationError` for an id that is none."""

    session_id: Id
    file_id: Id | None = None
    task_id: Id | None = None
    epicrisis_id: Id | None = None
    message: str | None = None

    def __post_init__(self) -> None:
        _check_ids(self, ("session_id", "file_id", "task_id", "epicrisis_id"))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SessionFileDto:
    """A file that the platform sent.

    Raises `NotHasRequiredFieldError` without any id of the file, `EmptyError` for content that is there and empty, and
    `ValidationError` for an id that is neither text nor whole number; each names the field.
    """

    session_id: Id | None = None
    file_id: Id | None = None
    content: object = dataclasses.field(default=None, repr=False)
    epicrisis_id: Id | None = None
    version_id: Id | None = None
    team_id: Id | None = None
    task_id: Id | None = None
    session_type_code: str | None = None
    aws_link: str | None = dataclasses.field(default=None, repr=False)
    timeout_file: float | None = None

    def __post_init__(self) -> None:
        if self.content is not None and not self.content:
            raise EmptyError("content: is empty")
        _check_ids(self, ("session_id", "file_id", "epicrisis_id", "version_id", "team_id", "task_id"))
        if self.file_id is None and self.epicrisis_id is None:
            raise NotHasRequiredFieldError("fileId (or epicrisisId): is missing")

    @classmethod
    def from_mapping(cls, event: Mapping[str, Any]) -> Self:
        """Of an event as it came (``fileId``), or with the names of the attributes (``file_id``)."""
        known = {field.name: field.name for field in dataclasses.fields(cls)} | _WIRE
        return cls(**{known[name]: value for name, value in event.items() if name in known})

    @property
    def key(self) -> Id:
        """What the file is called: its id, or in the second generation the name that its three ids make."""
        if self.file_id is not None:
            return self.file_id
        return "_".join(str(one) for one in (self.epicrisis_id, self.version_id, self.task_id) if one is not None)


_WIRE: Final = {
    "sessionId": "session_id",
    "fileId": "file_id",
    "epicrisisId": "epicrisis_id",
    "versionId": "version_id",
    "teamId": "team_id",
    "taskId": "task_id",
    "sessionTypeCode": "session_type_code",
    "awsLink": "aws_link",
    "timeoutFile": "timeout_file",
}


def _check_ids(dto: object, fields: tuple[str, ...]) -> None:
    for field in fields:
        value = getattr(dto, field)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | str)):
            raise ValidationError(f"{field}: is a text or a whole number, not {type(value).__name__}")

"""The file that a solution is given, with its ids and its place on disk."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import msgspec

from .contracts import Id
from .dto import SessionFileDto
from .errors import EmptyError, FileIsExistError, ValidationError
from .files import File, SessionFiles, content_bytes, root_folder
from .names import safe_name
from .saving import write_file


class Epicrisis:
    """One file of a session: what a solution gets.

    ``file_id`` and ``session_id`` are as the platform sent them, type kept; the other ids are those of the second
    generation, None in the first. ``path_to_xml`` is where its bytes lie, as they were received, before a solution is
    called. ``timeout`` is how many seconds were given for the answer when the solution was called, None: nobody says.
    It can be pickled, for a solution in another process; its content is read from disk there.
    """

    __slots__ = ("_content", "_file", "dto", "file_id", "path_to_xml", "session_id", "timeout")

    def __init__(
        self,
        dto: SessionFileDto,
        *,
        path_to_xml: Path | None = None,
        session_id: Id | None = None,
        timeout: float | None = None,
        content: bytes | None = None,
        root: Path | None = None,
    ) -> None:
        self.dto: SessionFileDto = dto
        self.file_id: Id = dto.key
        self.session_id: Id | None = dto.session_id if session_id is None else session_id
        self.timeout: float | None = dto.timeout_file if timeout is None else timeout
        self._content = content if dto.content is None else content_bytes(dto.content)
        self._file: File | None = None
        if path_to_xml is None:
            folders = SessionFiles(
                root_folder() if root is None else root, "" if dto.session_id is None else dto.session_id
            )
            path_to_xml = folders.received(safe_name(self.file_id))
        self.path_to_xml: Path = path_to_xml

    @property
    def id(self) -> Id:
        """The file's id."""
        return self.file_id

    @property
    def epicrisis_id(self) -> Id | None:
        """Of the second generation."""
        return self.dto.epicrisis_id

    @property
    def version_id(self) -> Id | None:
        """Of the second generation."""
        return self.dto.version_id

    @property
    def team_id(self) -> Id | None:
        """Of the second generation."""
        return self.dto.team_id

    @property
    def task_id(self) -> Id | None:
        """Of the second generation."""
        return self.dto.task_id

    @property
    def session_type_code(self) -> str | None:
        """Of the second generation."""
        return self.dto.session_type_code

    @property
    def aws_link(self) -> str | None:
        """Of the second generation. Nothing is fetched from it."""
        return self.dto.aws_link

    @property
    def content(self) -> bytes:
        """Its bytes as they were received: kept, or read from ``path_to_xml``. Raises `FileNotFoundError`."""
        return self.path_to_xml.read_bytes() if self._content is None else self._content

    @property
    def text(self) -> str:
        """Its content as text: UTF-8, whatever else is in it shown as U+FFFD."""
        return self.content.decode("utf-8", "replace")

    @property
    def file(self) -> File | None:
        """A file that was put to it."""
        return self._file

    @file.setter
    def file(self, file: File) -> None:
        """Set once, else `FileIsExistError`."""
        if self._file is not None:
            raise FileIsExistError("this epicrisis has its file already")
        self._file = file

    def save(self, path: Path | str | None = None) -> None:
        """Write its content to ``path_to_xml``, or a path; on the disk when this returns. It blocks: use a thread.

        In a session nobody has to call it: a file is saved before its solution is called. Raises `EmptyError`.
        """
        if self._content is None and not self.path_to_xml.exists():
            raise EmptyError("content: there is none to save")
        write_file(self.path_to_xml if path is None else Path(path), self.content)

    def copy(self) -> Self:
        """Another one with the same ids, place and content, and without the file that was put to it."""
        return type(self)(
            self.dto,
            path_to_xml=self.path_to_xml,
            session_id=self.session_id,
            timeout=self.timeout,
            content=self._content,
        )

    __copy__ = copy

    def __reduce__(self) -> tuple[Any, ...]:
        # Saved content is read where it is needed: a pipe between processes is no place for it.
        content = None if self.path_to_xml.exists() else self._content
        options = {
            "path_to_xml": self.path_to_xml,
            "session_id": self.session_id,
            "timeout": self.timeout,
            "content": content,
        }
        return _unpickled, (type(self), self.dto, options)

    def __repr__(self) -> str:
        return f"<Epicrisis {self.path_to_xml.stem}>"


class EpicrisisFactory:
    """Makes epicrises of what an event said."""

    @staticmethod
    def get_instance(dto: SessionFileDto, **options: Any) -> Epicrisis:
        """Of a checked event; options are those of `Epicrisis`."""
        return Epicrisis(dto, **options)

    @staticmethod
    def get_instance_from_dict(event: Mapping[str, Any], **options: Any) -> Epicrisis:
        """Of an event's payload, see `SessionFileDto` for what it raises."""
        if not isinstance(event, Mapping):
            raise ValidationError(f"event: is an object, not {type(event).__name__}")
        return Epicrisis(SessionFileDto.from_mapping(event), **options)

    @staticmethod
    def get_instance_from_json(text: str | bytes, **options: Any) -> Epicrisis:
        """Of an event's payload as JSON text; `ValidationError` for what is none."""
        try:
            event = msgspec.json.decode(text)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            raise ValidationError("event: is no JSON") from None
        return EpicrisisFactory.get_instance_from_dict(event, **options)


def _unpickled(cls: type[Epicrisis], dto: SessionFileDto, options: Mapping[str, Any]) -> Epicrisis:
    return cls(dto, **options)

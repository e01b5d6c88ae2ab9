"""A recording of a session: what went over the wire, with its times, to rehearse with (`replay`).

The file is JSON lines: a `Header`, then one `Line` for each message. Documents and answers are in it in full, a token
never. It is made for its user alone (mode 0600), grows line by line, and stays readable where a crash cut its last.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final, Literal, Self

import msgspec

from insession.errors import InvalidInput

from .contracts import WireMessage
from .redaction import Redaction
from .settings import ExchangeSettings

__all__ = ["FORMAT", "Header", "Line", "Recorder", "Recording"]
FORMAT: Final = "insession exchange recording 1"
_ENCODE: Final = msgspec.json.Encoder(enc_hook=str)


class Header(msgspec.Struct, kw_only=True, frozen=True):
    """The first line: the form of the file, and of what."""

    format: str = FORMAT
    dialect: str
    host: str
    began: float
    """Wall clock time (s)."""


class Line(msgspec.Struct, kw_only=True, frozen=True):
    """A message: so many seconds after the beginning, from the platform (``in``) or to it."""

    at: float
    direction: Literal["in", "out"]
    event: str
    payload: Any = None


class Recorder:
    """Writes a recording. The file is made when the block begins; one that is there already is never overwritten."""

    def __init__(self, path: str | Path, settings: ExchangeSettings, *, began: float) -> None:
        self.path: Path = Path(path)
        self._header: Header = Header(dialect=settings.dialect, host=settings.host, began=began)
        self._clean: Redaction = Redaction([settings.token.get_secret_value()], content=True)
        self._file: BinaryIO | None = None

    def open(self) -> Self:
        """Make the file. `InvalidInput` if there is one, or if it cannot be made."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.fdopen(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
        except FileExistsError:
            raise InvalidInput("recording", f"{self.path} exists; give another name") from None
        except OSError as error:
            raise InvalidInput("recording", f"{self.path} cannot be made: {error.strerror}") from None
        self._write(self._header)
        return self

    def close(self) -> None:
        """Done; once is enough."""
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def wire(self, message: WireMessage) -> None:
        """Write a message down. After the end it is ignored."""
        if self._file is not None:
            payload = self._clean.value(message.payload)
            at = round(max(0.0, message.at - self._header.began), 6)
            self._write(Line(at=at, direction=message.direction, event=message.event, payload=payload))

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _write(self, line: Header | Line) -> None:
        assert self._file is not None  # noqa: S101 - the callers have looked
        self._file.write(_ENCODE.encode(line) + b"\n")
        self._file.flush()


class Recording:
    """Reads a recording. `InvalidInput` where the file is none; a last line that a crash cut is left out."""

    def __init__(self, path: str | Path) -> None:
        self.path: Path = Path(path)
        self.cut: bool = False
        """Whether the last line is broken."""
        lines = self._read()
        try:
            self.header: Header = msgspec.json.decode(lines[0], type=Header)
        except msgspec.DecodeError:
            raise InvalidInput("recording", f"{self.path} is no recording of an exchange session") from None
        if self.header.format != FORMAT:
            raise InvalidInput("recording", f"{self.path} is of another form: {self.header.format!r}")
        self.lines: tuple[Line, ...] = tuple(self._lines(lines[1:]))

    def received(self, *events: str) -> Iterator[Line]:
        """What the platform sent of these events, in their order."""
        return (line for line in self.lines if line.direction == "in" and line.event in events)

    def sent(self, *events: str) -> Iterator[Line]:
        """What was sent to it."""
        return (line for line in self.lines if line.direction == "out" and line.event in events)

    def _read(self) -> list[bytes]:
        try:
            return self.path.read_bytes().splitlines() or [b""]
        except OSError as error:
            raise InvalidInput("recording", f"{self.path} cannot be read: {error.strerror}") from None

    def _lines(self, lines: list[bytes]) -> Iterator[Line]:
        for number, line in enumerate(lines, 2):
            try:
                yield msgspec.json.decode(line, type=Line)
            except msgspec.DecodeError:
                if number <= len(lines):
                    raise InvalidInput("recording", f"{self.path}, line {number}: is no message") from None
                self.cut = True

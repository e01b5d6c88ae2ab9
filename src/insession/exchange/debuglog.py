"""The log of a session: bound to it from its creation, safe to be sent to support, in full detail in debug mode.

In debug mode each record is one JSON object on a line of ``logs/debug_{time}.log``, and of standard output; in either
mode records go to the logger `NAME`, which is silent until a program listens to it. The file is the only one that is
made, and only in debug mode.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from logging.handlers import QueueHandler, QueueListener, RotatingFileHandler
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TextIO
from uuid import uuid4

from .contracts import ExchangeEvent, What, WireMessage
from .redaction import Redaction
from .settings import ExchangeSettings

__all__ = ["BACKUPS", "LARGEST", "NAME", "SessionLog"]
NAME: Final = "insession.exchange"
LARGEST: Final = 10 * 2**20
"""Bytes of a debug log before it is rotated,"""
BACKUPS: Final = 5
"""and so many older ones are kept beside it."""
_DIRECTIONS: Final = {"in": "received", "out": "sent"}
_LEVELS: Final = {
    What.CONNECTED: logging.INFO,
    What.STARTED: logging.INFO,
    What.JOINED: logging.INFO,
    What.ENDED: logging.INFO,
    What.ACKNOWLEDGED: logging.INFO,
    What.DISCONNECTED: logging.WARNING,
    What.REPORTED: logging.WARNING,
    What.NOTICE: logging.WARNING,
    What.FALLBACK: logging.WARNING,
    What.REFUSED: logging.WARNING,
    What.FAILED: logging.WARNING,
    What.UNKNOWN: logging.WARNING,
}
_ANNOUNCED: Final = "debug mode: records go to %s"


class SessionLog:
    """What is logged of one session: `debug`, `info` and `warning`, from the first attempt to connect on.

    It opens with the block, and a file only in debug mode. Token and content never leave it unless
    ``DEBUG_CONTENT`` is on: they are replaced before a record is made, also for the logger's own handlers.

    Args:
        settings: Whether debug mode is on, where logs lie, and the token that must not be seen.
        stream: Where debug mode shows its records; else standard output.
    """

    def __init__(self, settings: ExchangeSettings, *, stream: TextIO | None = None) -> None:
        self.label: str = uuid4().hex[:8]
        """What tells the records of sessions of one program apart before the platform has named them."""
        self.session_id: int | str | None = None
        self.path: Path | None = None
        """The debug log, while it is open."""
        self._settings: ExchangeSettings = settings
        self._stream: TextIO | None = stream
        self._clean: Redaction = (
            Redaction(content=True)
            if settings.debug and settings.debug_content
            else Redaction([settings.token.get_secret_value()])
        )
        self._logger: logging.Logger = logging.getLogger(NAME)
        self._queue: QueueHandler | None = None
        self._listener: QueueListener | None = None

    def open(self) -> Self:
        """In debug mode, make the file; else nothing. `OSError` where it cannot be made."""
        if self._settings.debug and self._listener is None:
            self._open()
        return self

    def close(self) -> None:
        """Write what waits; once is enough."""
        listener, self._listener, self._queue = self._listener, None, None
        if listener is not None:
            listener.stop()
            for handler in listener.handlers:
                handler.close()

    def wire(self, message: WireMessage) -> None:
        """A message as it went over the wire."""
        self._record(
            logging.DEBUG, _DIRECTIONS[message.direction], {"event": message.event, "payload": message.payload}
        )

    def tell(self, event: ExchangeEvent) -> None:
        """Something that happened in the session; from the platform's id on, records bear that."""
        if event.session_id is not None:
            self.session_id = event.session_id
        level = _LEVELS.get(event.what, logging.DEBUG)
        facts = {"file_id": event.file_id, "said": event.message or None, **event.detail}
        self._record(level, event.what.value, facts)

    def debug(self, what: str, **facts: Any) -> None:
        """A step of the exchange."""
        self._record(logging.DEBUG, what, facts)

    def info(self, what: str, **facts: Any) -> None:
        """Something that the user of a session wants to know."""
        self._record(logging.INFO, what, facts)

    def warning(self, what: str, **facts: Any) -> None:
        """Something that the user of a session has to see."""
        self._record(logging.WARNING, what, facts)

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _open(self) -> None:
        self.path = _new_file(self._settings.logs)
        file = _PrivateFileHandler(self.path, maxBytes=LARGEST, backupCount=BACKUPS, encoding="utf-8")
        handlers: list[logging.Handler] = [file, logging.StreamHandler(self._stream or sys.stdout)]
        for handler in handlers:
            handler.setFormatter(_Lines())
        waiting: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._queue = _Kept(waiting)
        # A disk that is slow delays the thread that writes, never the loop that answers heartbeats.
        self._listener = QueueListener(waiting, *handlers)
        self._listener.start()
        self._logger.info(_ANNOUNCED, self.path)

    def _record(self, level: int, what: str, facts: Mapping[str, Any]) -> None:
        enabled = self._logger.isEnabledFor(level)
        if self._queue is None and not enabled:
            return
        clean = {name: self._clean.value(value, name) for name, value in facts.items() if value is not None}
        known = {"session": self.session_id, "label": self.label} | clean
        message = self._clean.text(what)
        said = " ".join([message, *(f"{name}={value}" for name, value in clean.items())])
        record = self._logger.makeRecord(
            NAME, level, "", 0, "%s", (said,), None, extra={"exchange": {"message": message} | known}
        )
        if self._queue is not None:
            self._queue.handle(record)
        if enabled:
            self._logger.handle(record)


class _Kept(QueueHandler):
    """Hands records on as they are: their values are plain, and made once."""

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        return record


class _Lines(logging.Formatter):
    """One JSON object on a line."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        fields: dict[str, Any] = getattr(record, "exchange", {})
        return json.dumps({"time": at, "level": record.levelname} | fields, ensure_ascii=False, default=str)


class _PrivateFileHandler(RotatingFileHandler):
    """Its files are for their user alone: debug records may hold what others must not read."""

    def _open(self) -> Any:
        return open(self.baseFilename, self.mode, encoding=self.encoding, errors="backslashreplace", opener=_private)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _new_file(folder: Path) -> Path:
    """A name that is nobody's: two sessions may begin in the same moment."""
    folder.mkdir(parents=True, exist_ok=True)
    at = datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%S")
    for count in range(1, 1_000):
        path = folder / (f"debug_{at}.log" if count == 1 else f"debug_{at}_{count}.log")
        try:
            path.touch(mode=0o600, exist_ok=False)
        except FileExistsError:
            continue
        return path
    raise FileExistsError(f"{folder} holds 1,000 debug logs of this second")

"""What the platform counts, per file and altogether: the same over HTTP as in Python."""

from __future__ import annotations

from typing import Any

import msgspec

from .rules import FileId


class FileCount(msgspec.Struct, kw_only=True):
    """What happened to one file."""

    id: FileId
    session: FileId
    sha256: str
    """Of the bytes that the client has to find on its disk."""
    size: int
    sent: int = 0
    """Events of it that went out, also into a line that was dead."""
    missed: bool = False
    """It fell due while nobody was there, and was not sent later."""
    results: int = 0
    """Results of it that came, whatever was said to them."""
    answers: int = 0
    """Results that were accepted: 1 and no more."""
    repeats: int = 0
    """Results that came after the accepted one."""
    equal: bool = True
    """Whether every result of it had the same content."""
    answer: str | None = None
    """The content of the accepted result (in 2023 as JSON), up to 64 KiB of it."""
    answer_sha256: str | None = None
    acknowledged: int = 0
    refused: int = 0
    sent_at: float | None = None
    """When its first event went out, in seconds of the platform's own clock,"""
    answered_at: float | None = None
    """and when its first result came."""

    @property
    def delay(self) -> float | None:
        """Seconds from the first event to the first result."""
        if self.sent_at is None or self.answered_at is None:
            return None
        return self.answered_at - self.sent_at


class Counters(msgspec.Struct, kw_only=True):
    """What the platform has seen, all clients and sessions together."""

    connections: int = 0
    disconnections: int = 0
    refused_tokens: int = 0
    probes: int = 0
    joins: int = 0
    reconnects: int = 0
    """Requests for the active session (`session-reconnect`)."""
    starts: list[dict[str, Any]] = []
    """What each start asked for, as it came."""
    aborts: list[str] = []
    """What each abort of a client said."""
    sessions: list[FileId] = []
    closed: list[str] = []
    """How sessions ended, in their order: finish, timeout-close, session-abort, client-abort."""
    drops: list[str] = []
    foreign: int = 0
    """Events of sessions that the client does not have."""
    downloads: int = 0
    results: int = 0
    """Results that came, repeats included."""
    violations: list[str] = []
    """What a client did against the protocol."""
    files: list[FileCount] = []

    @property
    def sent(self) -> int:
        """Files whose event went out at least once."""
        return sum(file.sent > 0 for file in self.files)

    @property
    def answered(self) -> int:
        """Files with an accepted answer."""
        return sum(file.answers > 0 for file in self.files)

    @property
    def repeats(self) -> int:
        """Results beyond the first of each file."""
        return sum(file.repeats for file in self.files)

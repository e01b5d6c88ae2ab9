"""The journal of a session: one item for each file, under the session in the engine's store.

A file is journaled after it is on disk (`FileState.SAVED`), and again with its answer before that is sent (`SOLVED`),
so that whatever crashes, what is sent again is the same answer, byte for byte. The platform's verdict is the third
write. An answer that is larger than `LARGEST_INLINE` lies beside the session's files, written before its entry.
"""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator, Collection, Mapping
from typing import Any, Final

import msgspec

from insession.kernel.data import Data
from insession.kernel.items import Items
from insession.kernel.operations import Fence
from insession.kernel.session import Session

from .contracts import Id
from .names import safe_name

LARGEST_INLINE: Final = 64 << 10
"""So many bytes of an answer lie in the store."""
_FILES: Final = "file/"
_PAGE: Final = 100


class FileState(enum.StrEnum):
    """How far a file has come. The last five are final, but for a verdict that comes late."""

    RECEIVED = "received"
    """It came, and is not on disk yet; only in memory."""
    SAVED = "saved"
    SOLVED = "solved"
    """Its answer is journaled, and may have been sent."""
    ACKNOWLEDGED = "acknowledged"
    REFUSED = "refused"
    """The platform did not take the answer."""
    FAILED = "failed"
    """There is no answer, or it could never be brought to the platform."""
    UNKNOWN = "unknown"
    """The answer may have left, was not acknowledged, and goes no second time."""


OPEN: Final = frozenset({FileState.SAVED, FileState.SOLVED})


class FileEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the journal knows of one file. Times are seconds since the epoch."""

    file_id: Id
    """As received, type kept."""
    session_id: Id
    state: FileState
    received: float
    deadline: float | None = None
    """When the platform's time for the answer is over, where that is known."""
    size: int = 0
    """Bytes of the file on disk."""
    raw: Mapping[str, Any] = {}
    """Other fields of the event that brought it."""
    answer: bytes | None = None
    answer_file: str | None = None
    """Name of the file below ``output/`` that holds the answer, where it is too large for the store."""
    sends: int = 0
    """So often the answer was handed to the line, as far as it was written down."""
    marked: bool = False
    """Whether each time is written down before (``resend="never"``): then an answer with none has not left."""
    fallback: bool = False
    """Whether the answer is the fallback."""
    message: str = ""
    """Why it failed or was refused."""

    @property
    def name(self) -> str:
        """The safe name of its id."""
        return safe_name(self.file_id)

    @property
    def may_have_left(self) -> bool:
        """Whether the answer may have been handed to a line."""
        return self.answered and (self.sends > 0 or not self.marked)

    @property
    def answered(self) -> bool:
        """Whether there is an answer."""
        return self.answer is not None or self.answer_file is not None

    def __repr__(self) -> str:
        return f"<FileEntry {self.name} {self.state}>"


_SHAPE: Final = Data(FileEntry)


class Journal:
    """The entries of one session, of whoever serves it or looks at it."""

    __slots__ = ("_items",)

    def __init__(self, session: Session) -> None:
        self._items: Items = session.items.typed(_SHAPE)

    async def get(self, name: str) -> FileEntry | None:
        """What is known of the file with a safe name."""
        found = await self._items.get(_FILES + name)
        return None if found is None else found.data

    async def put(self, entry: FileEntry, *, fence: Fence | None = None) -> None:
        """Write an entry. Raises `LockLost` where ``fence``, of the lock of who serves the session, does not hold."""
        await self._items.put(_FILES + entry.name, entry, fence=fence)

    async def entries(self, states: Collection[FileState] | None = None) -> AsyncIterator[FileEntry]:
        """All entries, or those in some states, by name; a page at a time."""
        after: str | None = None
        while True:
            page, after = await self._items.find(_FILES, after=after, limit=_PAGE)
            for found in page:
                if states is None or found.data.state in states:
                    yield found.data
            if after is None:
                return

    async def counts(self) -> dict[FileState, int]:
        """How many files are in each state."""
        counts = dict.fromkeys(FileState, 0)
        async for entry in self.entries():
            counts[entry.state] += 1
        return counts

"""Files in hand: from their arrival to the platform's verdict, and the order in which they are solved."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from .contracts import Answer, Outgoing
from .dto import SessionFileDto
from .epicrisis import Epicrisis
from .journal import FileEntry, FileState

MOST_KEPT: Final = 16 << 20
"""So many bytes of files that wait for their solution are kept in memory; the others are read from disk again."""


class Case:
    """One file in hand. When the platform's verdict is journaled, nothing of it stays in memory."""

    __slots__ = (
        "answering",
        "content",
        "deadline",
        "ending",
        "entry",
        "left",
        "name",
        "sending",
        "sends",
        "solving",
    )

    def __init__(self, name: str) -> None:
        self.name: str = name
        self.entry: FileEntry | None = None
        """As journaled last; None while it is not on disk."""
        self.deadline: float | None = None
        self.content: bytes | None = None
        self.solving: asyncio.Task[Any] | None = None
        """The task that asks for its answer."""
        self.answering: bool = False
        """Whether its answer is being journaled, or is."""
        self.sending: bool = False
        self.left: bool = False
        """Whether the answer may have left since it was last known not to have arrived."""
        self.sends: int = 0
        self.ending: bool = False
        """Whether a final state is being journaled."""

    @property
    def ready(self) -> bool:
        """Whether its answer is journaled and waits for the platform's verdict."""
        return self.entry is not None and self.entry.state is FileState.SOLVED and not self.ending

    @property
    def rank(self) -> float:
        """Earliest deadline first."""
        return math.inf if self.deadline is None else self.deadline


class Cases:
    """All files in hand, by safe name."""

    __slots__ = ("_cases", "_kept", "_known")

    def __init__(self) -> None:
        self._cases: dict[str, Case] = {}
        self._kept = 0
        self._known: set[int] = set()
        """Hashes of the names that the journal may have: all that stays of a file, so that few have to be looked up."""

    def journaled(self, name: str) -> None:
        """The journal has this file, or will."""
        self._known.add(hash(name))

    def may_be_journaled(self, name: str) -> bool:
        """Whether the journal may have a file; if not, it has not."""
        return hash(name) in self._known

    def get(self, name: str) -> Case | None:
        """The case of a file that is in hand."""
        return self._cases.get(name)

    def add(self, name: str) -> Case:
        """Take a file in hand."""
        case = self._cases[name] = Case(name)
        return case

    def drop(self, case: Case) -> None:
        """It is not in hand any more."""
        self.let_go(case)
        if self._cases.get(case.name) is case:
            del self._cases[case.name]

    def keep(self, case: Case, content: bytes) -> None:
        """Keep a file's content for its solution, if there is room."""
        if self._kept + len(content) <= MOST_KEPT:
            self._kept += len(content)
            case.content = content

    def let_go(self, case: Case) -> None:
        """Nobody needs the content any more."""
        if case.content is not None:
            self._kept -= len(case.content)
            case.content = None

    def clear(self) -> None:
        """Forget all; the journal has them."""
        self._cases.clear()
        self._kept = 0

    def __iter__(self) -> Iterator[Case]:
        return iter(list(self._cases.values()))

    def __len__(self) -> int:
        return len(self._cases)


class Waiting:
    """Files that wait for their solution, earliest deadline first, then in the order of their arrival."""

    __slots__ = ("_heap", "_numbers")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Case]] = []
        self._numbers = itertools.count()

    def push(self, case: Case) -> None:
        """Let a file wait."""
        heapq.heappush(self._heap, (case.rank, next(self._numbers), case))

    def pop(self) -> Case:
        """The one whose deadline is next."""
        return heapq.heappop(self._heap)[2]

    @property
    def head(self) -> Case | None:
        """The one that `pop` would give."""
        return self._heap[0][2] if self._heap else None

    def clear(self) -> None:
        """Let none wait."""
        self._heap.clear()

    def __len__(self) -> int:
        return len(self._heap)


def epicrisis_of(entry: FileEntry, path: Path, content: bytes | None) -> Epicrisis:
    """What a solution gets of a file: with the event's own fields, where they are what they should be."""
    dto = SessionFileDto.from_mapping({**_checked(entry.raw.items()), "file_id": entry.file_id})
    return Epicrisis(dto, path_to_xml=path, session_id=entry.session_id, content=content)


def outgoing(entry: FileEntry, text: bytes) -> Outgoing:
    """An answer on its way."""
    return Outgoing(session_id=entry.session_id, file_id=entry.file_id, answer=Answer(text), raw=entry.raw)


_IDS: Final = frozenset({"epicrisisId", "versionId", "teamId", "taskId"})
_TEXTS: Final = frozenset({"sessionTypeCode", "awsLink"})


def _checked(fields: Iterable[tuple[str, object]]) -> dict[str, object]:
    """Those that an epicrisis can carry; a platform may send anything there."""
    return {
        name: value
        for name, value in fields
        if (name in _IDS and isinstance(value, int | str) and not isinstance(value, bool))
        or (name in _TEXTS and isinstance(value, str))
    }

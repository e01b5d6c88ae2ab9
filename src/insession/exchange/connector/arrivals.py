"""Files that come: they wait until the session is known, then go to the desk."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from insession.exchange.contracts import Id, Received, WorkDesk
from insession.exchange.dialects import FileCame
from insession.exchange.errors import ForeignSession

from .results import Report, Results

MOST_EARLY: Final = 10_000
"""So many files wait for the session to be known, or for a lease to run out that a killed process left behind. That is
far more than a session has on the platform; what does not fit would be lost, unless the platform sends it again."""


class Arrivals:
    """Brings files to the desk, between `open` and `close`; those that came before `open` too."""

    def __init__(self, desk: WorkDesk, results: Results, report: Report) -> None:
        self._desk = desk
        self._results = results
        self._report = report
        self._session_id: Id | None = None
        self._closed = False
        self._early: dict[tuple[Id | None, Id], FileCame] = {}
        """Each file once: with every new line the platform may send all of them again."""
        self._tasks: set[asyncio.Task[None]] = set()

    def open(self, session_id: Id) -> None:
        """The desk serves this session: what waited goes there."""
        self._session_id = session_id
        early, self._early = self._early, {}
        for file in early.values():
            self.came(file)

    def close(self) -> None:
        """Nothing is taken in any more."""
        self._closed = True

    def came(self, file: FileCame) -> None:
        """The platform sent a file."""
        if self._closed:
            return
        if self._session_id is not None:
            self._take_in(file, self._session_id)
        elif (key := (file.session_id, file.file_id)) in self._early or len(self._early) < MOST_EARLY:
            self._early[key] = file
        else:
            self._report("more files came than can wait for the session to be known; this one is not taken", None)

    async def settled(self, seconds: float) -> None:
        """Wait until what came is with the desk, or for so many seconds."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)

    def _take_in(self, file: FileCame, session_id: Id) -> None:
        if file.session_id is not None and str(file.session_id) != str(session_id):
            self._report(str(ForeignSession()), file.file_id)
            return
        self._results.know(file.file_id, file.raw)
        received = Received(
            session_id=session_id if file.session_id is None else file.session_id,
            file_id=file.file_id,
            content=file.content,
            fetch=file.fetch,
            timeout=file.timeout,
            at=time.time(),
            raw=file.raw,
        )
        task = asyncio.create_task(self._desk.take_in(received))
        self._tasks.add(task)
        task.add_done_callback(self._taken_in)

    def _taken_in(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._report(f"a file could not be taken in ({type(error).__name__})", None)

"""What the parts of a work desk share while a session is served."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, Final

from insession.kernel.clock import Clock

from .cases import Case, Cases
from .contracts import ExchangeEvent, Id, Serving, What
from .files import SessionFiles
from .holding import Held
from .journal import FileEntry
from .saving import Saver

_log: Final = logging.getLogger("insession.exchange")


class Served:
    """One session while it is served: its record and journal, its folders, the files in hand, and their tasks."""

    def __init__(self, serving: Serving, held: Held, files: SessionFiles, saver: Saver, clock: Clock) -> None:
        self.serving: Serving = serving
        self.held: Held = held
        self.files: SessionFiles = files
        self.saver: Saver = saver
        self.clock: Clock = clock
        self.cases: Cases = Cases()
        self.tasks: set[asyncio.Task[None]] = set()
        """Work in hand: what `WorkDesk.drain` waits for."""
        self.stopping: bool = False
        """Whether the desk is being drained: what has no answer then stays saved, to be solved another time."""
        self.halted: bool = False
        """Whether no solution begins any more."""

    def tell(self, what: What, file_id: Id | None = None, message: str = "", **detail: Any) -> None:
        """Tell of something that happened."""
        at, session_id = self.clock.now(), self.serving.session_id
        told = ExchangeEvent(what=what, at=at, session_id=session_id, file_id=file_id, message=message, detail=detail)
        self.serving.tell(told)

    async def write(self, case: Case, entry: FileEntry) -> None:
        """Journal a file; the case has the entry once that is done. Raises `SessionServed`."""
        await self.held.put(entry)
        case.entry = entry

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Begin a piece of work in hand. What it raises is logged, and concerns its file alone."""
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("work on a file failed, which stays as the journal has it: %s", error)
            self.tell(What.NOTICE, message=f"work on a file stopped: {error}")

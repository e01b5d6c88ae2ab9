"""From a file event to bytes on disk and an entry in the journal."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import Final

from msgspec.structs import replace

from insession.errors import InvalidInput

from .cases import Case
from .contracts import Received, What
from .errors import DownloadFailed, ExchangeError
from .journal import FileEntry, FileState
from .served import Served

_log: Final = logging.getLogger("insession.exchange")
_PAUSES: Final = (0.5, 2.0, 5.0)
"""Before a file is saved or fetched once more."""


class Intake:
    """Takes the files of one session in."""

    def __init__(self, served: Served) -> None:
        self._served = served

    async def take(self, case: Case, file: Received) -> bool:
        """Bring a file to the disk, then to the journal; whether it is there, and new. What is wrong is told."""
        served = self._served
        known = await served.held.journal.get(case.name) if served.cases.may_be_journaled(case.name) else None
        served.cases.journaled(case.name)
        # One that failed has no answer: sent again, it is worth another try.
        if known is not None and known.state is not FileState.FAILED:
            served.tell(What.REPEATED, file.file_id)
            return False
        served.tell(What.RECEIVED, file.file_id)
        entry = self._entry(file)
        try:
            content = await self._content(file)
            await self._save(case, content)
        except (ExchangeError, OSError) as error:
            problem = f"it could not be saved: {error.strerror}" if isinstance(error, OSError) else str(error)
            with suppress(InvalidInput):
                await served.held.put(replace(entry, state=FileState.FAILED, message=problem))
            served.tell(What.FAILED, file.file_id, problem)
            return False
        try:
            await served.write(case, replace(entry, size=len(content)))
        except InvalidInput as error:
            # An id with half a character in it, or a number that no store keeps: it could not be told from another.
            served.tell(What.REPORTED, message=f"a file was saved and is not answered: {error}", name=case.name)
            return False
        served.cases.keep(case, content)
        served.tell(What.SAVED, file.file_id, size=len(content))
        return True

    def _entry(self, file: Received) -> FileEntry:
        served = self._served
        now = served.clock.now()
        seconds = served.serving.file_timeout if file.timeout is None else file.timeout
        return FileEntry(
            file_id=file.file_id,
            session_id=served.serving.session_id,
            state=FileState.SAVED,
            received=now,
            deadline=None if seconds is None else (file.at or now) + seconds,
            raw=dict(file.raw),
        )

    async def _content(self, file: Received) -> bytes:
        if file.content is not None or file.fetch is None:
            return file.content or b""
        for pause in _PAUSES:
            try:
                return await file.fetch()
            except DownloadFailed as error:
                if not error.retryable:
                    raise
                self._served.tell(What.NOTICE, file.file_id, f"{error}; it is tried again")
            except TimeoutError as error:
                self._served.tell(What.NOTICE, file.file_id, f"{error}; it is tried again")
            await self._served.clock.sleep(pause)
        return await file.fetch()

    async def _save(self, case: Case, content: bytes) -> None:
        path = self._served.files.received(case.name)
        for pause in _PAUSES:
            try:
                await self._served.saver.save(path, content)
            except OSError as error:
                message = f"a file cannot be saved ({error.strerror}), and is tried again"
                _log.warning("%s", message)
                self._served.tell(What.NOTICE, message=message)
            else:
                return
            await asyncio.sleep(pause)
        await self._served.saver.save(path, content)

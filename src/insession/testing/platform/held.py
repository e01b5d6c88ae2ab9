"""One session of the platform: its files, their timer, who is joined, and how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from .counters import FileCount
from .dialects import Dialect
from .mishaps import Mishaps
from .rules import Drop, FileId, PlatformFaults, PlatformFile, PlatformRules, digest

Tell = Callable[[str, str, dict[str, Any]], Awaitable[bool]]
"""Send an event with its payload to one connection; whether there was one, as far as the platform can be sure."""


class HeldSession:
    """A session that the platform holds, whoever is connected. Everything runs on the platform's loop."""

    def __init__(
        self,
        session_id: FileId,
        files: Sequence[PlatformFile],
        *,
        interval: float,
        rules: PlatformRules,
        faults: PlatformFaults,
        dialect: Dialect,
        tell: Tell,
        lose: Callable[[Drop], None],
    ) -> None:
        self.id: FileId = session_id
        self.joined: str | None = None
        self.outcome: str | None = None
        self.counts: dict[FileId, FileCount] = {
            file.id: FileCount(id=file.id, session=session_id, sha256=file.sha256, size=len(file.saved))
            for file in files
        }
        self.foreign: int = 0
        self.told: bool = False
        """Whether the client was told how it ended."""
        self.mishaps: Mishaps = Mishaps(faults, files)
        self._interval = interval
        self._rules = rules
        self._dialect = dialect
        self._tell = tell
        self._lose = lose
        self._files = self.mishaps.order(files)
        self._due = 0
        self._open = len(self.counts)
        """Files that are neither answered nor missed."""
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Send the files at their times, then close; returns when the session is over."""
        loop = asyncio.get_running_loop()
        begin = loop.time() + self._rules.first
        for place, file in enumerate(self._files):
            await asyncio.sleep(max(0.0, begin + place * self._interval - loop.time()))
            if self.outcome is not None:
                return
            self._due = place + 1
            await self._fall_due(file)
        await self._wait_and_close(loop.time() + self._rules.patience)

    async def join(self, sid: str) -> None:
        """Serve this connection from now on, and send it what it has missed."""
        again = self._due if self._rules.away == "later" else 0
        self.joined = sid
        self._changed.set()
        for file in list(self._files[:again]):
            if not self.counts[file.id].answers and self.joined == sid and self.outcome is None:
                await self._send(file)

    def leave(self, sid: str) -> None:
        """The connection is gone."""
        if self.joined == sid:
            self.joined = None

    def end(self, outcome: str) -> bool:
        """Once; whether it was this call."""
        if self.outcome is not None:
            return False
        self.outcome = outcome
        self._changed.set()
        return True

    def judge(self, count: FileCount, content: str) -> str | None:
        """Take a result of a file; what to answer: None for nothing, "" for success, else the error."""
        now, sha256 = asyncio.get_running_loop().time(), digest(content.encode())
        self.mishaps.line_works()
        count.results += 1
        if count.answered_at is None:
            count.answered_at = now
        if count.answer_sha256 is None:
            count.answer_sha256 = sha256
            count.answer = content if len(content) <= 65_536 else None
        count.equal = count.equal and count.answer_sha256 == sha256
        return self._verdict(count)

    def _verdict(self, count: FileCount) -> str | None:
        if count.answers:
            count.repeats += 1
            return "the file is answered already" if self.mishaps.faults.refuse_repeats else ""
        if self.mishaps.refuses(count.id):
            return "the result could not be saved"
        count.answers += 1
        self._open -= not count.missed
        self._changed.set()
        return None if self.mishaps.keeps_back(count.id) else ""

    async def _fall_due(self, file: PlatformFile) -> None:
        if self.mishaps.hits(file.id, self.mishaps.faults.drop_every):
            self.mishaps.owe_drop()
        if self.joined is None:
            self._miss(self.counts[file.id])
            return
        if self.mishaps.hits(file.id, self.mishaps.faults.foreign_every):
            self.foreign += 1
            stranger = PlatformFile(id=self._dialect.file_id(990_000 + self.foreign), content="not yours")
            await self._tell(self.joined, *self._dialect.offer(self._dialect.session_id(8_000), stranger))
        for _ in range(2 if self.mishaps.hits(file.id, self.mishaps.faults.duplicate_every) else 1):
            await self._send(file)
        self.lose_if_due()

    def _miss(self, count: FileCount) -> None:
        if self._rules.away == "lost":
            count.missed = True
            self._open -= not count.answers

    def lose_if_due(self) -> None:
        """Lose the line, if that is due and the line is in use."""
        way = None if self._settled() or self.joined is None else self.mishaps.drop_now()
        if way is not None:
            # The platform knows at once, but for the line that it does not know to be dead.
            self.joined = self.joined if way == "half-open" else None
            self._lose(way)

    async def _send(self, file: PlatformFile) -> None:
        if self.joined is None:
            return
        count = self.counts[file.id]
        count.sent += 1
        if count.sent_at is None:
            count.sent_at = asyncio.get_running_loop().time()
        await self._tell(self.joined, *self._dialect.offer(self.id, file))

    def _settled(self) -> bool:
        return self._rules.ending == "answered" and self._open == 0

    async def _wait_and_close(self, end: float) -> None:
        """Close when all is answered, or at `end`; a client that is away is waited for as long again."""
        if not await self._until(self._settled, end) and self.outcome is None and self._rules.ending == "answered":
            await self._close("timeout-close")
        elif self.outcome is None:
            await self._close("finish")

    async def _close(self, outcome: str) -> None:
        end = asyncio.get_running_loop().time() + self._rules.patience
        await self._until(lambda: self.joined is not None, end)
        if self.end(outcome) and self.joined is not None:
            await self.tell_end(self.joined)

    async def tell_end(self, sid: str, message: str = "") -> None:
        """Tell a connection how the session ended."""
        if self.outcome == "session-abort":
            self.told = await self._tell(sid, "session-abort", {"sessionId": self.id, "message": message})
        else:
            self.told = await self._tell(sid, "session-close", {"sessionId": self.id, "type": self.outcome})

    async def _until(self, holds: Callable[[], bool], end: float) -> bool:
        """Wait for a condition, or the end of the session, or a time; whether the condition holds."""
        loop = asyncio.get_running_loop()
        while not holds() and self.outcome is None:
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), end - loop.time())
            except TimeoutError:
                return holds()
        return holds()

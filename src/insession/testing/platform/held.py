"""One session of the platform: its files, their timer, who is joined, and how it ends."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from .dialects import Dialect
from .rules import Drop, FileCount, FileId, PlatformFaults, PlatformFile, PlatformRules, digest

Tell = Callable[[str, str, dict[str, Any]], Awaitable[None]]
"""Send an event with its payload to one connection."""


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
            file.id: FileCount(id=file.id, session=session_id, sha256=digest(file.saved), size=len(file.saved))
            for file in files
        }
        self.foreign = 0
        self._interval = interval
        self._rules = rules
        self._faults = faults
        self._dialect = dialect
        self._tell = tell
        self._lose = lose
        self._files = _swapped(files, faults.swap_every)
        self._place = {file.id: place for place, file in enumerate(files, 1)}
        self._due = 0
        self._first_sent: dict[FileId, float] = {}
        self._refusals: Counter[FileId] = Counter()
        self._held_back: set[FileId] = set()
        self._drops = 0
        self._changed = asyncio.Event()

    def hits(self, file: FileId, every: int) -> bool:
        """Whether a fault that meets every n-th file meets this one."""
        return every > 0 and self._place[file] % every == 0

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
        if count.delay is None:
            count.delay = now - self._first_sent.get(count.id, now)
        if count.answer_sha256 is None:
            count.answer_sha256 = sha256
            count.answer = content if len(content) <= 65_536 else None
        count.equal = count.equal and count.answer_sha256 == sha256
        return self._verdict(count)

    def _verdict(self, count: FileCount) -> str | None:
        if count.answers:
            count.repeats += 1
            return "the file is answered already" if self._faults.refuse_repeats else ""
        if self.hits(count.id, self._faults.refuse_every) and self._refusals[count.id] < self._faults.refuse_times:
            self._refusals[count.id] += 1
            return "the result could not be saved"
        count.answers += 1
        self._changed.set()
        if self.hits(count.id, self._faults.lose_acknowledgement_every) and count.id not in self._held_back:
            self._held_back.add(count.id)
            return None
        return ""

    async def _fall_due(self, file: PlatformFile) -> None:
        if self.joined is None:
            self.counts[file.id].missed = self._rules.away == "lost"
            return
        if self.hits(file.id, self._faults.foreign_every):
            self.foreign += 1
            stranger = PlatformFile(id=self._dialect.file_id(990_000 + self.foreign), content="not yours")
            await self._tell(self.joined, *self._dialect.offer(self._dialect.session_id(8_000), stranger))
        for _ in range(2 if self.hits(file.id, self._faults.duplicate_every) else 1):
            await self._send(file)
        if self.hits(file.id, self._faults.drop_every):
            way = self._faults.drops[self._drops % len(self._faults.drops)]
            self._drops += 1
            self._lose(way)

    async def _send(self, file: PlatformFile) -> None:
        if self.joined is None:
            return
        count = self.counts[file.id]
        count.sent += 1
        self._first_sent.setdefault(file.id, asyncio.get_running_loop().time())
        await self._tell(self.joined, *self._dialect.offer(self.id, file))

    def _settled(self) -> bool:
        return self._rules.ending == "answered" and all(one.answers or one.missed for one in self.counts.values())

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
            await self._tell(self.joined, "session-close", {"sessionId": self.id, "type": outcome})

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


def _swapped(files: Sequence[PlatformFile], every: int) -> list[PlatformFile]:
    """Each n-th file after the one that follows it."""
    order = list(files)
    for place in range(every - 1, len(order) - 1, every) if every else ():
        order[place], order[place + 1] = order[place + 1], order[place]
    return order

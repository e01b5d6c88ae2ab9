"""Answers between the journal and the platform's verdict."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from typing import Final

from msgspec.structs import replace

from .cases import Case, outgoing
from .contracts import Answer, Outgoing, What
from .errors import ExchangeError, NotConnectedError
from .journal import LARGEST_INLINE, FileState
from .served import Served

_TOLD: Final = {
    FileState.ACKNOWLEDGED: What.ACKNOWLEDGED,
    FileState.REFUSED: What.REFUSED,
    FileState.FAILED: What.FAILED,
    FileState.UNKNOWN: What.UNKNOWN,
}
_LATE: Final = frozenset({FileState.UNKNOWN, FileState.REFUSED, FileState.FAILED})
"""States, not in hand, that an acknowledgement still changes: the platform has the answer after all."""
NEVER_TWICE: Final = "its answer may have left, was not acknowledged, and is not sent a second time"


class Outbox:
    """Brings answers to the platform: journaled first, sent, and again until there is a verdict."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self._lines = 0
        """How often there was a new line."""
        self._down = False
        """Whether there is no line, as far as the last attempt says."""
        self._turn = asyncio.Lock()
        """One answer at a time is written down as leaving, where it goes no second time."""

    async def put(self, case: Case, answer: Answer, instead: str | None) -> None:
        """Journal a file's answer, then send it. ``instead``: why it is the fallback."""
        entry, served = case.entry, self._served
        if entry is None or entry.state is not FileState.SAVED or case.answering:
            return
        case.answering = True
        served.cases.let_go(case)
        inline: bytes | None = answer.text
        beside: str | None = None
        if len(answer.text) > LARGEST_INLINE:
            path = served.files.kept_answer(case.name)
            await served.saver.save(path, answer.text)
            inline, beside = None, path.name
        solved = replace(entry, state=FileState.SOLVED, answer=inline, answer_file=beside, fallback=instead is not None)
        await served.write(case, replace(solved, marked=self._never))
        if instead is not None:
            served.tell(What.FALLBACK, entry.file_id, instead)
        served.tell(What.SOLVED, entry.file_id, size=len(answer.text))
        await self.send(case)

    async def send(self, case: Case) -> None:
        """Hand an answer to the line. Without a line it stays pending."""
        while case.ready and not case.sending and not (self._never and self._down):
            lines, case.sending = self._lines, True
            try:
                async with self._turn if self._never else nullcontext():
                    await self._hand_over(case)
            except NotConnectedError:
                await self._came_back(case)
                if self._lines == lines:
                    self._down = True
                    return  # it goes with the next line
            except (ExchangeError, OSError) as error:
                await self.end(case, FileState.REFUSED, str(error))
                return
            else:
                return
            finally:
                case.sending = False

    async def _hand_over(self, case: Case) -> None:
        going = await self._going(case)
        if self._never and case.entry is not None:
            # Written down first: after a crash it is known which answers cannot have left.
            await self._served.write(case, replace(case.entry, sends=case.sends + 1))
        case.left = True
        case.sends += 1
        await self._served.serving.send(going)

    async def _came_back(self, case: Case) -> None:
        """There was no line: the answer has not left."""
        if case.left:
            case.left, case.sends = False, case.sends - 1
            if self._never and case.entry is not None:
                await self._served.write(case, replace(case.entry, sends=case.sends))

    @property
    def _never(self) -> bool:
        return self._served.serving.resend == "never"

    async def _going(self, case: Case) -> Outgoing:
        entry = case.entry
        assert entry is not None  # noqa: S101 - a case that is ready has one
        if entry.answer is not None:
            return outgoing(entry, entry.answer)
        path = self._served.files.kept_answer(case.name)
        return outgoing(entry, await asyncio.to_thread(path.read_bytes))

    async def resend(self) -> None:
        """Send what waits, now that there is a line, see `WorkDesk.resend`."""
        self._lines += 1
        self._down = False
        never = self._never
        ready = sorted((one for one in self._served.cases if one.ready and not one.sending), key=lambda one: one.rank)
        # Before anything is sent over the new line: what has left by now has left over one that is lost.
        for case in ready if never else ():
            if case.left:
                self._give_up(case, FileState.UNKNOWN, NEVER_TWICE)
        for case in ready:
            if not (never and case.left):
                await self.send(case)

    def _give_up(self, case: Case, state: FileState, message: str) -> None:
        self._served.spawn(self.end(case, state, message))

    async def acknowledged(self, name: str) -> None:
        """The platform has the answer to a file."""
        case = self._served.cases.get(name)
        if case is not None and case.ready:
            await self.end(case, FileState.ACKNOWLEDGED)
            return
        entry = None if case is not None else await self._served.held.journal.get(name)
        if entry is not None and entry.answered and entry.state in _LATE:
            await self._served.held.put(replace(entry, state=FileState.ACKNOWLEDGED, message=""))
            self._served.tell(What.ACKNOWLEDGED, entry.file_id)
        else:
            self._stray(name, "acknowledges")

    async def refused(self, name: str, message: str) -> None:
        """The platform did not take an answer. Whether it was tried again was the connector's to decide."""
        case = self._served.cases.get(name)
        if case is None or not case.ready:
            self._stray(name, "refuses")
            return
        await self.end(case, FileState.REFUSED, message)

    def _stray(self, name: str, does: str) -> None:
        self._served.tell(What.REPORTED, message=f"the platform {does} an answer that does not wait for it", name=name)

    async def end(self, case: Case, state: FileState, message: str = "") -> None:
        """Journal the last of a file, and let go of it."""
        entry = case.entry
        if case.ending or entry is None:
            return
        case.ending = True
        try:
            last = replace(entry, state=state, message=message, sends=case.sends)
            await self._served.write(case, last)
        except BaseException:
            case.ending = False
            raise
        self._served.cases.drop(case)
        self._served.tell(_TOLD[state], entry.file_id, message)

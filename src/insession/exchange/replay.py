"""Running a solution offline against a recording: the files that came, in their order, and no network.

It is the work desk of a session that takes the files in, with its deadlines, limits and fallback, over a store in
memory; the platform is a list, and takes every answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from insession.errors import InvalidInput

from .answering import Policy
from .contracts import ExchangeEvent, Id, Outgoing, Received, Serving
from .desk import Desk
from .dialects import Dialect2021, Dialect2023, FileCame
from .errors import DownloadFailed, ExchangeError
from .files import SessionFiles
from .names import safe_name
from .outcomes import Outcome
from .recording import Line, Recording
from .report import FileReport, Report
from .solutions import Isolation

__all__ = ["Replay", "replay"]
_SENT: Final = ("session-file-send", "session-send-file-result")


class Replay(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a replay. ``different`` are files whose answer is another than the recorded one."""

    report: Report
    answers: dict[str, bytes]
    """By the text of a file's id, as they would have been sent."""
    different: list[Id]

    @property
    def unsolved(self) -> list[FileReport]:
        """Files that have no answer."""
        return [file for file in self.report.files.values() if str(file.id) not in self.answers]


async def replay(
    recording: Recording,
    solution: object,
    *,
    folder: Path,
    policy: Policy | None = None,
    isolation: Isolation = "auto",
    speed: float | None = None,
    saved: Path | None = None,
    tell: Callable[[ExchangeEvent], None] = lambda _: None,
) -> Replay:
    """Have a recording's files solved.

    Args:
        recording: Where they come from.
        solution: What `solver_of` takes.
        folder: The root of ``files/`` for the replay: what the recorded session saved stays as it is.
        policy: As of a session.
        isolation: As of a session.
        speed: 1 is as fast as they came, 10 ten times that; None: at once.
        saved: The root where the recorded session kept its files; a recording of 2023 has no contents itself.
        tell: Hears what happens.

    Raises `InvalidInput` for a recording without files.
    """
    came = list(_files(recording))
    if not came:
        raise InvalidInput("recording", f"{recording.path} has no file in it")
    return await _Run(recording, came, folder if saved is None else saved, tell).run(
        solution, folder, policy, isolation, speed
    )


class _Run:
    """One replay."""

    def __init__(
        self,
        recording: Recording,
        came: list[tuple[Line, FileCame]],
        saved: Path,
        tell: Callable[[ExchangeEvent], None],
    ) -> None:
        self._recording = recording
        self._came = came
        self._saved = saved
        self._tell = tell
        self._report = Report()
        self._answers: dict[str, bytes] = {}
        self._settled = asyncio.Event()
        self._verdicts: set[asyncio.Future[None]] = set()
        self._session_id: Id = next((one.session_id for _, one in came if one.session_id is not None), "replay")

    async def run(
        self, solution: object, folder: Path, policy: Policy | None, isolation: Isolation, speed: float | None
    ) -> Replay:
        async with Desk(
            "memory:", solution, participant="replay", root=folder, policy=policy, isolation=isolation
        ) as desk:

            async def send(outgoing: Outgoing) -> None:
                self._answers[str(outgoing.file_id)] = outgoing.answer.text
                # As the platform would: later, and not within the call.
                asyncio.get_running_loop().call_soon(self._acknowledge, desk, outgoing.file_id)

            serving = Serving(
                session_id=self._session_id, send=send, tell=self._heard, dialect=self._recording.header.dialect
            )
            await desk.open(serving)
            await self._feed(desk, speed)
            while self._report.open:
                self._settled.clear()
                await self._settled.wait()
            await desk.close(Outcome.FINISH)
        return Replay(report=self._report, answers=self._answers, different=self._different())

    async def _feed(self, desk: Desk, speed: float | None) -> None:
        loop = asyncio.get_running_loop()
        began, first = loop.time(), self._came[0][0].at
        for line, came in self._came:
            if speed is not None:
                await asyncio.sleep(began + (line.at - first) / speed - loop.time())
            await desk.take_in(self._received(came))

    def _received(self, came: FileCame) -> Received:
        return Received(
            session_id=self._session_id if came.session_id is None else came.session_id,
            file_id=came.file_id,
            content=came.content,
            fetch=None if came.content is not None else lambda: self._fetched(came),
            timeout=came.timeout,
            raw=came.raw,
        )

    async def _fetched(self, came: FileCame) -> bytes:
        path = SessionFiles(self._saved, self._session_id).received(safe_name(came.file_id))
        try:
            return await asyncio.to_thread(path.read_bytes)
        except OSError as error:
            raise DownloadFailed(f"{path} cannot be read: {error.strerror}") from None

    def _heard(self, event: ExchangeEvent) -> None:
        self._report.tell(event)
        self._tell(event)
        self._settled.set()

    def _acknowledge(self, desk: Desk, file_id: Id) -> None:
        task = asyncio.ensure_future(desk.acknowledged(file_id))
        self._verdicts.add(task)
        task.add_done_callback(self._verdicts.discard)

    def _different(self) -> list[Id]:
        dialect = self._recording.header.dialect
        before = dict(_answer(line.payload, dialect) for line in self._recording.sent(*_SENT))
        different = []
        for _, came in self._came:
            known = before.get(_key(came, dialect))
            now = self._answers.get(str(came.file_id))
            if known is not None and now is not None and _value(now) != known and came.file_id not in different:
                different.append(came.file_id)
        return different


def _files(recording: Recording) -> Iterator[tuple[Line, FileCame]]:
    dialect: Dialect2021 | Dialect2023
    if recording.header.dialect == Dialect2023.name:
        # Nothing is fetched: what came is on disk.
        dialect = Dialect2023(download_host=recording.header.host, token="")
    else:
        dialect = Dialect2021()
    for line in recording.received(*{line.event for line in recording.lines}):
        try:
            heard = dialect.hear(line.event, line.payload)
        except ExchangeError:
            continue
        if isinstance(heard, FileCame):
            yield line, heard


def _key(came: FileCame, dialect: str) -> str:
    if dialect == Dialect2023.name:
        return f"{came.raw.get('epicrisisId')}/{came.raw.get('taskId')}"
    return str(came.file_id)


def _answer(payload: Any, dialect: str) -> tuple[str, Any]:
    if not isinstance(payload, dict):
        return "", None
    if dialect == Dialect2023.name:
        return f"{payload.get('epicrisisId')}/{payload.get('taskId')}", payload.get("answer")
    content = payload.get("content")
    return str(payload.get("fileId")), _value(content.encode()) if isinstance(content, str) else content


def _value(text: bytes) -> Any:
    """An answer as a value, so that spaces in its JSON make no difference."""
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text.decode(errors="replace")

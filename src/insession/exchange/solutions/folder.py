"""The watched folder: another program puts the answer to a file into ``output/``."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from insession.exchange.epicrisis import Epicrisis
from insession.exchange.files import OUTPUT
from insession.exchange.saving import make_folder

INTERVAL: Final = 0.2
SETTLED: Final = 0.5
_Seen = tuple[int, int]


class _Wait:
    """One file that an answer is waited for."""

    __slots__ = ("future", "received", "seen", "since")

    def __init__(self, future: asyncio.Future[object], received: int) -> None:
        self.future = future
        self.received = received
        """When the file was written (ns)."""
        self.seen: _Seen | None = None
        self.since = 0.0


class OutputFolder:
    """Waits for ``output/<name>.json`` beside the folder of the file, ``<name>`` being that of ``input/<name>.xml``.

    An answer is taken once it is JSON and has not changed for ``settled`` seconds, so that a program that writes it
    in place is not read half way; one that is older than the file is an earlier session's, and is not taken. All
    that are waited for are looked at together, every ``interval`` seconds.
    """

    unlimited: bool = True

    def __init__(self, *, interval: float = INTERVAL, settled: float = SETTLED) -> None:
        self._interval = interval
        self._settled = settled
        self._waits: dict[Path, _Wait] = {}
        self._looking: asyncio.Task[None] | None = None

    async def solve(self, epicrisis: Epicrisis, timeout: float | None) -> object:  # noqa: ARG002 - the desk cancels
        """Wait until the answer is there."""
        path = epicrisis.path_to_xml.parent.parent / OUTPUT / f"{epicrisis.path_to_xml.stem}.json"
        await asyncio.to_thread(make_folder, path.parent)
        received = (await asyncio.to_thread(epicrisis.path_to_xml.stat)).st_mtime_ns
        wait = self._waits[path] = _Wait(asyncio.get_running_loop().create_future(), received)
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        try:
            return await wait.future
        finally:
            if self._waits.get(path) is wait:
                del self._waits[path]

    async def close(self) -> None:
        """Look no more."""
        if self._looking is not None:
            self._looking.cancel()
            with suppress(asyncio.CancelledError):
                await self._looking

    async def _look(self) -> None:
        while self._waits:
            seen = await asyncio.to_thread(_stats, list(self._waits))
            now = asyncio.get_running_loop().time()
            settled = [path for path, stat in seen.items() if self._is_settled(path, stat, now)]
            if settled:
                for path, answer in (await asyncio.to_thread(_answers, settled)).items():
                    wait = self._waits.get(path)
                    if wait is not None and not wait.future.done():
                        wait.future.set_result(answer)
            await asyncio.sleep(self._interval)

    def _is_settled(self, path: Path, stat: _Seen, now: float) -> bool:
        wait = self._waits.get(path)
        if wait is None or wait.future.done() or stat[0] < wait.received:
            return False
        if wait.seen != stat:
            wait.seen, wait.since = stat, now
        return now - wait.since >= self._settled


def _stats(paths: Iterable[Path]) -> dict[Path, _Seen]:
    seen = {}
    for path in paths:
        with suppress(OSError):
            stat = os.stat(path)  # noqa: PTH116 - a path's own takes twice as long
            seen[path] = (stat.st_mtime_ns, stat.st_size)
    return seen


def _answers(paths: Iterable[Path]) -> dict[Path, str]:
    """The texts of those that are JSON."""
    answers = {}
    for path in paths:
        with suppress(OSError, msgspec.DecodeError, UnicodeDecodeError):
            content = path.read_bytes()
            msgspec.json.decode(content)
            answers[path] = content.decode().strip()
    return answers

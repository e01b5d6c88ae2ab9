"""Files that outlive a power cut: written whole under another name, brought to the disk, then renamed.

What waits for the disk waits together: files that arrive while others are written are written as one group, in a
thread, and their folder is brought to the disk once for all of them.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Final

ABREAST: Final = 4
"""So many groups are written at a time: a disk finishes several files in little more time than one."""
PART: Final = ".part"
_NUMBERS: Final = itertools.count(1)

_Job = tuple[asyncio.Future[None], Path, bytes]


def write_file(path: Path, content: bytes) -> None:
    """Write one file so that it is there whole or not at all, also after a power cut. Raises `OSError`."""
    error = _written([(path, content)])[0]
    if error is not None:
        raise error


def clean(folder: Path) -> None:
    """Remove what writers that died have left in a folder."""
    for path in folder.glob(f".*{PART}"):
        path.unlink(missing_ok=True)


class Saver:
    """Writes files for one event loop, in threads of its own. `close` waits for what is under way."""

    __slots__ = ("_busy", "_running", "_threads", "_waiting")

    def __init__(self) -> None:
        self._waiting: deque[_Job] = deque()
        self._running: set[asyncio.Future[None]] = set()
        self._threads: ThreadPoolExecutor | None = None
        self._busy = 0

    async def save(self, path: Path, content: bytes) -> None:
        """Write a file; it is on the disk when this returns. Raises `OSError`."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((future, path, content))
        # In the loop's next turn, so that what arrives in this one goes along.
        asyncio.get_running_loop().call_soon(self._leave)
        await future

    async def close(self) -> None:
        """Finish what was begun, and end the threads."""
        while self._running or self._waiting:
            self._leave()
            if self._running:
                await asyncio.wait(self._running)
        if self._threads is not None:
            self._threads.shutdown(wait=False)
            self._threads = None

    def _leave(self) -> None:
        while self._waiting and self._busy < ABREAST:
            share = -(-len(self._waiting) // (ABREAST - self._busy))
            jobs = [job for job in (self._waiting.popleft() for _ in range(share)) if not job[0].cancelled()]
            if jobs:
                self._start(jobs)

    def _start(self, jobs: Sequence[_Job]) -> None:
        if self._threads is None:
            self._threads = ThreadPoolExecutor(ABREAST, "insession-files")
        self._busy += 1
        written = asyncio.get_running_loop().run_in_executor(
            self._threads, _written, [(path, content) for _, path, content in jobs]
        )
        done = asyncio.ensure_future(self._delivered(jobs, written))
        self._running.add(done)
        done.add_done_callback(self._running.discard)

    async def _delivered(self, jobs: Sequence[_Job], written: asyncio.Future[list[OSError | None]]) -> None:
        errors = await written
        self._busy -= 1
        for (future, _, _), error in zip(jobs, errors, strict=True):
            if future.done():
                continue
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)
        self._leave()


def _written(files: Iterable[tuple[Path, bytes]]) -> list[OSError | None]:
    """Write some files, then bring their folders to the disk; what became of each."""
    errors: list[OSError | None] = []
    folders: dict[str, list[int]] = {}
    for number, (path, content) in enumerate(files):
        folder = os.path.dirname(path)  # noqa: PTH120 - a third of the time of a path's own
        try:
            _put(os.fspath(path), folder, content)
        except OSError as error:
            errors.append(error)
        else:
            errors.append(None)
            folders.setdefault(folder, []).append(number)
    for folder, numbers in folders.items():
        try:
            sync_folder(folder)
        except OSError as error:
            for number in numbers:
                errors[number] = error
    return errors


def _put(path: str, folder: str, content: bytes) -> None:
    part = os.path.join(folder, f".{os.getpid()}-{next(_NUMBERS)}{PART}")  # noqa: PTH118
    try:
        descriptor = _created(part, folder)
        try:
            left = memoryview(content)
            while left:
                left = left[os.write(descriptor, left) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(part, path)  # noqa: PTH105
    except BaseException:
        with suppress(OSError):
            os.unlink(part)  # noqa: PTH108
        raise


def _created(part: str, folder: str) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0)
    try:
        return os.open(part, flags, 0o666)
    except FileNotFoundError:
        make_folder(Path(folder))
        return os.open(part, flags, 0o666)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it so that they outlive a power cut."""
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    for one in reversed(missing):
        one.mkdir(exist_ok=True)
        sync_folder(os.fspath(one.parent))


def sync_folder(folder: str) -> None:
    """Bring a folder's entries to the disk. Where a system opens no folders (Windows), renaming is all there is."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

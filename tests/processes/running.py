"""Starting other processes, talking to them by lines, and stopping them."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

DEADLINE = 30.0
"""Every wait of these tests ends by then, whatever happens."""
ROOT = Path(__file__).parents[2]


class Worker:
    """A process that plays one role of a module of workers; ``async with`` kills it at the end."""

    def __init__(self, role: str, *arguments: object, module: str = "tests.processes.worker") -> None:
        self._command = (sys.executable, "-m", module, role, *map(str, arguments))

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            *self._command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, cwd=ROOT
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.returncode is None:
            self.kill()
        await self.end()

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    @property
    def _lines(self) -> asyncio.StreamReader:
        assert self._process.stdout is not None
        return self._process.stdout

    async def line(self) -> list[str]:
        """The words of its next line; none if it has ended."""
        async with asyncio.timeout(DEADLINE):
            return (await self._lines.readline()).decode().split()

    async def until(self, word: str) -> list[list[str]]:
        """Its lines before the one that begins with a word."""
        before: list[list[str]] = []
        while (line := await self.line())[:1] != [word]:
            assert line, f"the process ended without saying {word!r}: {before[-3:]}"
            before.append(line)
        return before

    async def rest(self) -> list[list[str]]:
        """Its lines until it ends; a last one that was cut short is none."""
        async with asyncio.timeout(4 * DEADLINE):
            text = (await self._lines.read()).decode()
        return [line.split() for line in text.splitlines(keepends=True) if line.endswith("\n")]

    async def say(self, line: str) -> None:
        """Give it a line."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())
        await self._process.stdin.drain()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it has not ended."""
        # Not by `Process.send_signal`, which looks whether it has ended, and so takes its exit code from asyncio.
        with suppress(ProcessLookupError):
            os.kill(self._process.pid, number)

    def kill(self) -> None:
        """``kill -9``."""
        self.signal(signal.SIGKILL)

    async def end(self) -> int:
        """Wait until it has ended; its exit code."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        async with asyncio.timeout(DEADLINE):
            return await self._process.wait()


@asynccontextmanager
async def workers(number: int, role: str, *arguments: object) -> AsyncIterator[list[Worker]]:
    """Several processes of one role; each gets its number as its last argument."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(Worker(role, *arguments, place)) for place in range(number)]


def sqlite_url(folder: Path, synchronous: str = "full", name: str = "sessions.db") -> str:
    """The URL of a file in a folder."""
    return f"sqlite:///{folder / name}?synchronous={synchronous}"

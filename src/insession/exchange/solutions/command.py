"""A command for each file: any language, any program."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from insession.errors import ConfigurationError
from insession.exchange.epicrisis import Epicrisis
from insession.exchange.errors import SolutionFailed
from insession.exchange.names import safe_name

LARGEST: Final = 64 << 20
"""So many bytes of an answer are read."""
PATH: Final = "{path}"


class Command:
    """Runs a command for each file, without a shell; what it writes to its standard output is the answer.

    ``{path}`` in an argument becomes the path of the file; without one, the file is its standard input. It also gets
    ``INSESSION_FILE`` (the path), ``INSESSION_FILE_ID``, ``INSESSION_SESSION_ID`` (as names of files) and
    ``INSESSION_TIMEOUT`` (seconds, where there is a deadline). What it writes to its standard error is shown as it is.
    An exit code that is not 0 means that there is no answer. At the deadline it is killed, with what it has started.
    """

    unlimited: bool = False

    def __init__(self, command: str | Sequence[str], *, environment: Mapping[str, str] | None = None) -> None:
        self._arguments = shlex.split(command) if isinstance(command, str) else [os.fspath(one) for one in command]
        if not self._arguments or not all(isinstance(one, str) for one in self._arguments):
            raise ConfigurationError("command: is a program with its arguments")
        self._by_path = any(PATH in one for one in self._arguments)
        self._environment = dict(environment or {})
        self._running: set[Process] = set()

    async def solve(self, epicrisis: Epicrisis, timeout: float | None) -> object:
        """Run it to its end. Raises `SolutionFailed`."""
        process = await self._started(epicrisis, timeout)
        self._running.add(process)
        ended = False
        try:
            answer = await _read(process)
            code = await process.wait()
            ended = True
        finally:
            if not ended:
                _kill(process)
                await process.wait()
            self._running.discard(process)
        if code != 0:
            raise SolutionFailed(f"the command ended with {_how(code)}")
        try:
            return answer.decode().strip()
        except UnicodeDecodeError:
            raise SolutionFailed("the command's output is no UTF-8 text") from None

    async def close(self) -> None:
        """Nothing is held."""

    def kill(self) -> None:
        """Kill what runs, now: for a program that ends at once. They are in groups of their own, and would go on."""
        for process in self._running:
            _kill(process)

    async def _started(self, epicrisis: Epicrisis, timeout: float | None) -> Process:
        path = epicrisis.path_to_xml.absolute()
        arguments = [one.replace(PATH, os.fspath(path)) for one in self._arguments]
        environment = os.environ | self._environment | _facts(epicrisis, path, timeout)
        # A group of its own: what it starts is killed with it, and a terminal's Ctrl-C does not reach it.
        options: dict[str, Any] = {"stdout": PIPE, "env": environment, "start_new_session": True}
        file = await asyncio.to_thread(self._input, path)
        try:
            return await asyncio.create_subprocess_exec(*arguments, stdin=file, **options)
        except OSError as error:
            raise SolutionFailed(f"the command cannot be started: {error.strerror}") from None
        finally:
            if file != DEVNULL:
                os.close(file)

    def _input(self, path: Path) -> int:
        return DEVNULL if self._by_path else os.open(path, os.O_RDONLY)


def _facts(epicrisis: Epicrisis, path: Path, timeout: float | None) -> dict[str, str]:
    facts = {"INSESSION_FILE": os.fspath(path), "INSESSION_FILE_ID": safe_name(epicrisis.file_id)}
    if epicrisis.session_id is not None:
        facts["INSESSION_SESSION_ID"] = safe_name(epicrisis.session_id, "session_id")
    if timeout is not None:
        facts["INSESSION_TIMEOUT"] = f"{timeout:.3f}"
    return facts


async def _read(process: Process) -> bytes:
    assert process.stdout is not None  # noqa: S101 - it was asked for
    parts, size = [], 0
    while part := await process.stdout.read(1 << 16):
        parts.append(part)
        size += len(part)
        if size > LARGEST:
            raise SolutionFailed(f"the command's output is larger than {LARGEST} bytes")
    return b"".join(parts)


def _kill(process: Process) -> None:
    with suppress(ProcessLookupError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()


def _how(code: int) -> str:
    return f"exit code {code}" if code > 0 else f"signal {-code}"

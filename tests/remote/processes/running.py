"""Programs that hold sessions with the double: started, spoken to by lines, and ended as a test says."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Protocol, Self

from insession.testing.sankhya import Counters
from tests.programs import ROOT, clean_environ

DEADLINE: Final = 40.0
"""Every wait ends by then. A node counts as dead after 15 s."""
PYTHON: Final = (sys.executable, "-W", "error", "-W", "ignore:.*fork:DeprecationWarning", "-c")
HEAD: Final = """
import os, signal, sys, threading, time
from insession.remote.sankhya import Partner, SankhyaContext, SankhyaSettings

def say(*words):
    # In one piece: children of a fork say something at the same time.
    os.write(1, " ".join([*map(str, words)]).encode() + bytes([10]))

"""


class Double(Protocol):
    """Either form of it."""

    url: str

    @property
    def counters(self) -> Counters: ...


class Program:
    """A program of a few lines, in a process of its own, with a context's environment; ``with`` kills it at the end."""

    def __init__(self, text: str, double: Double, folder: Path, **environ: str) -> None:
        self.popen = subprocess.Popen(
            (*PYTHON, HEAD + textwrap.dedent(text)),
            cwd=ROOT,
            env=environ_of(double, folder) | environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            bufsize=1,
            start_new_session=True,
        )
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # With the children that it left behind: they hold the other end of its pipes.
        with suppress(ProcessLookupError):
            os.killpg(self.popen.pid, signal.SIGKILL)
        self.popen.wait()
        self._reading.join()
        for stream in (self.popen.stdin, self.popen.stdout, self.popen.stderr):
            assert stream is not None
            stream.close()

    def line(self) -> str:
        """Its next line."""
        try:
            line = self._lines.get(timeout=DEADLINE)
        except queue.Empty:
            line = ""
        if not line:
            self.popen.kill()
            assert self.popen.stderr is not None
            raise AssertionError(f"it said nothing: {self.popen.stderr.read()}")
        return line.strip()

    def say(self, line: str = "") -> None:
        """Let it go on."""
        assert self.popen.stdin is not None
        self.popen.stdin.write(f"{line}\n")
        self.popen.stdin.flush()

    def kill(self) -> None:
        """``kill -9``."""
        self.popen.kill()
        self.popen.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.popen.send_signal(number)

    def end(self) -> tuple[int, str]:
        """Close its standard input, and wait for its end: exit code, and what it wrote to standard error."""
        assert self.popen.stdin is not None
        assert self.popen.stderr is not None
        self.popen.stdin.close()
        errors = self.popen.stderr.read()
        self.popen.wait(DEADLINE)
        return self.popen.returncode, errors

    def _read(self) -> None:
        assert self.popen.stdout is not None
        for line in self.popen.stdout:
            self._lines.put(line)
        self._lines.put("")


def environ_of(double: Double, folder: Path) -> dict[str, str]:
    """Where the service and the store are, for `from_settings`."""
    kept = {name: value for name, value in clean_environ().items() if not name.startswith("SANKHYA_")}
    return kept | {
        "SANKHYA_BASE_URL": double.url,
        "SANKHYA_USERNAME": "SUP",
        "SANKHYA_PASSWORD": "secret",
        "INSESSION_STORE": f"sqlite:///{folder / 'sessions.db'}?synchronous=normal",
        "INSESSION_STATE_DIR": str(folder / "state"),
        "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]),
    }


def wait_until(holds: Callable[[], Any], what: str = "") -> None:
    """Wait for a condition."""
    until = time.monotonic() + DEADLINE
    while not holds():
        assert time.monotonic() < until, f"never: {what or holds}"
        time.sleep(0.02)

"""Real processes of ours: started, waited for until they say that they listen, and stopped by a signal."""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
STARTS_IN = 20.0
STOPS_IN = 10.0
INSESSION = (sys.executable, "-W", "error", "-c", "import insession.cli; insession.cli.main()")


class Process:
    """A process that says on its first line where it listens."""

    def __init__(self, popen: subprocess.Popen[str], said: str) -> None:
        self.popen = popen
        self.said = said
        found = re.search(r"http://[\d.:]+", said)
        self.url = found[0] if found else ""

    def stop(self, how: int = signal.SIGTERM) -> tuple[int, str]:
        """Stop it; its exit code, and what it wrote to standard error."""
        self.popen.send_signal(how)
        _, errors = self.popen.communicate(timeout=STOPS_IN)
        return self.popen.returncode, errors


@contextlib.contextmanager
def started(*command: str, cwd: Path, environ: dict[str, str] | None = None) -> Iterator[Process]:
    """A process that runs until the end of the block."""
    popen = subprocess.Popen(
        command,
        cwd=cwd,
        env=clean_environ(environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield Process(popen, _first_line(popen))
    finally:
        if popen.poll() is None:
            popen.kill()
        popen.communicate()


def run(
    *command: str, cwd: Path, environ: dict[str, str] | None = None, said: str = ""
) -> subprocess.CompletedProcess[str]:
    """A process that ends by itself; ``said`` is its standard input."""
    return subprocess.run(
        command,
        cwd=cwd,
        env=clean_environ(environ),
        input=said,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def insession(
    *arguments: str, cwd: Path, environ: dict[str, str] | None = None, said: str = ""
) -> subprocess.CompletedProcess[str]:
    """The command line, as a process, with warnings as errors."""
    return run(*INSESSION, *arguments, cwd=cwd, environ=environ, said=said)


def clean_environ(environ: dict[str, str] | None = None) -> dict[str, str]:
    """The environment without what would decide for a test which store it uses."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("INSESSION_")}
    return kept | (environ or {})


def _first_line(popen: subprocess.Popen[str]) -> str:
    assert popen.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(popen.stdout, selectors.EVENT_READ)
        until = time.monotonic() + STARTS_IN
        if selector.select(until - time.monotonic()):
            line = popen.stdout.readline()
            if line:
                return line
    popen.kill()
    _, errors = popen.communicate()
    raise AssertionError(f"it did not start: {errors}")

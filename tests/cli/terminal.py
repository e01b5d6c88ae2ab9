"""A command on a terminal: a pseudo-terminal of a known size that is the process's own, so that Ctrl-C reaches it."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from pathlib import Path
from typing import NamedTuple

from tests.programs import INSESSION, clean_environ

COLUMNS = 100
CTRL_C = "\x03"
PATIENCE = 30.0
_CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Shown(NamedTuple):
    """What a terminal showed until the process ended; colours and movements of the cursor are left out of ``text``."""

    code: int
    raw: str

    @property
    def text(self) -> str:
        return _CODES.sub("", self.raw).replace("\r\n", "\n")


def on_terminal(
    *arguments: str, cwd: Path, environ: dict[str, str] | None = None, when: str = "", say: str = ""
) -> Shown:
    """Run a command there. As soon as ``when`` is shown, ``say`` is typed."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, COLUMNS, 0, 0))
    process = subprocess.Popen(
        [*INSESSION, *arguments],
        cwd=cwd,
        env=clean_environ({"TERM": "xterm", **(environ or {})}),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        # The session's own terminal: else nobody is there for Ctrl-C to stop.
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - no threads here
    )
    os.close(theirs)
    try:
        raw = _read(ours, when, say)
        return Shown(process.wait(PATIENCE), raw)
    finally:
        os.close(ours)
        if process.poll() is None:
            process.kill()
            process.wait()


def _read(ours: int, when: str, say: str) -> str:
    shown, said, until = b"", "", time.monotonic() + PATIENCE
    while time.monotonic() < until:
        if not select.select([ours], [], [], PATIENCE / 6)[0]:
            if said == CTRL_C:
                # One that comes between the prompt and the wait for its answer is not seen before the next.
                os.write(ours, said.encode())
            continue
        try:
            some = os.read(ours, 65_536)
        except OSError:  # what Linux says when the last one has closed the other side
            return shown.decode()
        if not some:
            return shown.decode()
        shown += some
        if say and when in shown.decode(errors="replace"):
            os.write(ours, say.encode())
            said, say = say, ""
    raise AssertionError(f"it shows no end: {shown.decode()}")

"""A participant's project for tests of the command line: a folder with ``.env`` and a model, and commands in it."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

from insession.testing.platform import PlatformDouble
from tests.programs import INSESSION, clean_environ, insession

TOKEN = "tok-5f2e81c0-secret"
PATIENCE = 40.0
MODEL = """
import time

async def solve(epicrisis):
    return {"bytes": len(epicrisis.content)}

def listed(epicrisis):
    return [{"bytes": len(epicrisis.content)}]

def slow(epicrisis):
    time.sleep(0.4)
    return {"bytes": len(epicrisis.content)}

def hangs(epicrisis):
    time.sleep(3_600)

def raises(epicrisis):
    raise ValueError("no model")
"""


class Project:
    """A folder with settings and solutions."""

    def __init__(self, folder: Path, host: str) -> None:
        self.folder = folder
        self.env(HOST=host)
        (folder / "model.py").write_text(MODEL)

    def env(self, **more: object) -> None:
        """Write the settings; the journal lies in the folder."""
        settings = {"TOKEN": TOKEN, "SESSION_JOIN_TIMEOUT": 0.2, "SESSION_RETRY_FIRST": 0.1}
        settings |= {"INSESSION_STORE": f"sqlite:///{self.folder}/journal.db"} | more
        file = self.folder / ".env"
        file.touch(mode=0o600)
        file.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))

    def run(self, *arguments: str, **environ: str) -> CompletedProcess[str]:
        """A command, to its end."""
        return insession("exchange", *arguments, cwd=self.folder, environ=environ)

    @contextlib.contextmanager
    def serving(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """A command that runs meanwhile."""
        process = subprocess.Popen(
            [*INSESSION, "exchange", *arguments],
            cwd=self.folder,
            env=clean_environ(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.communicate()

    def received(self) -> dict[str, bytes]:
        """The files on disk."""
        return {path.stem: path.read_bytes() for path in self.folder.glob("files/sessions/*/input/*.xml")}


def ended(process: subprocess.Popen[str]) -> CompletedProcess[str]:
    """Wait for its end."""
    out, err = process.communicate(timeout=PATIENCE)
    return CompletedProcess(process.args, process.returncode, out, err)


def lines(text: str) -> list[dict[str, Any]]:
    """JSON objects, each on a line, and nothing else."""
    return [json.loads(line) for line in text.splitlines()]


def answered(platform: PlatformDouble, count: int) -> None:
    """Wait until so many files are answered."""
    platform.wait_until(lambda counters: counters.answered >= count, PATIENCE)

"""Install npm's socket.io once for a run of the tests, and serve a small platform on it."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

# Under names of their own, so that both lie in one folder.
PACKAGES: Final = ("socket.io4@npm:socket.io@4.8.4", "socket.io2@npm:socket.io@2.5.1")
_PATIENCE: Final = 40


def packages(folder: Path) -> Path:
    """Where the packages lie; skips the test where they cannot be had. Workers of one run share the folder."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            pytest.skip(f"there is no {program} on this machine")
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (folder / "failed").exists():
            pytest.skip("npm does not give socket.io here, as another worker found")
        if not (folder / "installed").exists():
            (folder / "failed").touch()
            _install(folder)
            (folder / "failed").rename(folder / "installed")
    return folder / "node_modules"


def _install(folder: Path) -> None:
    command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(folder), *PACKAGES]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=_PATIENCE, cwd=folder)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        pytest.skip(f"npm does not give socket.io here: {type(error).__name__}")


class NodePlatform:
    """A platform in a Node.js process: what it says, line by line."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.said: list[tuple[str, Any]] = []
        self.url = f"http://127.0.0.1:{self.until('port')}"

    def until(self, what: str) -> Any:
        """Read on until it says this; gives the value."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            said = json.loads(line)
            self.said.append((said["what"], said["value"]))
            if said["what"] == what:
                return said["value"]
        raise AssertionError(f"the platform ended and did not say {what}: {self.said}")

    def rest(self) -> list[tuple[str, Any]]:
        """End it; all that it said."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self.said += [(said["what"], said["value"]) for said in map(json.loads, self._process.stdout)]
        return self.said


@contextmanager
def serving(package: Path, server: Mapping[str, Any], **options: Any) -> Iterator[NodePlatform]:
    """A platform on this package of socket.io, with these options of its server."""
    script, words = Path(__file__).with_name("platform.js"), json.dumps({**options, "server": server})
    process = subprocess.Popen(
        ["node", str(script), str(package), words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG"}},
    )
    try:
        yield NodePlatform(process)
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()

"""The README is followed to the letter: every block runs, and what it shows is what comes.

A comment before a block of the README says how it is treated: ``<!-- runs on, until: command -->`` for what keeps
running in a terminal of its own (``$OUTPUT`` is what it has written), ``<!-- not run: why -->``. A ``text`` block is
what the block before it prints, up to ids, times and numbers.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.programs import ROOT, clean_environ, run

pytestmark = pytest.mark.processes
README = (ROOT / "README.md").read_text()
BLOCK = re.compile(r"(?:<!-- (?P<how>[^>]*) -->\n)?```(?P<language>\w+)\n(?P<text>.*?)```", re.DOTALL)
UNTIL = 20.0


class Block(NamedTuple):
    how: str
    language: str
    text: str


BLOCKS = [Block(found["how"] or "", found["language"], found["text"]) for found in BLOCK.finditer(README)]


def normal(text: str) -> str:
    """A text without what is different each time."""
    for pattern, instead in (
        (r"[0-9a-f]{32}", "ID"),
        (r"127\.0\.0\.1:\d+", "ADDRESS"),
        (r"\d+", "N"),
        (r"[ \t]+", " "),
    ):
        text = re.sub(pattern, instead, text)
    return text


def shows(output: str, wanted: str) -> None:
    for line in normal(wanted).splitlines():
        assert line.strip() in normal(output), output


class Terminals:
    """Shells in one folder, as somebody who follows the README has them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.outputs: list[Path] = []
        self._running: list[subprocess.Popen[bytes]] = []
        with contextlib.ExitStack() as stack:
            ports = [stack.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1] for _ in range(2)]
        self._ports = dict(zip(("8080", "8090"), map(str, ports), strict=True))
        bin_folder = folder / ".venv" / "bin"
        bin_folder.mkdir(parents=True)
        (bin_folder / "activate").write_text(f'export PATH="{Path(sys.executable).parent}:$PATH"\n')
        (folder / "examples").symlink_to(ROOT / "examples")

    def here(self, text: str) -> str:
        """A command on free ports; and without the installation that `make run` begins with."""
        text = text.replace("make run", f". .venv/bin/activate; {made()} --port 8080")
        for port, free in self._ports.items():
            text = re.sub(rf"\b{port}\b", free, text)
        return text

    def shell(self, text: str, output: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run a block in a shell that remembers the ID of the one before."""
        script = f"[ ! -e .id ] || . ./.id; {self.here(text)}\ndeclare -p ID > .id 2>/dev/null || :"
        environ = {"OUTPUT": str(output or "")}
        return run("bash", "-euc", script, cwd=self.folder, environ=environ)

    def leave_running(self, text: str, until: str) -> Path:
        """Run a block in a terminal of its own, until a command finds that it works."""
        output = self.folder / f"output{len(self.outputs)}"
        self.outputs.append(output)
        with output.open("wb") as file:
            popen = subprocess.Popen(
                ["bash", "-euc", self.here(text)],
                cwd=self.folder,
                env=clean_environ(),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._running.append(popen)
        deadline = time.monotonic() + UNTIL
        while self.shell(f". .venv/bin/activate; {until}", output).returncode:
            assert popen.poll() is None, output.read_text()
            assert time.monotonic() < deadline, output.read_text()
        return output

    def close(self) -> None:
        for popen in reversed(self._running):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(popen.pid, signal.SIGTERM)
            popen.wait(10)


def made() -> str:
    """What `make run` runs, by the Makefile."""
    makefile = (ROOT / "Makefile").read_text()
    recipe = re.search(r"^run:.*\n\t\$\(BIN\)/(.*)$", makefile, re.MULTILINE)
    store = re.search(r"^STORE \?= (.*)$", makefile, re.MULTILINE)
    assert recipe is not None
    assert store is not None
    return recipe[1].replace("$(STORE)", store[1])


def test_every_block_is_known() -> None:
    assert BLOCKS
    assert {block.language for block in BLOCKS} == {"sh", "python", "text"}
    assert all(block.how.startswith(("runs on, until: ", "not run: ")) for block in BLOCKS if block.how)


PROGRAMS = [at for at, block in enumerate(BLOCKS) if block.language == "python"]


@pytest.mark.parametrize("at", PROGRAMS)
def test_a_program(at: int, tmp_path: Path) -> None:
    environ = {"INSESSION_STATE_DIR": str(tmp_path / "state")}
    done = run(sys.executable, "-W", "error", "-c", BLOCKS[at].text, cwd=tmp_path, environ=environ)
    assert (done.stdout, done.stderr) == (BLOCKS[at + 1].text, "")


def test_the_walks(tmp_path: Path) -> None:
    terminals = Terminals(tmp_path)
    try:
        outputs: list[tuple[Path | str, str]] = []
        output: Path | str = ""
        for block in BLOCKS:
            if block.language == "text":
                outputs.append((output, block.text))
            elif block.language == "sh" and block.how.startswith("runs on"):
                output = terminals.leave_running(block.text, block.how.removeprefix("runs on, until: "))
            elif block.language == "sh" and not block.how:
                # Each command of a block follows the activation that the README has once.
                done = terminals.shell(f". .venv/bin/activate; {block.text}")
                assert (done.returncode, done.stderr) == (0, ""), (block.text, done.stdout, done.stderr)
                output = done.stdout
        for output, wanted in outputs[len(PROGRAMS) :]:
            shows(output.read_text() if isinstance(output, Path) else output, wanted)
        service, events, downloads, curl = (one.read_text() for one in terminals.outputs)
    finally:
        terminals.close()
    assert service.startswith("insession serves")
    for said in ("event: opened", "event: interrupted", '"reason":"enough"', '"kind":"download"'):
        assert said in events
    assert "too late" not in events
    assert "stopped: too much" in downloads
    assert "curl: (18)" in curl

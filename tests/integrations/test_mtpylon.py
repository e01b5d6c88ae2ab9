"""A real mtpylon application over a storage of ours: two processes, a restart, and what its client is answered.

mtpylon lies in an environment of its own, which `make mtpylon` makes; without it these tests are skipped.
"""

import asyncio
import importlib.util
import os
import random
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha1
from pathlib import Path

import pytest

from insession import ConfigurationError
from insession.integrations.mtpylon import install, new_session_created, schema_with_sessions
from insession.protocol import SessionStorage
from tests.programs import ROOT, Process, clean_environ, started

PYTHON = Path(sys.prefix, "mtpylon", "bin", "python")
KEY = random.Random(1).getrandbits(2048) | 1 << 2047
KEY_ID = int.from_bytes(sha1(KEY.to_bytes(256, "big"), usedforsecurity=False).digest()[-8:], "big")
APP = "tests.integrations.mtpylon_app"
PATHS = {"PYTHONPATH": f"{ROOT}:{ROOT / 'src'}"}
real = pytest.mark.skipif(not PYTHON.exists() and not os.environ.get("CI"), reason="mtpylon is not there: make mtpylon")


@contextmanager
def serving(store: str, folder: Path) -> Iterator[Process]:
    """The application, as a process."""
    with started(str(PYTHON), "-m", APP, "serve", store, cwd=folder, environ=PATHS) as process:
        process.url = re.search(r"http://\S+", process.said)[0]  # type: ignore[index]
        yield process


def call(process: Process, folder: Path, *calls: str) -> list[list[str]]:
    """The words of each answer that a client gets."""
    done = subprocess.run(
        (str(PYTHON), "-m", APP, "call", process.url, *calls),
        cwd=folder,
        env=clean_environ(PATHS),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [line.split()[1:] for line in done.stdout.splitlines()]


def stopped(process: Process) -> tuple[list[list[str]], str]:
    """What it said until it was told to stop, and what it wrote to standard error."""
    process.popen.send_signal(signal.SIGTERM)
    out, errors = process.popen.communicate(timeout=20)
    assert process.popen.returncode == 0, errors
    return [line.split() for line in out.splitlines()], errors


async def store_of(url: str) -> list[tuple[int, int | None, str | None]]:
    async with SessionStorage(url) as storage:
        return [(one.session_id, one.auth_key_id, one.node) async for one in storage.sessions(KEY_ID)]


@real
@pytest.mark.processes
@pytest.mark.timeout(120)
@pytest.mark.requirement("P26", "P27", "P29", "P18e")
def test_an_application_is_served_by_two_processes_and_restarted(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'sessions.db'}"
    with serving(url, tmp_path) as first, serving(url, tmp_path) as second:
        # The session's first message is answered, although an observer fails; answers carry its id.
        (first_answer,) = call(first, tmp_path, "5:double:21")
        assert (first_answer[0], first_answer[2:]) == ("5", ["Number", "42"])
        message_id = first_answer[1]
        # The other process knows it, and makes one of its own.
        answers = call(second, tmp_path, "5:double:4", "-6:double:5")
        assert [one[0] for one in answers] == ["5", "-6"]
        # It destroys the other one, once; never the current one.
        answers = call(second, tmp_path, "-6:destroy_session:5", "-6:destroy_session:5", "-6:destroy_session:-6")
        assert [one[2:] for one in answers] == [
            ["DestroySessionOk", "5"],
            ["DestroySessionNone", "5"],
            ["DestroySessionNone", "-6"],
        ]
        said, errors = stopped(first)
        assert said[:2] == [["event", "created", "5", str(KEY_ID), "True"], ["new", message_id, "True"]]
        assert ["event", "created", "-6", str(KEY_ID), "False"] in said
        assert ["event", "destroyed", "5", str(KEY_ID), "False"] in said
        assert "an observer failed" in errors
        assert str(KEY) not in errors
        said, _ = stopped(second)
        assert said[0] == ["event", "created", "5", str(KEY_ID), "False"]
        assert [line[1:3] for line in said if line[0] == "event"] == [
            ["created", "5"],
            ["created", "-6"],
            ["destroyed", "5"],
        ]
    assert asyncio.run(store_of(url)) == [(-6, KEY_ID, "the test")]
    with serving(url, tmp_path) as again:
        assert call(again, tmp_path, "-6:double:1")[0][2:] == ["Number", "2"]
        said, _ = stopped(again)
        assert said == []


@pytest.mark.skipif(importlib.util.find_spec("mtpylon") is not None, reason="mtpylon is there")
async def test_without_mtpylon_it_says_what_is_missing() -> None:
    with pytest.raises(ConfigurationError, match="mtpylon is not installed"):
        schema_with_sessions(None)
    async with SessionStorage("memory:") as storage:
        await storage.create_session(5, 1)
        record = await storage.record(5, 1)
        assert record is not None
        with pytest.raises(ConfigurationError, match="mtpylon is not installed"):
            new_session_created(record, 1)
    with pytest.raises(ConfigurationError, match="configure_app"):
        install({})

"""The example's server and listener, as processes, with the command line between them."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.programs import ROOT, Process, insession, run, started
from tests.tracking.waiting import until

pytestmark = pytest.mark.processes
STORE = "sqlite:///sessions.db"
EXAMPLE = (sys.executable, "-W", "error", str(ROOT / "examples" / "grpc_audio.py"))
QUIET = {"GRPC_VERBOSITY": "ERROR"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def server(folder: Path) -> Iterator[Process]:
    environ = {**QUIET, "INSESSION_STATE_DIR": str(folder / "state")}
    options = ("serve", "--store", STORE, "--address", "127.0.0.1:0")
    with started(*EXAMPLE, *options, cwd=folder, environ=environ) as process:
        yield process


async def listen(folder: Path, server: Process, *options: str) -> CompletedProcess[str]:
    address = server.said.split()[-1]
    return await asyncio.to_thread(run, *EXAMPLE, "listen", "--address", address, *options, cwd=folder, environ=QUIET)


async def live(folder: Path) -> list[str]:
    done = await asyncio.to_thread(insession, "ls", "--kind", "device", "--json", "--store", STORE, cwd=folder)
    return [json.loads(line)["id"] for line in done.stdout.splitlines()]


async def test_speech_that_is_over(folder: Path, server: Process) -> None:
    done = await listen(folder, server, "--device", "hall", "Hi")
    assert (done.returncode, done.stdout, done.stderr) == (0, "0.2 s of speech\n", "")
    assert server.stop() == (0, "")


async def test_a_listener_is_stopped_by_the_command(folder: Path, server: Process) -> None:
    listener = asyncio.create_task(listen(folder, server))
    found: list[str] = []

    async def listens() -> bool:
        found[:] = await live(folder)
        return bool(found)

    await until(listens)
    arguments = ("interrupt", found[0], "--reason", "too loud", "--store", STORE)
    done = await asyncio.to_thread(insession, *arguments, cwd=folder)
    assert done.stdout.startswith(f"{found[0]} interrupted: too loud")  # and how it stopped, if that is known by then
    said = (await listener).stdout
    assert re.fullmatch(rf"ABORTED after \d+\.\d s: too loud \(session {found[0]}\)\n", said), said


async def test_stopping_the_server_tells_its_listeners(folder: Path, server: Process) -> None:
    listener = asyncio.create_task(listen(folder, server))

    async def listens() -> bool:
        return bool(await live(folder))

    await until(listens)
    assert await asyncio.to_thread(server.stop) == (0, "")
    assert " s: server_shutdown (session " in (await listener).stdout

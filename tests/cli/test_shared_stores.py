"""The command line on stores that processes share: each command, and an interrupt that stops another process's work."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import httpx2
import pytest

from tests.processes.conftest import EMPTY
from tests.processes.running import Worker
from tests.programs import INSESSION, insession, started
from tests.servers import valkey
from tests.servers.valkey import free_port

from .conftest import Run, lines

pytestmark = pytest.mark.processes
UNAVAILABLE = 5
SECRET = "hunter2"


@pytest.fixture(params=["valkey", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty store on a server; of Redis by the name that users know."""
    return EMPTY[str(request.param)](tmp_path).replace("valkey://", "redis://")


async def _cli(folder: Path, *arguments: str) -> CompletedProcess[str]:
    return await asyncio.to_thread(insession, *arguments, cwd=folder)


async def test_the_work_of_another_process_is_cancelled(store: str, tmp_path: Path) -> None:
    async with Worker("work", store, 2) as worker:
        first, second = [line[1] for line in await worker.until("ready")]
        where = ("--store", store)
        found = lines(await _cli(tmp_path, "ls", "--kind", "worked", "--json", *where))
        assert {session["id"] for session in found} == {first, second}
        done = await _cli(tmp_path, "interrupt", first, "--reason", "enough", *where)
        assert (done.returncode, done.stderr) == (0, "")
        # How its work stopped may be known by then.
        assert done.stdout.startswith(f"{first} interrupted: enough")
        assert await worker.line() == ["stopped", first, "Interrupted", "enough"]
        assert lines(await _cli(tmp_path, "interrupt", "--all", "--json", *where)) == [{"interrupted": 1}]
        assert (await worker.line())[:3] == ["stopped", second, "Interrupted"]
        await worker.say("leave")
        assert await worker.end() == 0
        (shown,) = lines(await _cli(tmp_path, "show", first, "--json", *where))
        assert (shown["state"], shown["reason"], shown["stopped"]) == ("interrupted", "enough", "cancelled")
        events = lines(await _cli(tmp_path, "events", "--no-follow", "--json", *where))
        assert [one["type"] for one in events if one["id"] == first] == ["opened", "interrupted", "stopped"]


def test_a_service_and_the_command_line_share_a_store(store: str, tmp_path: Path) -> None:
    with started(*INSESSION, "serve", "--store", store, "--port", "0", cwd=tmp_path) as service:
        assert valkey.shared().password not in service.said
        opened = httpx2.post(f"{service.url}/v1/sessions", json={"kind": "job", "owner": "ann"}, trust_env=False).json()
        (listed,) = lines(insession("ls", "--owner", "ann", "--json", "--store", store, cwd=tmp_path))
        assert listed["id"] == opened["id"]
        first = lines(insession("events", "--no-follow", "--json", "--store", store, cwd=tmp_path))[-1]
        assert (first["type"], first["id"]) == ("opened", opened["id"])
        # What one process ends, another one that follows is told of, by the service of a third.
        insession("interrupt", opened["id"], "--store", store, cwd=tmp_path)
        with started(
            *INSESSION, "events", "--json", "--after", first["cursor"], "--url", service.url, cwd=tmp_path
        ) as (reader):
            assert json.loads(reader.said)["type"] == "interrupted"
            second = httpx2.post(f"{service.url}/v1/sessions", json={"kind": "job"}, trust_env=False).json()
            assert insession("interrupt", second["id"], "--store", store, cwd=tmp_path).returncode == 0
            assert reader.popen.stdout is not None
            told = [json.loads(reader.popen.stdout.readline()) for _ in range(2)]
            assert [(one["type"], one["id"]) for one in told] == [
                ("opened", second["id"]),
                ("interrupted", second["id"]),
            ]
            assert reader.stop(2) == (130, "")
        assert service.stop() == (0, "")


def test_the_commands_that_look_and_keep(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inside: Run
) -> None:
    """In this process: how they are as processes is shown over SQLite."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("INSESSION_STORE", store)

    def done(*arguments: str) -> list[Any]:
        return lines(inside(*arguments, "--json"))

    (session,) = done("open", "--kind", "job", "--owner", "ann", "--name", "night", "--data", "[1]")
    assert done("touch", session["id"])[0]["id"] == session["id"]
    assert done("stats")[0]["sessions"] == {"job": {"active": 1}}
    assert done("locks") + done("nodes") == []
    assert done("close", session["id"])[0]["won"] is True
    assert done("migrate")[0]["store"] in store.replace(valkey.shared().password, "***")
    done("copy", "--from", store, "--to", "sqlite:///copy.db", "--finish")
    assert done("show", session["id"], "--store", "sqlite:///copy.db")[0]["data"] == [1]
    assert done("erase", "ann", "--yes", "--store", "sqlite:///copy.db")[0]["erased"] > 0


@pytest.mark.parametrize("scheme", ["redis", "postgresql"])
@pytest.mark.parametrize(
    "command", [("ls",), ("show", "00" * 16), ("interrupt", "00" * 16), ("events",), ("serve", "--port", "0")]
)
def test_a_server_that_is_not_there_is_named_without_its_password(
    tmp_path: Path, scheme: str, command: tuple[str, ...]
) -> None:
    port = free_port()
    store = f"{scheme}://ann:{SECRET}@127.0.0.1:{port}/0?timeout=1"
    begin = time.monotonic()
    done = insession(*command, "--store", store, cwd=tmp_path)
    assert time.monotonic() - begin < 10.0
    assert (done.returncode, done.stdout) == (UNAVAILABLE, "")
    assert f"{scheme}://ann:***@127.0.0.1:{port}/0: " in done.stderr
    assert SECRET not in done.stderr
    assert len(done.stderr.splitlines()) == 1

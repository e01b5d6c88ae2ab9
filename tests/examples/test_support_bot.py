"""The support bot of the examples, as a process: in the terminal, and over a websocket."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec import Struct
from websockets.asyncio.client import connect

from insession.dialogue import Dialogue, Message, Registry, context
from tests.programs import ROOT, clean_environ

pytestmark = pytest.mark.processes
REGISTRY = Registry()
ASKED = ["you: my order is late", "you: then cancel it"]
ANSWER = "Your order is cancelled. The money will be on your account within three working days."


@context(registry=REGISTRY)
class Talk(Struct):
    """What the bot keeps."""

    lines: list[str] = []


@contextlib.asynccontextmanager
async def bot(folder: Path, *options: str) -> AsyncIterator[Process]:
    command = (sys.executable, "-W", "error", str(ROOT / "examples" / "support_bot.py"), "--pace", "0.1", *options)
    process = await asyncio.create_subprocess_exec(
        *command, cwd=folder, env=clean_environ(), stdin=PIPE, stdout=PIPE, stderr=PIPE
    )
    try:
        async with asyncio.timeout(20.0):
            yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def committed(folder: Path) -> list[str]:
    """What lies in the store."""
    async with Dialogue(f"sqlite:///{folder / 'support.db'}", bot="support", registry=REGISTRY) as dialogue:
        assert len(await dialogue.history(Message(user_id="ann"))) == 1
        async with dialogue.turn(Message(user_id="ann")) as session:
            session.sneak()
            return (await session.get(Talk)).lines


async def line_of(process: Process, start: str) -> str:
    """The next line that begins so."""
    assert process.stdout is not None
    async for line in process.stdout:
        if line.decode().startswith(start):
            return line.decode().removeprefix(start).strip()
    raise AssertionError(await process.communicate())


async def test_in_the_terminal(tmp_path: Path) -> None:
    async with bot(tmp_path) as process:
        assert process.stdin is not None
        await line_of(process, "support bot")
        process.stdin.write(b"my order is late\n")
        assert await line_of(process, "... I am ") == "sorry"
        process.stdin.write(b"then cancel it\n")
        assert await line_of(process, "bot: ") == ANSWER
        process.stdin.write(b"/history\n")
        assert json.loads(await line_of(process, "bot: ")) == [*ASKED, f"bot: {ANSWER}"]
        process.stdin.close()
        assert await process.wait() == 0
    assert await committed(tmp_path) == [*ASKED, f"bot: {ANSWER}"]


async def test_over_a_websocket(tmp_path: Path) -> None:
    async with bot(tmp_path, "--serve", "--port", "0") as process:
        url = await line_of(process, "support bot at ")
        said: list[str] = []
        async with connect(url, proxy=None) as socket:
            await socket.send("my order is late")
            while json.loads(await socket.recv()) != {"typing": "I am sorry"}:
                pass
            await socket.send("then cancel it")
            while not said:
                said += [text for kind, text in json.loads(await socket.recv()).items() if kind == "reply"]
        assert said == [ANSWER]
        # It is there when the user comes back.
        async with connect(url, proxy=None) as socket:
            await socket.send("/history")
            assert json.loads(json.loads(await socket.recv())["reply"]) == [*ASKED, f"bot: {ANSWER}"]
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 0
    assert await committed(tmp_path) == [*ASKED, f"bot: {ANSWER}"]

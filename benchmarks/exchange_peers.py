"""The participants that are compared: plain clients of python-socketio, and ours, each as a program would write it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import socketio

from insession.exchange.epicrisis import Epicrisis
from insession.exchange.options import SessionStarterOptions
from insession.exchange.outcomes import Outcome
from insession.exchange.session import Session
from insession.exchange.settings import ExchangeSettings

ROOM = "/pku"
START = {"type": "algorithmic", "params": {"dsType": "train", "countFiles": 1000, "lang": "rus", "time": 10}}
ANSWER = '[{"start":0,"end":7,"code":"A01","name":"cough"}]'


async def plain(url: str, folder: Path | None) -> None:
    """Write each file by temporary file, fsync and rename, or not at all, and answer at once."""
    client, over = socketio.AsyncClient(reconnection=False), asyncio.Event()

    async def file_came(file: dict[str, Any]) -> None:
        if folder is not None:
            write(folder / f"{file['fileId']}.xml", file["content"])
        answer = {"sessionId": file["sessionId"], "fileId": file["fileId"], "content": ANSWER}
        await client.emit("session-file-send", answer, namespace=ROOM)

    async def closed(_: object) -> None:
        over.set()

    client.on("session-file-avaiable", file_came, namespace=ROOM)
    client.on("session-close", closed, namespace=ROOM)
    await client.connect(f"{url}?token=plain", transports=["websocket"], namespaces=[ROOM], wait_timeout=10)
    await client.emit("session-start", START, namespace=ROOM)
    await over.wait()
    await client.disconnect()
    await client.shutdown()


def write(path: Path, content: str) -> None:
    """As every careful program writes a file."""
    part = path.with_suffix(".part")
    with part.open("w", encoding="utf-8", newline="") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


async def ours(url: str, folder: Path) -> None:
    """The same with `insession.exchange`: each file saved and journaled, each answer journaled before it is sent."""
    wanted: dict[str, Any] = {
        "token": "ours",
        "host": url,
        "root": folder,
        "store": f"sqlite:///{folder / 'journal.db'}",
        "join_timeout": 0.2,
    }
    async with Session(ExchangeSettings(**wanted), solution=_solve) as session:
        outcome = await session.run(SessionStarterOptions(file_count=1_000, file_timeout=60))
    assert outcome is Outcome.FINISH


async def _solve(_: Epicrisis) -> str:
    return ANSWER

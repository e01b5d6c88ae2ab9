"""The other processes of these tests: ``python -m tests.protocol.worker URL``; each does what it is told by lines."""

from __future__ import annotations

import asyncio
import sys

from insession.protocol import SessionEvent, SessionStorage, SessionSubject
from tests.processes.running import Worker
from tests.processes.worker import heard, say

from .samples import Key


class Neighbour(Worker):
    """Another process on the same store."""

    def __init__(self, url: str, namespace: str) -> None:
        super().__init__("")
        self._command = (sys.executable, "-m", "tests.protocol.worker", url, namespace)


class Saying:
    async def update(self, event: SessionEvent) -> None:
        say("told", event.type, event.session_id, event.auth_key_id, event.auth_key)


async def main(url: str, namespace: str) -> None:
    async with SessionSubject(lambda: SessionStorage(url, namespace=namespace)) as subject:
        subject.subscribe(Saying())
        say("ready")
        while line := await heard():
            call, value, session_id = line.split()
            say("answer", await getattr(subject, f"{call}_session")(Key(int(value)), int(session_id)))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

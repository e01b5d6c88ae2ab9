"""The other processes of these tests: ``python -m tests.tracking.worker ROLE ARGUMENTS``."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine

import insession
from insession.tracking import LiveSession, SessionManager, TooManySessions
from tests.processes.running import Worker
from tests.processes.worker import heard, say


class Tracker(Worker):
    """A process that plays one of the roles below."""

    def __init__(self, role: str, *arguments: object) -> None:
        super().__init__(role, *arguments)
        self._command = (sys.executable, "-m", "tests.tracking.worker", role, *map(str, arguments))


async def opened(manager: SessionManager, number: str) -> list[LiveSession]:
    """So many sessions, each of a device of its own; their ids are said."""
    sessions = []
    for place in range(int(number)):
        sessions.append(await manager.create_session(hardware_id=f"device {place}", context={"place": place}))
        say("opened", sessions[-1]["session_id"])
    say("ready")
    return sessions


async def poll(url: str, number: str, most: str = "100", how: str = "") -> None:
    """Poll the flags of sessions; say which of them turned true, and why."""

    async def stream(session: LiveSession) -> None:
        chunks = 0
        while not session["interrupt_flag"]:
            await asyncio.sleep(0.002)
            chunks += 1
        say("flagged", session["session_id"], session["status"], session["interrupt_reason"])

    config = {"max_concurrent_sessions": int(most)}
    async with SessionManager(config, url, durable=how == "durable") as manager:
        await asyncio.gather(*(stream(session) for session in await opened(manager, number)))
        await heard()


async def work(url: str, number: str) -> None:
    """Work for sessions; say how each was stopped."""

    async def run(manager: SessionManager, session: LiveSession, begun: asyncio.Event) -> None:
        try:
            async with manager.running(session):
                begun.set()
                await asyncio.get_running_loop().create_future()
        except insession.SessionEnded as error:
            say("stopped", session["session_id"], type(error).__name__, error.reason)

    async with SessionManager(None, url) as manager:
        pairs = [(session, asyncio.Event()) for session in await opened(manager, number)]
        async with asyncio.TaskGroup() as group:
            for session, begun in pairs:
                group.create_task(run(manager, session, begun))
            await asyncio.gather(*(begun.wait() for _, begun in pairs))
            say("working")
        await heard()


async def crowd(url: str, most: str, number: str) -> None:
    """Create many sessions at once; say how many there are, and wait."""

    async def caller(manager: SessionManager) -> bool:
        try:
            await manager.create_session()
        except TooManySessions:
            return False
        return True

    async with SessionManager({"max_concurrent_sessions": int(most)}, url) as manager:
        say("ready")
        await heard()
        say("made", sum(await asyncio.gather(*(caller(manager) for _ in range(int(number))))))
        await heard()


ROLES: dict[str, Callable[..., Coroutine[None, None, None]]] = {one.__name__: one for one in (poll, work, crowd)}

if __name__ == "__main__":
    asyncio.run(ROLES[sys.argv[1]](*sys.argv[2:]))

"""Another process with a pool: python -m tests.remote.worker JOB STORE PORT [ARGUMENT...]; it talks by lines."""

from __future__ import annotations

import asyncio
import sys
import threading
from typing import Any
from uuid import UUID

from insession.kernel import recovery
from insession.remote import BlockingSessionPool, SessionPool, exit_on_sigterm

from .tiny import Client, Searcher, find


def say(*words: object) -> None:
    print(*words, flush=True)


def _pool(store: str, port: str, **options: Any) -> SessionPool[Any, Any]:
    client = Searcher(int(port))
    return SessionPool(client, client, store=store, pause=0.01, longest_pause=0.05, **options)


async def hold(store: str, port: str, number: str) -> None:
    """Hold some sessions until it is killed, or told to go."""
    async with _pool(store, port) as pool:
        for _ in range(int(number)):
            say(await pool.acquire())
        await asyncio.to_thread(sys.stdin.readline)


async def intend(store: str, port: str) -> None:
    """Log in at a service that does not answer."""
    async with _pool(store, port) as pool:
        say("ready")
        await pool.acquire()


async def closing(store: str, port: str) -> None:
    """End a session whose log-out is not answered."""
    recovery.FINISH_TTL = 0.5  # type: ignore[misc] # whoever does it next waits until the dead one's lease has run out: 30 s else
    async with _pool(store, port, logout_timeout=60.0) as pool:
        token = await pool.acquire()
        say("ready")
        await asyncio.to_thread(sys.stdin.readline)
        await pool.finalize(token)


async def attach(store: str, port: str, token: str, blob: str) -> None:
    """Go on with a session of another process."""
    async with _pool(store, port) as pool:
        await pool.attach(UUID(token), blob)
        say(await pool.invoke(UUID(token), find("attached")))


async def crowd(store: str, port: str, most: str) -> None:
    """Use sessions, never more than there are places."""
    async with _pool(store, port, max_sessions=int(most)) as pool:

        async def work() -> None:
            for _ in range(4):
                token = await pool.acquire()
                await pool.invoke(token, find())
                await pool.finalize(token)

        await asyncio.gather(*[work() for _ in range(4)])
    say("done")


def script(store: str, port: str, ending: str) -> None:
    """A plain script that does not close what it opened."""
    exit_on_sigterm()
    client = Client(int(port))
    pool = BlockingSessionPool(client, client, store=store)
    say(pool.acquire())
    if ending == "sys.exit":
        sys.exit(3)
    if ending == "exception":
        raise RuntimeError("unhandled, as the test wants it")
    if ending == "wait":
        threading.Event().wait()


async def task(store: str, port: str) -> None:
    """A program of tasks that is asked to end."""
    exit_on_sigterm()
    async with _pool(store, port) as pool:
        say(await pool.acquire())
        await asyncio.sleep(60)


if __name__ == "__main__":
    _, job, *arguments = sys.argv
    work = globals()[job]
    done = work(*arguments)
    if asyncio.iscoroutine(done):
        asyncio.run(done)

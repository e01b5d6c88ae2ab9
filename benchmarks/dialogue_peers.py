"""The dialogues' peers, in an environment and a process of their own: a line in is a question, a line out its rate.

Their dependencies exclude ours (a pydantic of another version), so that they cannot live in one environment.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

Turn = Callable[[int, int], Awaitable[object]]
"""A turn of a chat: its number, and the number of the turn."""


def state(turn: int) -> dict[str, Any]:
    """Some 110 bytes of data, different in every turn."""
    return {"fruit": "apples", "places": ["Berlin", "Bern"], "note": "x" * 50, "step": turn}


async def of_aiogram(host: str, port: int, password: str) -> tuple[Turn, Callable[[], Awaitable[object]]]:
    """The chat's lock, its state, its data, the new data, and the lock given back: as an update of a bot does."""
    from aiogram.fsm.storage.base import StorageKey
    from aiogram.fsm.storage.redis import RedisEventIsolation, RedisStorage
    from redis.asyncio import Redis

    client = Redis(host=host, port=port, password=password, max_connections=64)
    storage, isolation = RedisStorage(client), RedisEventIsolation(client)

    async def turn(chat: int, number: int) -> None:
        key = StorageKey(bot_id=1, chat_id=chat, user_id=chat)
        async with isolation.lock(key):
            await storage.get_state(key)
            await storage.get_data(key)
            await storage.set_data(key, state(number))

    return turn, client.aclose


async def of_agents(path: str, synchronous: str) -> tuple[Turn, Callable[[], Awaitable[object]]]:
    """What was said last, then what is said now: as a run of an agent does."""
    from agents import SQLiteSession

    class Session(SQLiteSession):  # type: ignore[misc]
        """Theirs, which leaves to SQLite how it waits for the disk: with FULL."""

        def _configure_connection(self, connection: Any) -> None:
            super()._configure_connection(connection)
            connection.execute(f"PRAGMA synchronous = {synchronous}")

    sessions: dict[int, Any] = {}

    async def turn(chat: int, number: int) -> None:
        session = sessions.get(chat) or sessions.setdefault(chat, Session(str(chat), path))
        await session.get_items(limit=10)
        said = [{"role": role, "content": f"{number} {'x' * 30}"} for role in ("user", "assistant")]
        await session.add_items(said)

    async def close() -> None:
        for session in sessions.values():
            session.close()

    return turn, close


async def rate(turn: Turn, chats: int, number: int) -> float:
    """Turns a second of so many chats at once, each of which takes its turns one after another."""

    async def talk(chat: int) -> None:
        for step in range(number // chats):
            await turn(chat, step)

    begin = time.perf_counter()
    await asyncio.gather(*(talk(chat) for chat in range(chats)))
    return number // chats * chats / (time.perf_counter() - begin)


async def main(of: str, *where: str) -> None:
    """Answer every line ``[chats, turns]`` with a rate, until there is none."""
    if of == "aiogram":
        turn, close = await of_aiogram(where[0], int(where[1]), where[2])
    else:
        turn, close = await of_agents(*where)
    print("ready", flush=True)
    for line in sys.stdin:
        print(await rate(turn, *json.loads(line)), flush=True)
    await close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

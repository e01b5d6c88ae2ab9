"""A process that talks in one chat: ``python -m tests.dialogue.talker talk URL FAULT FIRST COUNT LEASE``.

Each of its messages is one turn of 5 ms that adds its number to the session's lines. What it writes says what happened:
``in`` and ``out`` with a time stand around a turn's body, ``done`` follows its commit and ``sent`` its reply.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

from msgspec import Struct

from insession.dialogue import Dialogue, Message, Registry, Reply, TurnConflict, context

REGISTRY: Final = Registry()
TURN: Final = 0.005


@context(registry=REGISTRY)
class Lines(Struct):
    """What was said, in the order of the turns."""

    numbers: list[int] = []


def say(*words: object) -> None:
    """One line, at once and whole."""
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


async def _sent(message: Message, _: Sequence[Reply]) -> None:
    say("sent", message.text)


async def _body(session: Any, number: int, fault: str, lease: float) -> None:
    (await session.get(Lines)).numbers.append(number)
    session.reply("heard")
    say("in", number, time.monotonic())
    if fault == "long":
        await asyncio.sleep(2.5 * lease)
    elif fault == "frozen":
        time.sleep(2.5 * lease)  # noqa: ASYNC251 - the loop is to stand still
    elif fault == "killed":
        say("hanging", time.monotonic())
        await asyncio.get_running_loop().create_future()
    await asyncio.sleep(TURN)
    say("out", number, time.monotonic())
    if fault == "raises":
        raise LookupError(number)


async def talk(url: str, fault: str, first: str, count: str, lease: str) -> None:
    """Send so many messages at once; the third of them has the fault."""
    options: dict[str, Any] = {"lease": float(lease), "on_lost": "tell", "max_wait": None, "undo": 0, "expire": None}
    async with Dialogue(url, registry=REGISTRY, send=_sent, max_queue=1000, **options) as dialogue:

        async def turn(number: int, of: str) -> None:
            try:
                async with dialogue.turn(Message(text=str(number), chat_id="one", message_id=f"m{number}")) as session:
                    await _body(session, number, of, float(lease))
            except (TurnConflict, LookupError) as error:
                say("failed", number, type(error).__name__)
            else:
                say("done", number, time.monotonic())

        say("ready")
        await asyncio.to_thread(sys.stdin.readline)
        numbers = range(int(first), int(first) + int(count))
        await asyncio.gather(*(turn(number, fault if place == 2 else "") for place, number in enumerate(numbers)))
        say("over")


async def read(url: str) -> None:
    """Say what the chat's session holds."""
    async with (
        Dialogue(url, registry=REGISTRY, expire=None) as dialogue,
        dialogue.turn(Message(chat_id="one")) as session,
    ):
        session.sneak()
        say("lines", *(await session.get(Lines)).numbers)


if __name__ == "__main__":
    role, *arguments = sys.argv[1:]
    roles: dict[str, Callable[..., Coroutine[None, None, None]]] = {"talk": talk, "read": read}
    asyncio.run(roles[role](*arguments))

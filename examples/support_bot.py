"""A support bot whose slow, streamed answer is interrupted when the user writes again.

    python examples/support_bot.py                                 # in the terminal
    python examples/support_bot.py --serve --port 8091             # over a websocket (pip install websockets)
    python -m websockets "ws://127.0.0.1:8091/?user=ann"           # somebody who talks to it

Write while it answers: `on_busy="replace"` cancels the answer that is under way, in whichever process it is. Nothing of
an answer that was cut off is saved. What is shown of it in the meantime is no reply, but a sign of life, like the three
dots of a messenger: replies go out after the commit, and this one was never committed. "/history" shows what was saved;
it is a message too, and interrupts.

The model is made up, so that nothing but Python is needed: it yields a word every --pace seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

from msgspec import Struct

from insession.dialogue import Dialogue, Message, Reply, TurnReplaced, context

ANSWERS = {
    "late": "I am sorry that your order is late. It left our store on Monday, and it should be with you tomorrow.",
    "cancel": "Your order is cancelled. The money will be on your account within three working days.",
    "human": "Of course. A colleague of mine will write to you here as soon as one is free, in about ten minutes.",
}
OTHERWISE = "I can look up an order that is late, cancel one, or call a human. Which of these may I do for you?"


@context
class Talk(Struct):
    """What was said in this session."""

    lines: list[str] = []


class Screen(Protocol):
    """Where a user reads and writes."""

    async def typing(self, text: str) -> None:
        """Show how far the answer is."""

    async def say(self, text: str) -> None:
        """Show a reply, in the place of what was typed."""


async def model(lines: Sequence[str], pace: float) -> AsyncIterator[str]:
    """An answer to the last line, word by word, as a language model gives it."""
    answer = next((text for word, text in ANSWERS.items() if word in lines[-1].lower()), OTHERWISE)
    for word in answer.split():
        await asyncio.sleep(pace)
        yield word


class SupportBot:
    """Answers what users write on their screens."""

    def __init__(self, store: str, pace: float) -> None:
        self.dialogue = Dialogue(store, bot="support", on_busy="replace", send=self.send)
        self.pace = pace
        self.screens: dict[str | None, Screen] = {}
        self.unanswered: dict[str, list[str]] = {}

    async def send(self, message: Message, replies: Sequence[Reply]) -> None:
        """Show the replies of a turn that was committed."""
        screen = self.screens.get(message.user_id)
        if screen is not None:
            for reply in replies:
                await screen.say(reply.text)

    async def hear(self, user: str, text: str) -> None:
        """Answer what a user wrote, unless the user writes something else meanwhile."""
        if text == "/history":
            await self.tell_history(user)
            return
        # What was written before an answer was cut off belongs to the next one.
        heard = self.unanswered.setdefault(user, [])
        heard.append(text)
        with suppress(TurnReplaced):
            async with self.dialogue.turn(Message(text=text, user_id=user)) as session:
                talk, new = await session.get(Talk), list(heard)
                talk.lines += [f"you: {line}" for line in new]
                words: list[str] = []
                async for word in model(talk.lines, self.pace):
                    words.append(word)
                    await self.screens[user].typing(" ".join(words))
                talk.lines.append(f"bot: {' '.join(words)}")
                session.reply(" ".join(words))
            del heard[: len(new)]

    async def tell_history(self, user: str) -> None:
        """Say what was saved; this is not saved itself."""
        async with self.dialogue.turn(Message(text="/history", user_id=user)) as session:
            session.sneak()
            session.reply(json.dumps((await session.get(Talk)).lines))


class Terminal:
    """The screen of whoever started the program."""

    def __init__(self) -> None:
        self.clear = "\r\x1b[K" if sys.stdout.isatty() else ""

    async def typing(self, text: str) -> None:
        """In one line, which the reply takes the place of; a file or pipe gets a line each time."""
        shown = f"... {text}"[-78:] if self.clear else f"... {text}\n"
        print(self.clear + shown, end="", flush=True)

    async def say(self, text: str) -> None:
        """A line."""
        print(f"{self.clear}bot: {text}", flush=True)


async def written() -> AsyncIterator[str]:
    """The lines that are typed; whoever types never holds up the rest."""
    loop, lines = asyncio.get_running_loop(), asyncio.Queue[str]()

    def read() -> None:
        for line in sys.stdin:
            loop.call_soon_threadsafe(lines.put_nowait, line)
        loop.call_soon_threadsafe(lines.put_nowait, "")

    threading.Thread(target=read, daemon=True).start()
    while line := await lines.get():
        if line.strip():
            yield line.strip()


async def talk(bot: SupportBot, user: str) -> None:
    """In the terminal, until the end of the input."""
    bot.screens[user] = Terminal()
    print("support bot: write something, also while it answers; /history shows what was saved", flush=True)
    async with asyncio.TaskGroup() as group:
        async for line in written():
            group.create_task(bot.hear(user, line))


class Socket:
    """The screen of a user at the other end of a websocket: each message is JSON, ``typing`` or ``reply``.

    An answer to somebody who has hung up goes on: it is there when the user comes back.
    """

    def __init__(self, connection: Any, gone: type[Exception]) -> None:
        self.connection = connection
        self.gone = gone

    async def typing(self, text: str) -> None:
        """How far the answer is."""
        with suppress(self.gone):
            await self.connection.send(json.dumps({"typing": text}))

    async def say(self, text: str) -> None:
        """A reply."""
        with suppress(self.gone):
            await self.connection.send(json.dumps({"reply": text}))


async def serve(bot: SupportBot, port: int) -> None:
    """Over websockets, on loopback, until the process is stopped."""
    # Here, because the terminal goes without.
    from websockets.asyncio.server import serve as listen
    from websockets.exceptions import ConnectionClosed

    async def connected(connection: Any) -> None:
        user = parse_qs(urlsplit(connection.request.path).query).get("user", ["somebody"])[0]
        bot.screens[user] = Socket(connection, ConnectionClosed)
        async with asyncio.TaskGroup() as group:
            with suppress(ConnectionClosed):
                async for text in connection:
                    group.create_task(bot.hear(user, str(text)))

    async with listen(connected, "127.0.0.1", port) as server:
        print(f"support bot at ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/?user=ann", flush=True)
        await server.serve_forever()


async def main() -> None:
    parser = argparse.ArgumentParser(description="A support bot that can be interrupted.")
    parser.add_argument("--store", default="sqlite:///support.db")
    parser.add_argument("--pace", type=float, default=0.15, help="seconds for each word of an answer")
    parser.add_argument("--user", default="ann", help="who writes in the terminal")
    parser.add_argument("--serve", action="store_true", help="over a websocket instead of the terminal")
    parser.add_argument("--port", type=int, default=8091)
    options = parser.parse_args()
    bot = SupportBot(options.store, options.pace)
    async with bot.dialogue:
        await (serve(bot, options.port) if options.serve else talk(bot, options.user))


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(main())

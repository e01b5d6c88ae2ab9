"""Dialogues: turns a second beside aiogram, OpenAI Agents and bare commands; bursts, and what idle chats leave."""

from __future__ import annotations

import asyncio
import gc
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import redis.asyncio
from msgspec import Struct, field
from msgspec.msgpack import encode

from insession.dialogue import Dialogue, Message, context
from insession.kernel.operations import Find, Found

from . import dialogue_peers as peers
from .measuring import TIMES, Figure, Run, interleaved
from .reporting import main
from .servers import Valkey, running_postgres, running_valkey

QUESTION = "Dialogues: turns a second, beside aiogram, OpenAI Agents and bare commands"
CHATS: Final = 32
BURST: Final = 80
WORK: Final = 0.005
"""Seconds of work in a turn of a burst."""
MISSING: Final = "the peer could not be installed"
WARM: Final = 5_000
PINNED: Final = ("aiogram==3.31.0", "openai-agents==0.24.0", "redis[hiredis]==8.1.0")
HOME: Final = Path(sys.prefix) / "peers"
IDLE_MEMORY: Final = 5.0
"""MiB that idle chats may leave behind."""
Measured = Callable[[], Awaitable[float]]


@context(name="benchmark")
class Order(Struct):
    """A session's data: some 110 bytes."""

    fruit: str = "apples"
    places: list[str] = field(default_factory=lambda: ["Berlin", "Bern"])
    note: str = "x" * 50
    step: int = 0


_numbers = iter(range(1 << 40))


def message(chat: int) -> Message:
    """Another message of a chat, with the platform's id."""
    return Message(text="x", user_id=f"user {chat}", message_id=f"m{next(_numbers)}")


async def turn(dialogue: Dialogue, chat: int, number: int) -> None:
    """A turn that changes the session's data."""
    async with dialogue.turn(message(chat)) as session:
        (await session.get(Order)).step = number


async def rate(dialogue: Dialogue, chats: int, number: int) -> float:
    """Turns a second of so many chats at once."""

    async def one(chat: int, step: int) -> None:
        await turn(dialogue, chat, step)

    return await peers.rate(one, chats, number)


def peers_python() -> Path | None:
    """The peers' interpreter; None if they cannot be installed."""
    python = HOME / "bin" / "python"
    if not (HOME / "made").exists():
        try:
            subprocess.run([sys.executable, "-m", "venv", HOME], check=True)
            subprocess.run([python, "-m", "pip", "install", "--quiet", *PINNED], check=True, stderr=subprocess.DEVNULL)
        except (OSError, subprocess.CalledProcessError):
            return None
        (HOME / "made").touch()
    return python


class Peer:
    """A peer in a process of its own."""

    def __init__(self, python: Path, *arguments: str) -> None:
        script = Path(__file__).with_name("dialogue_peers.py")
        self._process = subprocess.Popen(
            [python, script, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._answer() == "ready"

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def rate(self, chats: int, number: int) -> float:
        """Turns a second; nothing else runs meanwhile."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([chats, number]) + "\n")
        self._process.stdin.flush()
        return float(self._answer())

    def close(self) -> None:
        """End it."""
        self._process.communicate()


@contextmanager
def peer(*arguments: str) -> Iterator[Peer | None]:
    """A peer for as long as the block; None where it cannot be installed."""
    python = peers_python()
    if python is None:
        yield None
        return
    found = Peer(python, *arguments)
    try:
        yield found
    finally:
        found.close()


def _compared(name: str, ours: list[float], theirs: list[float], bar: float | None) -> Figure:
    ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
    rates = f"{statistics.median(ours):,.0f}/s against {statistics.median(theirs):,.0f}/s"
    return Figure(name=name, unit=TIMES, values=ratios, bar=bar, sense="at least", note=rates)


def _both(dialogue: Dialogue, other: Peer | None, chats: int, number: int) -> dict[str, Measured]:
    async def ours() -> float:
        return await rate(dialogue, chats, number)

    async def theirs() -> float:
        assert other is not None
        return other.rate(chats, number)

    return {"ours": ours} if other is None else {"ours": ours, "theirs": theirs}


async def _on_memory(run: Run) -> list[Figure]:
    async with Dialogue("memory:") as dialogue:
        values = await interleaved(run.rounds, _both(dialogue, None, 1, run.count(10_000)))
    return [
        Figure(
            name="memory: turns, data changed and encoded each time",
            unit="/s",
            values=values["ours"],
            bar=20_000,
            sense="at least",
            scale=run.scale,
            note=f"{len(encode(Order()))} bytes of data, message ids given, two turns to take back",
        )
    ]


async def _on_valkey(run: Run) -> list[Figure]:
    number, figures = run.count(2_000), []
    with running_valkey() as server:
        async with Dialogue(server.url, namespace="bench") as dialogue:
            with peer("aiogram", "127.0.0.1", str(server.port), server.password) as aiogram:
                for chats, who in ((1, "one chat"), (CHATS, f"{CHATS} chats at once")):
                    bare, close = _bare(server, chats, number)
                    found = await interleaved(run.rounds, _both(dialogue, aiogram, chats, number) | {"bare": bare})
                    await close()
                    if "theirs" in found:
                        figures.append(
                            _compared(f"Valkey, {who}: turns ÷ aiogram's", found["ours"], found["theirs"], 1.3)
                        )
                    figures.append(
                        _compared(f"Valkey, {who}: turns ÷ bare GET and SET", found["ours"], found["bare"], None)
                    )
    return figures


def _bare(server: Valkey, chats: int, number: int) -> tuple[Measured, Callable[[], Awaitable[None]]]:
    client = redis.asyncio.Redis(port=server.port, password=server.password, max_connections=64)

    async def one(chat: int, step: int) -> None:
        await client.get(f"bare:{chat}")
        await client.set(f"bare:{chat}", encode(Order(step=step)))

    async def measured() -> float:
        return await peers.rate(one, chats, number)

    return measured, client.aclose


async def _on_sqlite(run: Run) -> list[Figure]:
    number, figures = run.count(1_000), []
    with tempfile.TemporaryDirectory(prefix="insession-bench-") as folder:
        for mode in ("full", "normal"):
            url = f"sqlite:///{folder}/{mode}.db?synchronous={mode}"
            with peer("agents", f"{folder}/{mode}-peer.db", mode) as agents:
                async with Dialogue(url) as dialogue:
                    for chats, who in ((1, "one chat"), (CHATS, f"{CHATS} chats at once")):
                        found = await interleaved(run.rounds, _both(dialogue, agents, chats, number))
                        name = f"SQLite {mode.upper()}, {who}: turns"
                        if "theirs" in found:
                            name += " ÷ SQLiteSession's"
                            figures.append(_compared(name, found["ours"], found["theirs"], 2.0))
                        else:
                            figures.append(Figure(name=name, unit="/s", values=found["ours"], note=MISSING))
    return figures


async def _on_postgres(run: Run) -> list[Figure]:
    number, figures = run.count(1_000), []
    with running_postgres() as server:
        async with Dialogue(server.url(), namespace="bench") as dialogue:
            for chats, who in ((1, "one chat"), (CHATS, f"{CHATS} chats at once")):
                found = await interleaved(run.rounds, _both(dialogue, None, chats, number))
                figures.append(Figure(name=f"PostgreSQL, {who}: turns", unit="/s", values=found["ours"]))
    return figures


async def _slow(dialogue: Dialogue, chat: int, worked: list[tuple[float, float]]) -> None:
    """A turn with some work; when that began, and how long it took."""
    async with dialogue.turn(message(chat)) as session:
        begin = time.perf_counter()
        (await session.get(Order)).step += 1
        await asyncio.sleep(WORK)
        worked.append((begin, time.perf_counter() - begin))


async def _waits(dialogue: Dialogue, chat: int) -> list[float]:
    """What each message of a burst waited, over the turns ahead of it: their work, each with a lone turn's own cost.

    The work is measured turn by turn, because a busy machine draws out some of it.
    """
    own: list[float] = []
    for _ in range(BURST // 2):
        lone: list[tuple[float, float]] = []
        begin = time.perf_counter()
        await _slow(dialogue, chat, lone)
        own.append(time.perf_counter() - begin - lone[0][1])
    worked: list[tuple[float, float]] = []
    begin = time.perf_counter()
    await asyncio.gather(*(_slow(dialogue, chat, worked) for _ in range(BURST)))
    ahead, waits = 0.0, []
    for at, took in worked:
        if ahead:
            waits.append((at - begin) / ahead)
        ahead += took + statistics.median(own)
    return waits


async def _burst(run: Run, name: str, url: str) -> Figure:
    values, worst = [], 0.0
    async with Dialogue(url, namespace="burst", max_queue=BURST) as dialogue:
        for chat in range(run.rounds):
            waits = await _waits(dialogue, chat)
            # The longest waits are those of the last: one in a hundred waits longer.
            values.append(waits[int(0.99 * (len(waits) - 1))])
            worst = max(worst, *waits)
    note = f"{BURST} messages at once to one chat, turns of {WORK * 1e3:.0f} ms; of any message at most {worst:.2f}"
    return Figure(
        name=f"{name}, burst: p99 of wait ÷ messages ahead {TIMES} a turn",
        unit=TIMES,
        values=values,
        bar=1.3,
        note=note,
    )


async def _idle(name: str, url: str, number: int, *, sneaky: bool) -> list[Figure]:
    """What chats leave behind that had a turn each, of locks and in this process."""

    async def one(chat: int) -> None:
        async with dialogue.turn(message(chat)) as session:
            if sneaky:
                session.sneak()
            (await session.get(Order)).step = chat

    async with Dialogue(url, namespace="idle") as dialogue:
        for chat in range(WARM):
            await one(-1 - chat)
        gc.collect()
        before = _resident()
        for chat in range(number):
            await one(chat)
            if not chat % 1_000:
                await asyncio.sleep(0)
        gc.collect()
        grown = (_resident() - before) / 2**20
        engine = dialogue.driver.engine  # type: ignore[attr-defined]
        await asyncio.sleep(1.0)  # nobody waits for the last one to be given back
        found: Found = await engine._ask(Find("lease", ""))
        held = len(engine.locks.held) + len(engine.locks._waiting) + len(found.entries)
    who = f"{name}, {number:,} idle chats"
    note = "a turn each that writes nothing" if sneaky else "a turn each; sessions lie in the store"
    return [
        Figure(name=f"{who}: locks left", unit="", values=[held], bar=0.0, note=note),
        Figure(name=f"{who}: growth of the process", unit="MiB", values=[grown], bar=IDLE_MEMORY, note=note),
    ]


def _resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text("utf-8").split()[1]) * resource.getpagesize()


async def _waiting_and_idle(run: Run) -> list[Figure]:
    many, fewer = run.count(1_000_000), run.count(20_000)
    with tempfile.TemporaryDirectory(prefix="insession-bench-") as folder, running_valkey() as server:
        urls = {"memory": "memory:", "SQLite": f"sqlite:///{folder}/chats.db", "Valkey": server.url}
        figures = [await _burst(run, name, url) for name, url in urls.items()]
        figures += await _idle("memory", urls["memory"], many, sneaky=True)
        # Sessions in a file would fill SQLite's cache of pages: 32 MiB, whatever is in them.
        figures += await _idle("SQLite", urls["SQLite"], fewer, sneaky=True)
        figures += await _idle("Valkey", urls["Valkey"], fewer, sneaky=False)
    return figures


def measure(run: Run) -> list[Figure]:
    parts = (_on_memory, _on_valkey, _on_sqlite, _on_postgres, _waiting_and_idle)
    return [figure for part in parts for figure in asyncio.run(part(run))]


if __name__ == "__main__":
    raise SystemExit(main([("dialogue", QUESTION, measure)]))

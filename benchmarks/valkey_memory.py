"""How many bytes a session takes in Valkey, its data, indexes and event included."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Final

import insession

from .measuring import Figure, Run
from .reporting import main
from .servers import Valkey, running_valkey
from .shared_phases import DATA, DEVICE, SIZE, Counted, by_callers

QUESTION = "Valkey: bytes of a session of 500 bytes, with its indexes and its event"
SESSIONS: Final = 40_000
BAR: Final = 1_000.0


def _used(server: Valkey) -> int:
    lines = server.ask("INFO", "memory").decode().splitlines()
    return int(next(line for line in lines if line.startswith("used_memory:")).partition(":")[2])


async def _bytes_each(number: int, each: int | None) -> float:
    """Bytes of one of many sessions; ``each``: so many have the same owner, None: they have none."""
    with running_valkey() as server:
        store = Counted(server.url, "default")
        async with insession.connect(store, kinds=[DEVICE]) as engine:
            first = await engine.open(kind="device", owner="first", data=DATA)
            assert len(first.record.data) == SIZE
            before = _used(server)
            # Like an account's number.
            owners = [None if each is None else f"{n // each:08d}" for n in range(number)]
            await by_callers([partial(engine.open, kind="device", owner=owner, data=DATA) for owner in owners], 32)
            taken = _used(server) - before
            assert await engine.count(kind="device") == number + 1
            assert b":" + str(number + 1).encode() in server.ask("XLEN", "insession{default}e")
    return taken / number


def measure(run: Run) -> list[Figure]:
    number = run.count(SESSIONS)
    cases = (("every session its own owner", 1), ("four sessions each owner", 4), ("no owner", None))
    return [
        Figure(
            name=f"bytes of a session: {name}",
            unit="B",
            values=[asyncio.run(_bytes_each(number, each))],
            bar=BAR,
            note=f"used_memory over {number:,} sessions, 500 bytes of data each",
        )
        for name, each in cases
    ]


if __name__ == "__main__":
    raise SystemExit(main([("valkey_memory", QUESTION, measure)]))

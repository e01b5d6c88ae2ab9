"""How many bytes a session takes on memory beside its data."""

from __future__ import annotations

import asyncio
import gc
import sys
import tracemalloc

import insession
from insession.kernel.codec import encode
from insession.stores.memory import MemoryStore

from .measuring import Figure, Run
from .reporting import main

QUESTION = "Memory: bytes of a session beside its data, the log apart"
SESSIONS = 200_000


async def _bytes_each(number: int, each: int | None) -> float:
    """Bytes of one of many sessions; ``each``: so many have the same owner, None: they have none."""
    # What the caller holds anyway is there before the measurement: owners, and what becomes the data.
    owners = [None if each is None else f"device-{n // each:012x}" for n in range(number)]
    contents = [{"number": n, "lang": "en"} for n in range(number)]
    data = sum(sys.getsizeof(encode(one)) for one in contents)
    store = MemoryStore()
    kind = insession.Kind("device", idle=3600.0, absolute=86_400.0)
    async with insession.connect(store, kinds=[kind]) as engine:
        gc.collect()
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        for owner, content in zip(owners, contents, strict=True):
            await engine.open(kind="device", owner=owner, data=content)
        store._log.drop(len(store._log.entries))
        gc.collect()
        taken = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
        assert await engine.count(kind="device") == number
    return (taken - data) / number


def measure(run: Run) -> list[Figure]:
    number = run.count(SESSIONS)
    cases = (
        ("every session its own owner", 1),
        ("four sessions each owner", 4),
        ("no owner", None),
    )
    return [
        Figure(
            name=f"bytes of a session beside its data: {name}",
            unit="B",
            values=[asyncio.run(_bytes_each(number, each))],
            bar=500,
            note=f"tracemalloc over {number:,} sessions; idle and absolute deadline, owner, kind and due index",
        )
        for name, each in cases
    ]


if __name__ == "__main__":
    raise SystemExit(main([("memory_footprint", QUESTION, measure)]))

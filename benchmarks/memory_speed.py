"""How fast the engine is on memory: reads beside a dict, opens with everything, and cost from 100 to 1,000,000."""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Final

import insession

from .measuring import SEED, TIMES, Figure, Run, interleaved, timed
from .reporting import main

QUESTION = "Memory: reads, opens, and whether cost follows the number of live sessions"
SIZES: Final = (100, 10_000, 1_000_000)
DEVICE = insession.Kind("device", idle=3600.0, keep=0.0, limits=(insession.Limit(most=5),))
DATA: Final = {"lang": "en", "step": 1}
Once = Callable[[], Awaitable[float]]


async def fill(engine: insession.Engine, number: int, *, each: int = 2) -> list[str]:
    """Live sessions of kind ``device``, some for each owner; their ids."""
    return [(await engine.open(kind="device", owner=f"d{n // each}", data=DATA)).id for n in range(number)]


async def _reads(run: Run) -> list[Figure]:
    number = run.count(100_000)
    async with insession.connect("memory:", kinds=[DEVICE]) as engine:
        ids = await fill(engine, 10_000)
        records = {one: object() for one in ids}
        wanted = random.Random(SEED).choices(ids, k=number)

        async def read(key: str) -> object:
            return records[key]

        async def of_dict() -> None:
            for key in wanted:
                await read(key)

        async def of_engine() -> None:
            for key in wanted:
                await engine.get(key)

        async def with_data() -> None:
            for key in wanted:
                _ = (await engine.get(key)).data

        works = {"dict": of_dict, "get": of_engine, "get and data": with_data}
        values = await interleaved(run.rounds, {name: _seconds(work) for name, work in works.items()})
    return _read_figures(values, number)


def _read_figures(values: dict[str, list[float]], number: int) -> list[Figure]:
    ratios = {
        name: [one / other for one, other in zip(values["dict"], values[name], strict=True)]
        for name in ("get", "get and data")
    }
    each = [seconds / number * 1e6 for seconds in values["get"]]
    return [
        Figure(
            name="engine read ÷ a dict behind async def",
            unit=TIMES,
            values=ratios["get"],
            bar=0.25,
            sense="at least",
            note="engine.get: validation, expiry, a handle; same keys, same loop",
        ),
        Figure(name="the same, with the data decoded", unit=TIMES, values=ratios["get and data"], sense="at least"),
        Figure(name="engine read", unit="µs", values=each),
    ]


def _seconds(work: Callable[[], Awaitable[None]]) -> Once:
    return lambda: timed(work)


async def _open_rate(run: Run) -> list[Figure]:
    number = run.count(50_000)
    owners = [f"d{n // 2}" for n in range(number)]

    async def opens() -> float:
        async with insession.connect("memory:", kinds=[DEVICE]) as engine:

            async def all_of_them() -> None:
                for owner in owners:
                    await engine.open(kind="device", owner=owner, data=DATA)

            return number / await timed(all_of_them)

    values = await interleaved(run.rounds, {"open": opens})
    return [
        Figure(
            name="open with owner, kind and due index, limit and event",
            unit="/s",
            values=values["open"],
            bar=75_000,
            sense="at least",
            scale=run.scale,
            note=f"{number:,} opens of two sessions each owner, limit 5",
        )
    ]


class _Size:
    """An engine that holds so many live sessions, and what each verb costs there."""

    def __init__(self, engine: insession.Engine, ids: list[str], number: int) -> None:
        self.engine = engine
        self.ids = ids
        self.number = number
        self.chance = random.Random(SEED)

    def among(self, most: int) -> _Size:
        """The same, but only so many of its sessions are asked for."""
        return _Size(self.engine, self.ids[:most], self.number)

    def sample(self) -> list[str]:
        return self.chance.choices(self.ids, k=self.number)

    async def handles(self) -> list[insession.Session]:
        return [await self.engine.get(one) for one in self.sample()]

    async def plain(self) -> float:
        """What a dict of so many costs, for comparison."""
        records = dict.fromkeys(self.ids, DATA)
        wanted = self.sample()

        async def read(key: str) -> object:
            return records[key]

        begin = time.perf_counter()
        for one in wanted:
            await read(one)
        return self._each(begin)

    async def get(self) -> float:
        wanted, get = self.sample(), self.engine.get
        begin = time.perf_counter()
        for one in wanted:
            await get(one)
        return self._each(begin)

    async def touch(self) -> float:
        handles = await self.handles()
        begin = time.perf_counter()
        for handle in handles:
            await handle.touch()
        return self._each(begin)

    async def update(self) -> float:
        handles = await self.handles()
        begin = time.perf_counter()
        for handle in handles:
            await handle.update(_next_step)
        return self._each(begin)

    async def open(self) -> float:
        owners = [f"o{number}" for number in range(self.number)]
        begin = time.perf_counter()
        fresh = [(await self.engine.open(kind="device", owner=owner, data=DATA)).id for owner in owners]
        seconds = self._each(begin)
        for one in fresh:
            await self.engine.close(one)
        await self.engine.purge()
        return seconds

    async def end(self) -> float:
        fresh = [
            (await self.engine.open(kind="device", owner=f"o{number}", data=DATA)).id for number in range(self.number)
        ]
        begin = time.perf_counter()
        for one in fresh:
            await self.engine.close(one)
        seconds = self._each(begin)
        await self.engine.purge()
        return seconds

    def _each(self, begin: float) -> float:
        return (time.perf_counter() - begin) / self.number * 1e6


def _next_step(data: dict[str, object]) -> dict[str, object]:
    return data | {"step": 2}


HOT: Final = ("open", "end", "get", "touch", "update")
"""Asked for among the same 100 sessions at every size: what differs is how many live."""
ANYWHERE: Final = ("get", "touch", "update", "plain")
"""Asked for among all: at 1,000,000 the processor's caches do not hold them."""


async def _flatness(run: Run) -> list[Figure]:
    sizes = [size // 10 if run.quick and size == SIZES[-1] else size for size in SIZES]
    async with AsyncExitStack() as stack:
        variants: dict[str, Once] = {}
        for size in sizes:
            engine = await stack.enter_async_context(insession.connect("memory:", kinds=[DEVICE]))
            anywhere = _Size(engine, await fill(engine, size), run.count(20_000))
            hot = anywhere.among(SIZES[0])
            variants |= {f"{verb} {size}": getattr(hot, verb) for verb in HOT}
            variants |= {f"{verb}, any of them {size}": getattr(anywhere, verb) for verb in ANYWHERE}
        values = await interleaved(run.rounds, variants)
    return [_flat(verb, sizes, values) for verb in (*HOT, *(f"{verb}, any of them" for verb in ANYWHERE))]


def _flat(verb: str, sizes: list[int], values: dict[str, list[float]]) -> Figure:
    medians = {size: statistics.median(values[f"{verb} {size}"]) for size in sizes}
    ratios = [many / few for many, few in zip(values[f"{verb} {sizes[-1]}"], values[f"{verb} {sizes[0]}"], strict=True)]
    note = ", ".join(f"{size:,}: {microseconds:.2f} µs" for size, microseconds in medians.items())
    name = verb.replace("plain", "a dict behind async def")
    bar = None if "plain" in verb else 1.5
    return Figure(name=f"{name}: {sizes[-1]:,} live ÷ {sizes[0]:,} live", unit=TIMES, values=ratios, bar=bar, note=note)


def measure(run: Run) -> list[Figure]:
    return [*asyncio.run(_reads(run)), *asyncio.run(_open_rate(run)), *asyncio.run(_flatness(run))]


if __name__ == "__main__":
    raise SystemExit(main([("memory_speed", QUESTION, measure)]))

"""SQLite, FULL: 32 callers through the engine, against one commit for each operation in one thread."""

from __future__ import annotations

import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from msgspec.structs import replace

import insession
from insession.kernel.operations import Operation, Refused
from insession.stores.sqlite import SQLiteStore

from .measuring import TIMES, Figure, Run
from .null_stores import NullStore
from .reporting import main

QUESTION = "SQLite, synchronous FULL: 32 callers through the engine against a commit for each operation"
CALLERS = 32
DEVICE: Final = insession.Kind("device", idle=3600.0, window=0.0, limits=(insession.Limit(most=5),))
DATA: Final = {"lang": "en", "agent": "x" * 400, "step": 1}
CHANGED: Final = DATA | {"step": 2}
VERBS: Final = ("open", "update", "touch", "end")
Rates = dict[str, float]


class OneByOne:
    """The same operations on the same tables and pragmas: one commit for each, in this thread, without an engine."""

    def __init__(self, store: SQLiteStore, maker: insession.Engine, made: NullStore) -> None:
        self._writer = store._writer
        self._maker = maker
        """Its verbs make the operations, over a store that only takes them down."""
        self._made = made
        self.seconds = 0.0

    @classmethod
    @asynccontextmanager
    async def over(cls, path: Path) -> AsyncIterator[OneByOne]:
        store = SQLiteStore(path)
        await store.open()
        try:
            made = NullStore(immediate=True)
            async with insession.connect(made, kinds=[DEVICE]) as maker:
                made.hold((await maker.open()).record)
                yield cls(store, maker, made)
        finally:
            await store.close()

    async def open(self, owner: str) -> insession.Session:
        operation, answer = await self._apply(self._maker.open(kind="device", owner=owner, data=DATA))
        record = replace(operation.patches[0].record, version=answer.versions[0])
        return insession.Session(self._maker, record)

    async def update(self, session: insession.Session) -> None:
        await self._apply(session.update(CHANGED))

    async def touch(self, session: insession.Session) -> None:
        await self._apply(session.touch())

    async def end(self, session: insession.Session) -> None:
        await self._apply(session.close())

    async def _apply(self, verb: Awaitable[object]) -> tuple[Any, Any]:
        self._made.seen = seen = list[Operation]()
        await verb
        begin = time.perf_counter()
        answer = committed(self._writer, seen[0])
        self.seconds += time.perf_counter() - begin
        return seen[0], answer

    async def rates(self, number: int, turn: int) -> Rates:
        rates: Rates = {}
        handles = list[insession.Session]()
        self.seconds = 0.0
        for n in range(number):
            handles.append(await self.open(f"d{turn}-{n // 2}"))
        rates["open"] = number / self.seconds
        for name in VERBS[1:]:
            self.seconds = 0.0
            for handle in handles:
                await getattr(self, name)(handle)
            rates[name] = number / self.seconds
        self.seconds = 0.0
        for n in range(number // 4):
            handle = await self.open(f"m{turn}-{n // 2}")
            await self.update(handle)
            await self.touch(handle)
            await self.end(handle)
        rates["mixed"] = number // 4 * 4 / self.seconds
        return rates


def committed(writer: Any, operation: Operation) -> Any:
    """What the store's thread does for a single operation, done here: begin, apply, write, commit."""
    from insession.stores.sqlite.writer import _Job

    nobody: Any = None
    outcome = writer._outcomes([_Job([operation], nobody)])[0]
    if isinstance(outcome, Exception):
        raise outcome
    assert not isinstance(outcome[0], Refused), outcome
    return outcome[0]


async def _by_callers(todo: Iterable[Callable[[], Awaitable[object]]]) -> float:
    """How many of these a second, 32 at a time."""
    waiting = list(todo)
    number = len(waiting)
    waiting.reverse()

    async def caller() -> None:
        while waiting:
            await waiting.pop()()

    begin = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(CALLERS)))
    return number / (time.perf_counter() - begin)


async def through_engine(engine: insession.Engine, number: int, turn: int) -> Rates:
    """Operations a second, 32 callers at a time."""
    handles = list[insession.Session]()

    async def open_one(owner: str) -> insession.Session:
        session = await engine.open(kind="device", owner=owner, data=DATA)
        handles.append(session)
        return session

    async def life(owner: str) -> None:
        session = await engine.open(kind="device", owner=owner, data=DATA)
        await session.update(CHANGED)
        await session.touch()
        await session.close()

    def opening(owner: str) -> Callable[[], Awaitable[object]]:
        return lambda: open_one(owner)

    def living(owner: str) -> Callable[[], Awaitable[object]]:
        return lambda: life(owner)

    def updating(session: insession.Session) -> Callable[[], Awaitable[object]]:
        return lambda: session.update(CHANGED)

    rates = {"open": await _by_callers(opening(f"e{turn}-{n // 2}") for n in range(number))}
    rates["update"] = await _by_callers(map(updating, handles))
    rates["touch"] = await _by_callers(handle.touch for handle in handles)
    rates["end"] = await _by_callers(handle.close for handle in handles)
    rates["mixed"] = 4 * await _by_callers(living(f"l{turn}-{n // 2}") for n in range(number // 4))
    return rates


async def _rounds(run: Run) -> list[Figure]:
    number, alone = run.count(12_800), run.count(3_200)
    engine_rates, alone_rates = list[Rates](), list[Rates]()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with (
            insession.connect(f"sqlite:///{folder / 'engine.db'}", kinds=[DEVICE]) as engine,
            OneByOne.over(folder / "alone.db") as one_by_one,
        ):
            for turn in range(run.rounds + 1):
                engine_rates.append(await through_engine(engine, number, turn))
                alone_rates.append(await one_by_one.rates(alone, turn))
        sync = sync_microseconds(folder)
    # The first round warms up.
    return _figures(engine_rates[1:], alone_rates[1:], sync)


def _figures(engine_rates: list[Rates], alone_rates: list[Rates], sync: float) -> list[Figure]:
    figures = []
    for name in (*VERBS, "mixed"):
        ours, theirs = [one[name] for one in engine_rates], [one[name] for one in alone_rates]
        note = f"{statistics.median(ours):,.0f}/s against {statistics.median(theirs):,.0f}/s"
        ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
        figures.append(
            Figure(
                name=f"{name}: 32 callers ÷ one by one", unit=TIMES, values=ratios, bar=5.0, sense="at least", note=note
            )
        )
    figures.append(Figure(name="fdatasync of 8 KB in that folder", unit="µs", values=[sync]))
    return figures


def sync_microseconds(folder: Path) -> float:
    with (folder / "sync").open("wb", buffering=0) as file:
        times = []
        for _ in range(200):
            file.write(b"x" * 8192)
            begin = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - begin)
    return statistics.median(times) * 1e6


def measure(run: Run) -> list[Figure]:
    return asyncio.run(_rounds(run))


if __name__ == "__main__":
    raise SystemExit(main([("sqlite_batches", QUESTION, measure)]))

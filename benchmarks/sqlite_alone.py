"""SQLite, NORMAL, one caller: the engine beside aiosqlite."""

from __future__ import annotations

import asyncio
import itertools
import random
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import aiosqlite

import insession
from insession.kernel.ids import random_id
from insession.kernel.record import Record
from insession.stores.sqlite.statements import Statements, row_of

from .measuring import SEED, Figure, Run, interleaved
from .reporting import main

QUESTION = "SQLite, synchronous NORMAL, one caller: the engine beside aiosqlite"
DEVICE: Final = insession.Kind("device", idle=3600.0, window=0.0)
DATA: Final = {"lang": "en", "agent": "x" * 400, "step": 1}
LIVE: Final = 2_000
Once = Callable[[], Awaitable[float]]


class Beside:
    """aiosqlite on tables like ours: the same columns, indexes and pragmas."""

    def __init__(self, connection: aiosqlite.Connection, model: Record) -> None:
        self._connection = connection
        self._model = row_of(model)
        self._sql = Statements("default")
        self._numbers = itertools.count(1)
        self._set = tuple(name in {"version", "change", "data"} for name in _columns())
        self.ids = list[str]()

    @classmethod
    async def at(cls, path: Path, model: Record) -> Beside:
        connection = await aiosqlite.connect(path)
        await connection.execute("PRAGMA journal_mode = WAL")
        await connection.execute("PRAGMA synchronous = NORMAL")
        await connection.execute("PRAGMA wal_autocheckpoint = 8000")
        beside = cls(connection, model)
        await connection.executescript(beside._sql.schema)
        await connection.commit()
        return beside

    async def close(self) -> None:
        await self._connection.close()

    async def insert(self) -> None:
        """One row and its commit, nothing else."""
        session_id = random_id("ann")
        await self._connection.execute(self._sql.insert, (next(self._numbers), session_id, *self._model[1:]))
        await self._connection.commit()
        self.ids.append(session_id)

    async def insert_with_event(self) -> None:
        """What our open writes: the row, its event, and the row that counts."""
        number = next(self._numbers)
        session_id = random_id("ann")
        execute = self._connection.execute
        await execute(self._sql.insert, (number, session_id, *self._model[1:]))
        await execute(self._sql.append, (number, "opened", 1.0, session_id, "device", "ann", number, None, "c", "n"))
        await execute("UPDATE state_default SET number = ?, position = ?", (number, number))
        await self._connection.commit()

    async def update(self, session_id: str) -> None:
        await self._connection.execute(
            "UPDATE sessions_default SET version = ?, change = ?, data = ? WHERE id = ?",
            (next(self._numbers), "change", self._model[-1], session_id),
        )
        await self._connection.commit()

    async def read(self, session_id: str) -> Any:
        async with self._connection.execute(self._sql.record, (session_id,)) as cursor:
            row = await cursor.fetchone()
        assert row is not None
        return row


def _columns() -> tuple[str, ...]:
    from insession.stores.sqlite.statements import COLUMNS

    return COLUMNS


def _each(number: int, verb: Callable[[str], Awaitable[object]], ids: list[str]) -> Once:
    chance = random.Random(SEED)

    async def once() -> float:
        wanted = chance.choices(ids, k=number)
        begin = time.perf_counter()
        for one in wanted:
            await verb(one)
        return number / (time.perf_counter() - begin)

    return once


async def _variants(run: Run, engine: insession.Engine, beside: Beside) -> dict[str, Once]:
    handles = {}
    for _ in range(LIVE):
        session = await engine.open(kind="device", owner="ann", data=DATA)
        handles[session.id] = session
        await beside.insert()
    ids, theirs, writes, reads = list(handles), list(beside.ids), run.count(2_000), run.count(10_000)
    changed = DATA | {"step": 2}
    return {
        "open": _each(writes, lambda _: engine.open(kind="device", owner="ann", data=DATA), ids),
        "insert": _each(writes, lambda _: beside.insert(), theirs),
        "insert with event": _each(writes, lambda _: beside.insert_with_event(), theirs),
        "update": _each(writes, lambda one: handles[one].update(changed), ids),
        "aiosqlite update": _each(writes, beside.update, theirs),
        "touch": _each(writes, lambda one: handles[one].touch(), ids),
        "get": _each(reads, engine.get, ids),
        "aiosqlite read": _each(reads, beside.read, theirs),
    }


async def _rounds(run: Run) -> list[Figure]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        url = f"sqlite:///{folder / 'engine.db'}?synchronous=normal"
        async with insession.connect(url, kinds=[DEVICE]) as engine:
            model = (await engine.open(kind="device", owner="ann", data=DATA)).record
            beside = await Beside.at(folder / "beside.db", model)
            try:
                values = await interleaved(run.rounds, await _variants(run, engine, beside))
            finally:
                await beside.close()
    pairs = (
        ("open ÷ one INSERT and its commit", "open", "insert", 1.3),
        ("open ÷ INSERT, event and counter, one commit", "open", "insert with event", None),
        ("update ÷ one UPDATE and its commit", "update", "aiosqlite update", 1.3),
        ("touch ÷ one UPDATE and its commit", "touch", "aiosqlite update", None),
        ("get ÷ SELECT of the same row", "get", "aiosqlite read", 10.0),
    )
    return [_figure(*pair, values) for pair in pairs]


def _figure(name: str, ours: str, theirs: str, bar: float | None, values: dict[str, list[float]]) -> Figure:
    ratios = [one / other for one, other in zip(values[ours], values[theirs], strict=True)]
    middle = len(ratios) // 2
    note = f"{sorted(values[ours])[middle]:,.0f}/s against {sorted(values[theirs])[middle]:,.0f}/s"
    return Figure(name=name, unit="×", values=ratios, bar=bar, sense="at least", note=note)


def measure(run: Run) -> list[Figure]:
    return asyncio.run(_rounds(run))


if __name__ == "__main__":
    raise SystemExit(main([("sqlite_alone", QUESTION, measure)]))

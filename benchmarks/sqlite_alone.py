"""SQLite, NORMAL, one caller: the engine beside aiosqlite."""

from __future__ import annotations

import asyncio
import itertools
import random
import sqlite3
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import aiosqlite

import insession
from insession.kernel.ids import RandomIds

from .measuring import SEED, TIMES, Figure, Run, interleaved
from .reporting import main

QUESTION = "SQLite, synchronous NORMAL, one caller: the engine beside aiosqlite"
DEVICE: Final = insession.Kind("device", idle=3600.0, window=0.0)
DATA: Final = {"lang": "en", "agent": "x" * 400, "step": 1}
LIVE: Final = 2_000
_IDS: Final = RandomIds()
Once = Callable[[], Awaitable[float]]


class Beside:
    """aiosqlite on the same tables, indexes and pragmas, with rows like ours."""

    def __init__(self, connection: aiosqlite.Connection, model: Model) -> None:
        self._connection = connection
        self._model = model
        self._numbers = itertools.count(10)
        self.ids = list[str]()

    @classmethod
    async def at(cls, path: Path, model: Model) -> Beside:
        connection = await aiosqlite.connect(path)
        for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "wal_autocheckpoint = 8000"):
            await connection.execute(f"PRAGMA {pragma}")
        for statement in model.schema:
            await connection.execute(statement)
        await connection.execute(_insert("state_default", model.state), model.state)
        await connection.commit()
        return cls(connection, model)

    async def close(self) -> None:
        await self._connection.close()

    async def _row(self) -> None:
        """A session's row: its number comes first, then its id."""
        number, session_id = next(self._numbers), _IDS.fresh("ann")
        row = (number, session_id, *self._model.session[2:])
        await self._connection.execute(_insert("sessions_default", row), row)
        self.ids.append(session_id)

    async def insert(self) -> None:
        """One row and its commit, nothing else."""
        await self._row()
        await self._connection.commit()

    async def insert_with_event(self) -> None:
        """What our open writes: the row, its event, and the row that counts."""
        await self._row()
        number = next(self._numbers)
        row = (number, *self._model.event[1:])
        await self._connection.execute(_insert("events_default", row), row)
        await self._connection.execute("UPDATE state_default SET number = ?, position = ?", (number, number))
        await self._connection.commit()

    async def update(self, session_id: str) -> None:
        await self._connection.execute(
            "UPDATE sessions_default SET version = ?, change = ?, data = ? WHERE id = ?",
            (next(self._numbers), "change", self._model.data, session_id),
        )
        await self._connection.commit()

    async def read(self, session_id: str) -> Any:
        select = "SELECT * FROM sessions_default WHERE id = ?"
        async with self._connection.execute(select, (session_id,)) as cursor:
            row = await cursor.fetchone()
        assert row is not None
        return row


class Model:
    """What the engine's file looks like: its tables, and a row of each."""

    def __init__(self, path: Path, data: bytes) -> None:
        self.data = data
        with closing(sqlite3.connect(path)) as connection:
            found = connection.execute("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY rowid").fetchall()
            self.schema = [row[0] for row in found]
            self.session, self.event, self.state = (
                connection.execute(f"SELECT * FROM {table}_default").fetchone()  # noqa: S608 - names of ours
                for table in ("sessions", "events", "state")
            )


def _insert(table: str, row: Sequence[object]) -> str:
    return f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})"  # noqa: S608 - names of ours


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
            record = (await engine.open(kind="device", owner="ann", data=DATA)).record
            model = Model(folder / "engine.db", record.data)
            beside = await Beside.at(folder / "beside.db", model)
            try:
                values = await interleaved(run.rounds, await _variants(run, engine, beside))
            finally:
                await beside.close()
    pairs: tuple[tuple[str, str, str, float | None], ...] = (
        ("open ÷ one INSERT and its commit", "open", "insert", 1.3),
        ("open ÷ INSERT, event and counter, one commit", "open", "insert with event", None),
        ("update ÷ one UPDATE and its commit", "update", "aiosqlite update", 1.3),
        ("touch ÷ one UPDATE and its commit", "touch", "aiosqlite update", None),
        ("get ÷ SELECT of the same row", "get", "aiosqlite read", 10.0),
    )
    return [_figure(name, ours, theirs, bar, values) for name, ours, theirs, bar in pairs]


def _figure(name: str, ours: str, theirs: str, bar: float | None, values: dict[str, list[float]]) -> Figure:
    ratios = [one / other for one, other in zip(values[ours], values[theirs], strict=True)]
    middle = len(ratios) // 2
    note = f"{sorted(values[ours])[middle]:,.0f}/s against {sorted(values[theirs])[middle]:,.0f}/s"
    return Figure(name=name, unit=TIMES, values=ratios, bar=bar, sense="at least", note=note)


def measure(run: Run) -> list[Figure]:
    return asyncio.run(_rounds(run))


if __name__ == "__main__":
    raise SystemExit(main([("sqlite_alone", QUESTION, measure)]))

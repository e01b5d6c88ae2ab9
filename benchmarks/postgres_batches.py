"""PostgreSQL, durable: 32 callers through the engine, and one, beside asyncpg with a statement for each operation."""

from __future__ import annotations

import asyncio
import itertools
import statistics
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, Final

import asyncpg

import insession

from .measuring import TIMES, Figure, Run
from .reporting import main
from .servers import PostgresServer, bare, running_postgres
from .shared_phases import DEVICE, EACH, SIZE, VALUE, VERBS, Counted, Phases, by_callers
from .sqlite_batches import sync_microseconds

QUESTION = "PostgreSQL, durable: the engine, 32 callers and one, beside a statement of asyncpg for each operation"
CALLERS: Final = 32
POOLS: Final = (10, 32)
LIVE: Final = 20_000
TOGETHER: Final = {"open": 1.5, "load": 3.0, "update": 2.5, "touch": 2.2, "end": 2.2, "mixed": 2.2}
ALONE: Final = dict.fromkeys(VERBS, 1.1)
STATEMENTS: Final = {
    "INSERT": "INSERT INTO peers VALUES ($1, $2, $3, $4)",
    "SELECT": "SELECT * FROM peers WHERE id = $1",
    "UPDATE": "UPDATE peers SET data = $2 WHERE id = $1",
}
BESIDE: Final = {"open": "INSERT", "load": "SELECT", **dict.fromkeys(("update", "touch", "end", "mixed"), "UPDATE")}
Rates = dict[str, list[float]]


class Peer:
    """asyncpg's pool on a table of one's own: an id, an owner with an index, a deadline, the data.

    A statement is prepared once for each connection, and is its own transaction.
    """

    numbers = itertools.count(LIVE)

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record], callers: int) -> None:
        self._pool = pool
        self._callers = callers

    @staticmethod
    async def prepare(connection: asyncpg.Connection[asyncpg.Record]) -> None:
        await connection.execute(
            "CREATE TABLE peers (id text PRIMARY KEY, owner text, due double precision, data bytea);"
            "CREATE INDEX ON peers (owner)"
        )
        await connection.executemany(STATEMENTS["INSERT"], [Peer._row(n) for n in range(LIVE)])
        await connection.execute("VACUUM ANALYZE peers")

    @staticmethod
    def _row(number: int) -> tuple[Any, ...]:
        return f"peer{number:020d}", f"o{number // EACH}", 3600.0, VALUE

    async def _insert(self, _: int) -> None:
        assert await self._pool.execute(STATEMENTS["INSERT"], *self._row(next(self.numbers))) == "INSERT 0 1"

    async def _select(self, number: int) -> None:
        row: Any = await self._pool.fetchrow(STATEMENTS["SELECT"], f"peer{number:020d}")
        assert len(row["data"]) == SIZE

    async def _update(self, number: int) -> None:
        assert await self._pool.execute(STATEMENTS["UPDATE"], f"peer{number:020d}", VALUE) == "UPDATE 1"

    async def rate(self, statement: str, number: int) -> float:
        run = getattr(self, f"_{statement.lower()}")
        # Far apart, so that no two callers want the same row.
        ids = [7919 * n % LIVE for n in range(number)]
        return await by_callers([partial(run, n) for n in ids], self._callers)


class Rounds:
    """An engine and its peers, measured in turn."""

    def __init__(self, phases: Phases, peers: dict[int, Peer]) -> None:
        self.phases = phases
        self._peers = peers
        self.rates: Rates = {}

    async def take(self, number: int) -> None:
        for verb in (*VERBS, "mixed"):
            self.rates.setdefault(verb, []).append(await self.phases.rate(verb, number))
            for size, peer in self._peers.items():
                rate = await peer.rate(BESIDE[verb], number // 3)
                self.rates.setdefault(f"{verb} {size}", []).append(rate)

    def figures(self, who: str, bars: dict[str, float]) -> list[Figure]:
        return [self._figure(who, verb, bars.get(verb)) for verb in (*VERBS, "mixed")]

    def _figure(self, who: str, verb: str, bar: float | None) -> Figure:
        ours, theirs = self.rates[verb], {size: self.rates[f"{verb} {size}"] for size in self._peers}
        pools = ", ".join(f"pool of {size} {statistics.median(rates):,.0f}/s" for size, rates in theirs.items())
        note = f"{statistics.median(ours):,.0f}/s; {pools}; {statistics.median(self.phases.sizes[verb]):.0f} a batch"
        ratios = [one / max(others) for one, *others in zip(ours, *theirs.values(), strict=True)]
        name = f"{who}, {verb} ÷ {BESIDE[verb]}"
        return Figure(name=name, unit=TIMES, values=ratios, bar=bar, sense="at least", note=note)


async def _rounds(run: Run, server: PostgresServer, callers: int, pools: tuple[int, ...], number: int) -> Rounds:
    store = Counted(server.url(), f"bench{callers}")
    async with AsyncExitStack() as stack:
        peers = {}
        for size in pools:
            pool = asyncpg.create_pool(
                host=str(server.folder), user="insession", database="postgres", min_size=size, max_size=size
            )
            peers[size] = Peer(await stack.enter_async_context(pool), callers)
        engine = await stack.enter_async_context(insession.connect(store, kinds=[DEVICE]))
        # These stay, so that nobody measures small tables.
        await Phases(engine, store, CALLERS).rate("open", run.count(LIVE))
        rounds = Rounds(Phases(engine, store, callers), peers)
        await rounds.take(number)
        rounds.rates.clear()
        for _ in range(run.rounds):
            await rounds.take(number)
    return rounds


async def _measured(run: Run) -> list[Figure]:
    with running_postgres() as server:
        connection = await bare(server)
        sync = sync_microseconds(server.folder)
        await Peer.prepare(connection)
        before = await connection.fetchval("SELECT count(*) FROM peers")
        together = await _rounds(run, server, CALLERS, POOLS, run.count(4_800))
        alone = await _rounds(run, server, 1, (1,), run.count(1_200))
        inserted = next(Peer.numbers) - LIVE
        assert await connection.fetchval("SELECT count(*) FROM peers") == before + inserted
        await connection.close()
    figures = together.figures("32 callers", TOGETHER) + alone.figures("one caller", ALONE)
    return [*figures, Figure(name="fdatasync of 8 KB in the server's folder", unit="µs", values=[sync])]


def measure(run: Run) -> list[Figure]:
    return asyncio.run(_measured(run))


if __name__ == "__main__":
    raise SystemExit(main([("postgres_batches", QUESTION, measure)]))

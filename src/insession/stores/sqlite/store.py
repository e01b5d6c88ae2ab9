"""The store itself: its life, and who does what."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
import weakref
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final, TypeVar, cast

from insession.errors import ConfigurationError, StoreUnavailable
from insession.kernel.clock import Clock
from insession.kernel.contract import Waker, Wakers
from insession.kernel.events import EventType, Page
from insession.kernel.interpreter import Interpreter
from insession.kernel.operations import Answer, Count, Find, Load, Operation
from insession.kernel.record import Record
from insession.kernel.urls import StoreURL, check_namespace

from .file import PATIENCE, SCHEMA, File, Known, Synchronous, is_busy
from .forking import turn
from .log import Log
from .rows import Rows
from .statements import Statements, record_of
from .transactions import Transactions
from .watch import Sight, Watch
from .writer import Writer

RETENTION: Final = 86400.0
"""So many seconds the log keeps an event."""
_READ_PATIENCE: Final = 0.2
"""So many seconds a read waits on the loop's thread."""
A = TypeVar("A")
T = TypeVar("T")


class SQLiteStore:
    """Everything in one file.

    ``synchronous``: "full" makes every answered change outlive a power cut, "normal" every one but
    the last few. ``patience`` is how long other processes that write are waited for.
    """

    immediate: frozenset[type[Operation]] = frozenset({Load, Find, Count})
    most = 512
    abreast = 1
    schema = SCHEMA

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        namespace: str = "default",
        synchronous: Synchronous = "full",
        clock: Clock | None = None,
        retention: float = RETENTION,
        patience: float = PATIENCE,
    ) -> None:
        if synchronous not in {"full", "normal"}:
            raise ConfigurationError("synchronous: is 'full' or 'normal'")
        self._file = File(os.fspath(path), synchronous, patience=patience)
        self._sql = Statements(check_namespace(namespace))
        self._given = clock
        self.clock: Clock = clock or Clock()
        """What it tells time by; unless one was given, all processes of this host tell the same."""
        self._retention = retention
        self._wakers = Wakers()
        self._waiting: weakref.WeakSet[Waker] = weakref.WeakSet()
        self._process: int | None = None
        self._closed = False
        self._using = turn()

    @classmethod
    def from_url(cls, url: StoreURL, *, namespace: str, clock: Clock | None) -> SQLiteStore:
        """``sqlite:///relative.db`` or ``sqlite:////absolute.db``, with ``?synchronous=normal``."""
        url.only({"synchronous"})
        synchronous = cast("Synchronous", url.choice("synchronous", ("full", "normal"), "full"))
        path = url.path.removeprefix("/")
        if path in {"", ":memory:", url.path}:
            raise ConfigurationError(
                f"{url.shown}: name a file, as in sqlite:///relative.db or sqlite:////absolute.db "
                "(memory: is the store without one)"
            )
        return cls(path, namespace=namespace, synchronous=synchronous, clock=clock)

    async def schema_found(self) -> int | None:
        try:
            return await asyncio.to_thread(self._file.found)
        except sqlite3.Error as error:
            raise self._file.failure(error) from error

    async def open(self) -> None:
        if self._process is not None:
            raise ConfigurationError(f"{self._file.path}: this store was opened before; make another")
        self._process = os.getpid()
        connecting = asyncio.get_running_loop().run_in_executor(None, self._connected)
        try:
            self._use(*await asyncio.shield(connecting))
        except BaseException:
            self._process = None
            connecting.add_done_callback(_given_up)
            raise

    def _connected(self) -> tuple[sqlite3.Connection, sqlite3.Connection, Known]:
        """A connection that writes and one that reads, and what the file knows."""
        with self._using:
            return self._connected_alone()

    def _connected_alone(self) -> tuple[sqlite3.Connection, sqlite3.Connection, Known]:
        file, made = self._file, list[sqlite3.Connection]()
        try:
            file.create()
            made.append(file.patiently(file.connect))
            known = file.prepare(made[0], self._sql)
            made.append(file.patiently(lambda: file.connect(reading=True)))
        except Exception as error:
            for connection in made:
                connection.close()
            raise file.failure(error) from error
        return made[0], made[1], known

    def _use(self, writing: sqlite3.Connection, reading: sqlite3.Connection, known: Known) -> None:
        if self._given is None and known.ahead is not None:
            self.clock = Clock(known.ahead)
        self._reading = reading
        self._cursor = cursor = reading.cursor()
        self._rows = Rows(cursor, self._sql)
        self._interpreter = Interpreter(self._rows)
        self._log = Log(cursor, self._sql)
        loop = asyncio.get_running_loop()

        def tell(types: Collection[EventType], handed_on: bool) -> None:  # noqa: FBT001
            # A loop that was closed before us has nobody left to tell.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(self._tell, types, handed_on)

        sight = Sight(self._sql, tell, known.position, known.handed)
        self._watch = Watch(self._file, self._sql, sight, lambda: len(self._waiting) > 0)
        transactions = Transactions(self._file, self._sql, writing, self._retention, sight)
        self._writer = Writer(transactions, self._tell)

    def _tell(self, types: Collection[EventType], handed_on: bool) -> None:  # noqa: FBT001
        self._wakers.set(types, leases=handed_on)

    async def close(self) -> None:
        if self._closed or self._process != os.getpid():
            return
        self._closed = True
        self._watch.stop()
        with self._using:
            self._reading.close()
        await self._writer.close()

    def _check(self) -> None:
        if self._process == os.getpid() and not self._closed:
            return
        if self._process is None or self._closed:
            raise StoreUnavailable(f"{self._file.path}: the store is not open")
        raise ConfigurationError(
            f"{self._file.path}: this process was forked from the one that opened the store; open one here"
        )

    async def now(self) -> float:
        return self.clock.now()

    async def apply(self, operations: Sequence[Operation]) -> Sequence[Answer]:
        self._check()
        return await self._writer.apply(operations)

    def apply_now(self, operation: Operation) -> Answer:
        self._check()
        return self._read(self._answer, operation)

    def record_now(self, session_id: str) -> Record | None:
        self._check()
        return self._read(self._record, session_id)

    async def events(self, after: str | None, limit: int, types: Collection[EventType] | None) -> Page:
        self._check()
        return self._read(self._page, (after, limit, types))

    def waker(self, types: Collection[EventType], *, leases: bool = False, answered: bool = False) -> Waker:
        self._check()
        waker = self._wakers.waker(types, leases=leases)
        self._waiting.add(waker)
        self._watch.start()
        return waker

    def _read(self, call: Callable[[A], T], argument: A) -> T:
        """Readers are in nobody's way but for moments: while a crash is mended, or the last one closes."""
        until = 0.0
        while True:
            try:
                with self._using:
                    return call(argument)
            except sqlite3.Error as error:
                until = until or time.monotonic() + _READ_PATIENCE
                if not is_busy(error) or time.monotonic() >= until:
                    raise self._file.failure(error) from error
                time.sleep(0.0005)

    def _record(self, session_id: str) -> Record | None:
        row = self._cursor.execute(self._sql.record, (session_id,)).fetchone()
        return None if row is None else record_of(row)

    def _answer(self, operation: Operation) -> Answer:
        rows = self._rows
        rows.clear()
        with self._snapshot():
            if type(operation) is not Load:
                rows.load_state()
            rows.expect((operation,))
            (answer,) = self._interpreter.apply((operation,))
        rows.clear()
        return answer

    def _page(self, asked: tuple[str | None, int, Collection[EventType] | None]) -> Page:
        with self._snapshot():
            return self._log.page(*asked)

    @contextmanager
    def _snapshot(self) -> Iterator[None]:
        """Everything that is read within is of one moment."""
        self._cursor.execute("BEGIN")
        try:
            yield
        finally:
            self._cursor.execute("ROLLBACK")


def _given_up(connecting: asyncio.Future[tuple[sqlite3.Connection, sqlite3.Connection, Known]]) -> None:
    """Close what was opened for a caller who did not wait for it."""
    if not connecting.cancelled() and connecting.exception() is None:
        writing, reading, _ = connecting.result()
        reading.close()
        writing.close()

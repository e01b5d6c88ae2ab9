"""The store itself: its life, and who does what."""

from __future__ import annotations

import asyncio
import os
import weakref
from collections.abc import Collection, Sequence
from typing import Any, Final, cast

import asyncpg

from insession.errors import ConfigurationError, StoreUnavailable
from insession.kernel.clock import Clock
from insession.kernel.contract import Waker, Wakers
from insession.kernel.events import FOLLOWED, START, Cursor, Event, EventType, Page
from insession.kernel.operations import Answer, Load, Loaded, Operation
from insession.kernel.passing import Passed
from insession.kernel.record import Record
from insession.kernel.urls import StoreURL, check_namespace

from .alone import Alone
from .answers import FIELDS, Told, answers_of, record_of
from .batch import Batch
from .connections import ERRORS, Address, Connections
from .listening import Listening
from .schema import Schema

RETENTION: Final = 86400.0
"""So many seconds the log keeps an event."""
TIMEOUT: Final = 10.0
"""So many seconds a call may take."""
POOL: Final = 4
"""So many connections a process makes at most, beside the one that listens."""
SCAN: Final = 10_000
"""So many positions one page looks at."""
_LARGEST: Final = (1 << 63) - 1
_TYPES: Final = {one.value: one for one in EventType}


class PostgresStore:
    """Everything in one schema of a database; each namespace has tables and functions of its own there.

    ``pool`` bounds the connections, ``timeout`` every call in seconds. ``pgbouncer``: the address is that of a
    PgBouncer in transaction mode; then ``listen`` is one without, or (None) others are noticed by a slow look.
    With a ``clock`` leases go by the times of the operations, else by the server's clock.
    """

    immediate: frozenset[type[Operation]] = frozenset()
    most = 128
    abreast = 1
    """Two connections would not keep the order in which `apply` was called."""

    def __init__(
        self,
        address: Address,
        *,
        shown: str,
        namespace: str = "default",
        schema: str = "insession",
        pool: int = POOL,
        timeout: float = TIMEOUT,
        pgbouncer: bool = False,
        listen: Address | None = None,
        clock: Clock | None = None,
        retention: float = RETENTION,
    ) -> None:
        self._schema = Schema(schema, check_namespace(namespace), shown)
        self._shown = shown
        self._clock = clock
        self._retention = retention
        self._timeout = timeout
        self._connections = Connections(
            address, shown, most=pool, timeout=timeout, prepared=not pgbouncer, prepare=self._prepare
        )
        self._direct = self._connections
        if pgbouncer and listen is not None:
            self._direct = Connections(listen, shown, most=1, timeout=timeout, prepared=True, prepare=self._prepare)
        self._wakers = Wakers()
        self._passed = Passed()
        self._waiting: weakref.WeakSet[Waker] = weakref.WeakSet()
        self._listening = Listening(
            self._connections,
            None if pgbouncer and listen is None else self._direct,
            self._schema,
            lambda types, handed, answered: self._wakers.set(types, leases=handed, answered=answered),
            lambda: len(self._waiting) > 0,
        )
        self._alone = Alone(self._connections, self._schema, self._told, server_clock=clock is None)
        self._records = self._schema.sql(f"SELECT {FIELDS} FROM @records($1)")  # noqa: S608 - our own words
        self._epoch = ""
        self._process: int | None = None
        self._opened = False
        self._closed = False

    @classmethod
    def from_url(cls, url: StoreURL, *, namespace: str, clock: Clock | None) -> PostgresStore:
        """``postgresql://user:password@host:port/database``, see the documentation of stores for its options."""
        from .options import options_of

        return cls(**options_of(url), shown=url.shown, namespace=namespace, clock=clock)

    async def open(self) -> None:
        if self._process is not None:
            raise ConfigurationError(f"{self._shown}: this store was opened before; make another")
        self._process = os.getpid()
        try:
            await self._make()
            self._opened = True
            await self._listening.open()
        except BaseException:
            await self._give_up()
            raise

    async def _make(self) -> None:
        """Make the tables and functions; the connection that did so has no part in what follows."""
        connection = await self._connections.connect()
        try:
            async with asyncio.timeout(self._timeout):
                await self._schema.prepare(connection)
        except ERRORS as error:
            raise self._connections.unconnected(error) from error
        finally:
            connection.terminate()

    async def _prepare(self, connection: asyncpg.Connection[asyncpg.Record]) -> None:
        """Called with each new connection: behind it may be another server."""
        if not self._opened:
            return
        transaction = connection.transaction()
        await transaction.start()
        try:
            self._epoch = await connection.fetchval(self._schema.epoch)
        except asyncpg.InsufficientPrivilegeError:
            await transaction.rollback()
            transaction = connection.transaction()
            await transaction.start()
            self._epoch = await connection.fetchval(self._schema.plain_epoch)
        # Any other error ends the connection; a rollback would wait for a server that may be silent.
        await transaction.commit()

    async def _give_up(self) -> None:
        self._closed = True
        await self._listening.close()
        await self._connections.close()
        await self._direct.close()

    async def close(self) -> None:
        if self._closed or self._process != os.getpid():
            return
        await self._give_up()

    def _check(self) -> None:
        if self._process == os.getpid() and not self._closed:
            return
        if self._process is None or self._closed:
            raise StoreUnavailable(f"{self._shown}: the store is not open")
        raise ConfigurationError(
            f"{self._shown}: this process was forked from the one that opened the store; open one here"
        )

    async def now(self) -> float:
        if self._clock is not None:
            return self._clock.now()
        self._check()
        ((seconds,),) = await self._connections.fetch(
            "SELECT extract(epoch FROM clock_timestamp())::double precision", safe=True
        )
        return float(seconds)

    async def apply(self, operations: Sequence[Operation]) -> Sequence[Answer]:
        self._check()
        if not operations:
            return []
        if len(operations) == 1 and (answer := await self._alone.apply(operations[0])) is not None:
            return [answer]
        if (keys := _plain_keys(operations)) is not None:
            rows = await self._connections.fetch(self._records, keys, safe=True)
            found = {row[0]: record_of(row) for row in rows}
            return [Loaded(tuple(map(found.get, cast("Load", one).keys))) for one in operations]
        batch = Batch(operations, self._schema.space, self._retention)
        rows = await self._connections.fetch(
            self._schema.apply, self._clock is None, *batch.arguments(), safe=not batch.writes
        )
        answers, told = answers_of(operations, rows)
        if told is not None:
            self._told(told)
        return answers

    def _told(self, told: Told) -> None:
        answered = told.position > 0 and not (told.untold and told.types & FOLLOWED)
        if answered:
            self._passed.note(self._epoch, told.before, told.position)
        self._listening.tell(told, answered=answered)

    def apply_now(self, operation: Operation) -> Answer:
        raise NotImplementedError("no operation is immediate over a network")

    def record_now(self, session_id: str) -> Record | None:
        raise NotImplementedError("no operation is immediate over a network")

    async def events(self, after: str | None, limit: int, types: Collection[EventType] | None) -> Page:
        self._check()
        asked = None if after is None or after == START else Cursor.parse(after)
        begin = None if after is None else -1 if asked is None else min(asked.positions[0], _LARGEST)
        wanted = None if types is None else [one.value for one in types]
        rows = await self._connections.fetch(self._schema.page, begin, wanted, SCAN, limit, safe=True)
        first, last, begun, reach = rows[0][:4]
        if asked is not None and not (asked.epoch == self._epoch and first - 1 <= asked.positions[0] <= last):
            here = self._at(first - 1)
            return Page((), here, here, more=True, trimmed=True)
        found = tuple([_event_of(row[4:]) for row in rows if row[4] is not None])
        position = reach if len(found) < limit else found[-1].position if found else begun
        return Page(found, self._at(begun), self._at(position), more=position < last)

    def _at(self, position: int) -> str:
        return f"{self._epoch}:{position}"

    def waker(self, types: Collection[EventType], *, leases: bool = False, answered: bool = False) -> Waker:
        self._check()
        waker = self._wakers.waker(types, leases=leases, onward=self._passed.onward if answered else None)
        self._waiting.add(waker)
        self._listening.want(waker.types)
        return waker


def _plain_keys(operations: Sequence[Operation]) -> list[str] | None:
    """The sessions that these loads ask for; None: they ask for anything else."""
    keys: list[str] = []
    for operation in operations:
        if type(operation) is not Load or operation.under is not None:
            return None
        keys += operation.keys
    return None if any("/" in key for key in keys) else keys


def _event_of(row: Sequence[Any]) -> Event:
    return Event(_TYPES[row[0]], *row[1:])

"""Connections to the server, and what its errors mean to whoever sent a batch.

Not asyncpg's own pool: that one sends a second statement whenever a connection is given back.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Literal

import asyncpg
import msgspec

from insession.errors import ConfigurationError, OutcomeUnknown, StoreError, StoreUnavailable

_AGAIN: Final = frozenset({"40001", "40P01", "23505"})
"""The transaction was in another's way (23505: both opened the same id) and nothing of it remains: it is sent again."""
_LOST: Final = ("08", "57P01", "57P02", "57P05")
"""The connection ends; a transaction may have committed before."""
_REFUSED: Final = ("25006", "53", "57P03", "57014", "55P03", "58")
"""The server cannot do it now, and has not."""
_WRONG: Final = ("28", "3D", "42501", "0A")
"""It will never do it."""
_FIRST_PAUSE: Final = 0.02
_LONGEST_PAUSE: Final = 0.5
Row = Sequence[Any]
SSL = Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]


ERRORS: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
"""What a connection raises."""


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """Where the server is, who asks, and how. None: as libpq's environment variables say, or its defaults."""

    hosts: tuple[tuple[str, int | None], ...] = ()
    user: str | None = None
    password: str | None = None
    database: str | None = None
    ssl: SSL | None = None

    def __repr__(self) -> str:
        return f"Address({self.hosts}, {self.database})"

    async def connect(self, seconds: float, *, statements: int, name: str) -> asyncpg.Connection[asyncpg.Record]:
        """A connection; of several hosts, to the first that takes writes."""
        options: dict[str, Any] = {
            "host": [host for host, _ in self.hosts] or None,
            "port": [port or 5432 for _, port in self.hosts] or None,
            "server_settings": {"application_name": name},
            "target_session_attrs": "read-write" if len(self.hosts) > 1 else None,
        }
        return await asyncpg.connect(
            user=self.user,
            password=self.password,
            database=self.database,
            ssl=self.ssl,
            timeout=seconds,
            statement_cache_size=statements,
            **options,
        )


class _Call:
    """One statement under way."""

    __slots__ = ("arguments", "safe", "sent", "sql", "until")

    def __init__(self, sql: str, arguments: Sequence[Any], *, safe: bool, until: float) -> None:
        self.sql = sql
        self.arguments = arguments
        self.safe = safe
        self.until = until
        self.sent = False
        """Whether it may have had its effect, if the answer does not come."""


class Connections:
    """A few connections, made when they are wanted.

    ``timeout`` bounds every call, in seconds. ``prepared``: whether a connection keeps its server for as long as
    it lasts; behind PgBouncer in transaction mode it does not, and a call is a transaction of several trips.
    """

    def __init__(
        self,
        address: Address,
        shown: str,
        *,
        most: int,
        timeout: float,
        prepared: bool,
        prepare: Callable[[asyncpg.Connection[asyncpg.Record]], Awaitable[None]],
    ) -> None:
        self._address = address
        self._shown = shown
        self.timeout: float = timeout
        self._prepared = prepared
        self._prepare = prepare
        self._idle: list[asyncpg.Connection[asyncpg.Record]] = []
        self._free = asyncio.Semaphore(most)
        self.closed: bool = False

    async def fetch(self, sql: str, *arguments: Any, safe: bool) -> Sequence[Row]:
        """The rows of one statement; ``safe``: sent twice it does no harm."""
        call = _Call(sql, arguments, safe=safe, until=asyncio.get_running_loop().time() + self.timeout)
        try:
            async with asyncio.timeout_at(call.until), self._free:
                return await self._fetched(call)
        except TimeoutError as error:
            waited = f"{self._shown}: no answer within {self.timeout:g} s"
            raise (OutcomeUnknown if call.sent else StoreUnavailable)(waited) from error

    async def _fetched(self, call: _Call) -> Sequence[Row]:
        pause = _FIRST_PAUSE
        while True:
            connection = await self._connection(call.until)
            try:
                return await self._run(connection, call)
            except ERRORS as error:
                again = is_unsent(error) or (call.safe and is_lost(error))
                if not again and getattr(error, "sqlstate", None) not in _AGAIN:
                    raise self.failure(error) from error
            call.sent = False
            await asyncio.sleep(random.uniform(0, pause))  # noqa: S311 - nothing is kept secret by it
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _run(self, connection: asyncpg.Connection[asyncpg.Record], call: _Call) -> Sequence[Row]:
        done = False
        call.sent = not call.safe
        try:
            if self._prepared:
                rows: Sequence[Any] = await connection.fetch(call.sql, *call.arguments)
            else:
                rows = await _within_transaction(connection, call)
            done = True
        except asyncpg.PostgresError as error:
            done = not is_lost(error)
            raise
        finally:
            # Whose caller went away might still get an answer, which must not be taken for the next one's.
            if done and not connection.is_closed() and not self.closed:
                self._idle.append(connection)
            else:
                connection.terminate()
        return rows

    async def _connection(self, until: float) -> asyncpg.Connection[asyncpg.Record]:
        """One that is idle, or a new one; a server that restarts is waited for."""
        pause = _FIRST_PAUSE
        while True:
            while self._idle:
                connection = self._idle.pop()
                if not connection.is_closed():
                    return connection
            try:
                return await self.connect()
            except StoreUnavailable:
                if self.closed or asyncio.get_running_loop().time() + pause >= until:
                    raise
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def connect(self, name: str = "insession") -> asyncpg.Connection[asyncpg.Record]:
        """A connection of one's own; the server lists it under this name."""
        if self.closed:
            raise StoreUnavailable(f"{self._shown}: the store is not open")
        connection = None
        try:
            async with asyncio.timeout(self.timeout):
                connection = await self._address.connect(
                    self.timeout, statements=100 if self._prepared else 0, name=name
                )
                await self._prepare(connection)
        except BaseException as error:
            if connection is not None:
                connection.terminate()
            if isinstance(error, ERRORS):
                raise self.unconnected(error) from error
            raise
        return connection

    def unconnected(self, error: Exception) -> Exception:
        """What it means that there is no connection: nothing was asked for yet."""
        if isinstance(error, TimeoutError):
            return StoreUnavailable(f"{self._shown}: no connection within {self.timeout:g} s")
        failure = self.failure(error)
        return StoreUnavailable(str(failure)) if isinstance(failure, OutcomeUnknown) else failure

    def failure(self, error: Exception) -> Exception:
        """What an error means to whoever asked. The server's own words may hold data, so they are not passed on."""
        state = getattr(error, "sqlstate", None) or ""
        said = f"{self._shown}: {type(error).__name__}{f' ({state})' if state else ''}"
        if is_lost(error):
            return OutcomeUnknown(f"{said}: the connection was lost before the answer came")
        if isinstance(error, asyncpg.InterfaceError) and not isinstance(error, asyncpg.DataError):
            return StoreUnavailable(f"{said}: the connection is closed")
        if state.startswith(_WRONG):
            return ConfigurationError(f"{said}: the server refuses this user, database or statement")
        if isinstance(error, OSError) or state.startswith(_REFUSED):
            return StoreUnavailable(f"{said}: the server cannot be reached, or cannot do it now")
        return StoreError(f"{said}: the server refused it, and nothing of it was done")

    async def close(self) -> None:
        """Close what is idle; what is under way closes when it is done."""
        self.closed = True
        idle, self._idle = self._idle, []
        # A server that does not answer keeps nobody for longer than once.
        await asyncio.gather(*(connection.close(timeout=1.0) for connection in idle), return_exceptions=True)


async def _within_transaction(connection: asyncpg.Connection[asyncpg.Record], call: _Call) -> Sequence[Row]:
    """What a statement gives, on the one server that PgBouncer lends for it."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        rows: Sequence[Any] = await connection.fetch(call.sql, *call.arguments)
    except asyncpg.PostgresError as error:
        if not is_lost(error):
            await transaction.rollback()
        raise
    # Who breaks off ends the connection; a rollback would wait for a server that may be silent.
    await transaction.commit()
    return rows


def is_lost(error: Exception) -> bool:
    """Whether the connection ended while an answer was waited for."""
    if isinstance(error, asyncpg.PostgresError):
        return (error.sqlstate or "").startswith(_LOST)
    # An internal error of the client is what asyncpg raises if the end comes between two messages.
    return isinstance(
        error, ConnectionResetError | BrokenPipeError | ConnectionAbortedError | asyncpg.InternalClientError
    )


def is_unsent(error: Exception) -> bool:
    """Whether the connection had been told that it ends, and takes nothing more, before it is seen to be closed."""
    return isinstance(error, asyncpg.InternalClientError) and str(error).startswith("cannot switch to state")

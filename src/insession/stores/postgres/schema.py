"""The database objects of one namespace: their names, and making them."""

from __future__ import annotations

import re
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import asyncpg

from insession.errors import ConfigurationError

VERSION: Final = 1
"""Of the objects that `FILES` make."""
FILES: Final = (
    "schema.sql",
    "sessions.sql",
    "commits.sql",
    "leases.sql",
    "pages.sql",
    "apply.sql",
    "together.sql",
    "alone.sql",
)
_NAME: Final = re.compile(r"@(~?)([a-z_]+)")
_SCHEMA: Final = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_LONGEST_CHANNEL: Final = 63
_ARGUMENTS: Final = 18
"""Of the function ``apply``."""


class Schema:
    """Names and statements. Everything of a namespace is called ``namespace.something``, so that none mixes."""

    def __init__(self, schema: str, namespace: str, shown: str) -> None:
        if not _SCHEMA.fullmatch(schema):
            raise ConfigurationError(
                f"{shown}: schema is a lower-case word of at most 63 letters, digits and underscores"
            )
        self._schema = schema
        self._namespace = namespace
        self._shown = shown
        digest = blake2b(f"insession {schema} {namespace}".encode(), digest_size=8).digest()
        self.space: int = int.from_bytes(digest, "big", signed=True) & ~3
        """The number of the namespace among the database's advisory locks;"""
        self.interest: int = self.space + 1
        """of the lock that is held by who waits for more than what stops work;"""
        self.first: int = self.space + 2
        """of the one that is held by one process that listens,"""
        self.others: int = self.space + 3
        """and of the one that is held by the others."""
        name = f"insession {schema} {namespace}"
        self.channel: str = name if len(name) <= _LONGEST_CHANNEL else f"insession {digest.hex()}"
        self.apply: str = self.call("apply", _ARGUMENTS)
        self.page: str = self._file("page.sql")
        self.sight: str = self.sql("SELECT position, handed FROM @state")
        # A restored or failed-over server begins another epoch: it may know less than a cursor.
        self.epoch: str = self.sql(
            "SELECT substr(md5(s.epoch || c.system_identifier || "
            "substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8)), 1, 12) "
            "FROM @state AS s, pg_control_system() AS c"
        )
        self.plain_epoch: str = self.sql("SELECT epoch FROM @state")

    def sql(self, text: str) -> str:
        """A text with its names put in."""

        def name(found: re.Match[str]) -> str:
            own = f'"{self._namespace}.{found[2]}"'
            return own if found[1] else f'"{self._schema}".{own}'

        return _NAME.sub(name, text)

    def call(self, function: str, arguments: int) -> str:
        """The statement that calls a function."""
        marks = ", ".join(f"${place}" for place in range(1, arguments + 1))
        return f"SELECT * FROM {self.sql(f'@{function}')}({marks})"  # noqa: S608 - our own words

    def _file(self, name: str) -> str:
        return self.sql(Path(__file__).with_name(name).read_text("utf-8"))

    async def prepare(self, connection: asyncpg.Connection[asyncpg.Record]) -> None:
        """Make what is not there yet; others that open at the same time wait."""
        # An error ends the connection and so the transaction; a rollback would wait for a server that may be gone.
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('insession migrations', 0))")
        version = await self._version(connection)
        if version is not None and version > VERSION:
            raise ConfigurationError(
                f"{self._shown}: the namespace {self._namespace!r} was made by a newer insession; upgrade this one"
            )
        if version is None:
            for file in FILES:
                await connection.execute(self._file(file))
            await connection.execute(
                f'INSERT INTO "{self._schema}".versions VALUES ($1, $2)',  # noqa: S608 - a checked word
                self._namespace,
                VERSION,
            )
        await transaction.commit()

    async def _version(self, connection: asyncpg.Connection[asyncpg.Record]) -> Any:
        await self._check(connection)
        if not await connection.fetchval("SELECT to_regclass($1) IS NOT NULL", f'"{self._schema}".versions'):
            if not await connection.fetchval("SELECT to_regnamespace($1) IS NOT NULL", f'"{self._schema}"'):
                await connection.execute(f'CREATE SCHEMA "{self._schema}"')
            await connection.execute(
                f'CREATE TABLE "{self._schema}".versions (namespace text PRIMARY KEY, version integer NOT NULL)'
            )
        return await connection.fetchval(
            f'SELECT version FROM "{self._schema}".versions WHERE namespace = $1',  # noqa: S608 - a checked word
            self._namespace,
        )

    async def _check(self, connection: asyncpg.Connection[asyncpg.Record]) -> None:
        encoding = await connection.fetchval("SHOW server_encoding")
        if encoding != "UTF8":
            raise ConfigurationError(f"{self._shown}: the database's encoding is {encoding}; make one with UTF8")
        level = await connection.fetchval("SHOW default_transaction_isolation")
        if level != "read committed":
            raise ConfigurationError(
                f"{self._shown}: default_transaction_isolation is {level!r}; give this user 'read committed'"
            )

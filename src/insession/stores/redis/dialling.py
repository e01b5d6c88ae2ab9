"""Making connections, as a URL says."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from insession.errors import ConfigurationError
from insession.kernel.urls import StoreURL

PORT: Final = 6379


class Dialler:
    """What a URL says about connections: where, who, how."""

    OPTIONS: ClassVar[frozenset[str]] = frozenset({"ca", "certificate", "key"})
    """``ca``, ``certificate`` and ``key`` are files for TLS."""

    def __init__(self, url: StoreURL, patience: float) -> None:
        if len(url.hosts) > 1:
            raise ConfigurationError(f"{url.shown}: name one host")
        host, port = url.hosts[0] if url.hosts else ("localhost", None)
        self._options: dict[str, Any] = {
            "host": host,
            "port": port or PORT,
            "db": _database(url),
            "username": url.user,
            "password": url.password,
            "socket_timeout": None,
            "socket_connect_timeout": patience,
            "retry": Retry(NoBackoff(), 0),
            "protocol": 2,
        }
        self._class: type[Connection] = Connection
        if url.scheme in {"rediss", "valkeys"}:
            self._class = SSLConnection
            self._options |= {
                "ssl_ca_certs": url.options.get("ca"),
                "ssl_certfile": url.options.get("certificate"),
                "ssl_keyfile": url.options.get("key"),
                "ssl_cert_reqs": "required",
                "ssl_check_hostname": True,
            }
        elif Dialler.OPTIONS & url.options.keys():
            raise ConfigurationError(f"{url.shown}: files for TLS go with rediss:// or valkeys://")

    async def dial(self) -> AbstractConnection:
        """A connection that is connected and authenticated."""
        connection = self._class(**self._options)
        try:
            await connection.connect()  # type: ignore[no-untyped-call]
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        return connection

    async def close(self) -> None:
        """Give up what finding a server takes."""


def _database(url: StoreURL) -> int:
    number = url.path.strip("/") or "0"
    if not (number.isascii() and number.isdigit()):
        raise ConfigurationError(f"{url.shown}: the path is the number of a database, as in redis://host/0")
    return int(number)

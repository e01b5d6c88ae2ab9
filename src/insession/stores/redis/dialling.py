"""Making connections, as a URL says: to a server, or to the one that sentinels say is the master now."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar, Final

from hiredis import Reader
from redis.asyncio.connection import Connection, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as NoConnection
from redis.exceptions import InvalidResponse, RedisError

from insession.errors import ConfigurationError
from insession.kernel.urls import StoreURL

PORT: Final = 6379
SENTINEL_PORT: Final = 26379
_SENTINELS: Final = frozenset({"redis+sentinel", "valkey+sentinel"})
_CLUSTERS: Final = frozenset({"redis+cluster", "valkey+cluster"})
_FILES: Final = {"ca": "ssl_ca_certs", "certificate": "ssl_certfile", "key": "ssl_keyfile"}


Address = tuple[str, int]
"""Host and port."""


class Carrier(Connection):
    """A connection of redis-py that can be handed over, once it is connected and authenticated.

    Its own reading and writing of a command takes longer than the server takes to run it.
    """

    def hand_over(self, protocol: asyncio.Protocol) -> tuple[asyncio.WriteTransport, Reader]:
        """From now on ``protocol`` gets what comes; what to write to, and who reads replies as redis-py does."""
        writer, errors = self._writer, self._parser
        if writer is None:
            raise NoConnection("the connection was lost before it was used")
        transport = writer.transport
        transport.set_protocol(protocol)
        return transport, Reader(protocolError=InvalidResponse, replyError=errors.parse_error)


class SecureCarrier(SSLConnection, Carrier):
    """The same with TLS."""


class Dialler:
    """What a URL says about connections: where, who, how.

    Options: ``ca``, ``certificate`` and ``key`` are files for TLS. Where the URL names sentinels, its user and
    password are those of the servers, ``sentinel_user`` and ``sentinel_password`` those of the sentinels, and
    ``tls=yes`` is for both.
    """

    OPTIONS: ClassVar[frozenset[str]] = frozenset({*_FILES, "tls", "sentinel_user", "sentinel_password"})

    def __init__(self, url: StoreURL, patience: float) -> None:
        self._master: str | None = None
        path = url.path.strip("/")
        if url.scheme in _SENTINELS:
            self._master, _, path = path.partition("/")
            if not (self._master and url.hosts):
                raise ConfigurationError(
                    f"{url.shown}: names sentinels and a master, as in redis+sentinel://one:26379,two:26379/mymaster/0"
                )
        else:
            _check_plain(url, path)
        port = PORT if self._master is None else SENTINEL_PORT
        self._hosts: list[Address] = [(host, given or port) for host, given in url.hosts]
        self._hosts = self._hosts or [("localhost", port)]
        self._class, common = _carried(url, patience)
        account = {"username": url.user, "password": url.password, "db": _database(url, path)}
        self._options: dict[str, Any] = common | account
        self._sentinel: dict[str, Any] = common | {
            "username": url.options.get("sentinel_user"),
            "password": url.options.get("sentinel_password"),
        }

    @property
    def hosts(self) -> tuple[Address, ...]:
        """The hosts that the URL names."""
        return tuple(self._hosts)

    async def connect(self, address: Address) -> Carrier:
        """A connection to this server."""
        return await self._connected(*address, self._options)

    async def dial(self) -> Carrier:
        """A connection that is connected and authenticated."""
        if self._master is None:
            return await self._connected(*self._hosts[0], self._options)
        connection = await self._connected(*await self._master_now(self._master), self._options)
        try:
            await _prove_master(connection)
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        return connection

    async def _master_now(self, name: str) -> tuple[str, int]:
        """Where the master is, as the first sentinel says that knows."""
        problem: Exception | None = None
        for place, host in enumerate(self._hosts):
            try:
                found = await self._asked(host, name)
            except (RedisError, OSError) as error:
                problem = error
                continue
            if found is not None:
                # The next question goes first to the one that answered.
                self._hosts.insert(0, self._hosts.pop(place))
                return found
        raise NoConnection(f"no sentinel knows a master {name!r}") from problem

    async def _asked(self, host: tuple[str, int], name: str) -> tuple[str, int] | None:
        connection = await self._connected(*host, self._sentinel)
        try:
            await connection.send_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", name, check_health=False)
            found = await connection.read_response()
        finally:
            await connection.disconnect(nowait=True)
        return None if found is None else (found[0].decode(), int(found[1]))

    async def _connected(self, host: str, port: int, options: dict[str, Any]) -> Carrier:
        connection = self._class(host=host, port=port, **options)
        try:
            await connection.connect()  # type: ignore[no-untyped-call]
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        return connection


def _check_plain(url: StoreURL, path: str) -> None:
    """What goes with sentinels, or with a cluster, goes with nothing else."""
    cluster = url.scheme in _CLUSTERS
    if url.options.keys() & {"sentinel_user", "sentinel_password"} or ("tls" in url.options and not cluster):
        raise ConfigurationError(
            f"{url.shown}: sentinel_... goes with redis+sentinel://, tls also with redis+cluster://"
        )
    if len(url.hosts) > 1 and not cluster:
        raise ConfigurationError(
            f"{url.shown}: names more than one host; several go with redis+sentinel:// and redis+cluster://"
        )
    if cluster and path not in {"", "0"}:
        raise ConfigurationError(f"{url.shown}: a cluster has only the database 0")


async def _prove_master(connection: Carrier) -> None:
    """What the sentinels name may not know yet that it is the master, or not yet that it is none any more."""
    await connection.send_command("ROLE", check_health=False)
    role = await connection.read_response()
    if role[0] != b"master":
        raise NoConnection("the server that the sentinels name is no master yet")


def _carried(url: StoreURL, patience: float) -> tuple[type[Carrier], dict[str, Any]]:
    """What every connection has in common. Nothing is sent again by redis-py: what that means only we know."""
    options: dict[str, Any] = {
        "socket_timeout": None,
        "socket_connect_timeout": patience,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,
    }
    tls = url.scheme in {"rediss", "valkeys"} or url.choice("tls", ("yes", "no"), "no") == "yes"
    files = {long: url.options[short] for short, long in _FILES.items() if short in url.options}
    if not tls:
        if files:
            raise ConfigurationError(f"{url.shown}: files for TLS go with rediss:// or valkeys://")
        return Carrier, options
    return SecureCarrier, options | files | {"ssl_cert_reqs": "required", "ssl_check_hostname": True}


def _database(url: StoreURL, path: str) -> int:
    number = path or "0"
    if not (number.isascii() and number.isdigit()):
        raise ConfigurationError(f"{url.shown}: a database is a number, as in redis://host/0")
    return int(number)

"""What a URL's options mean."""

from __future__ import annotations

from typing import Any, Final, cast

from insession.errors import ConfigurationError
from insession.kernel.urls import StoreURL

from .connections import SSL, Address

_KNOWN: Final = ("host", "schema", "pool", "timeout", "sslmode", "pgbouncer", "listen")
_SSL: Final = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_LONGEST: Final = 3600.0
_MOST: Final = 1000


def options_of(url: StoreURL) -> dict[str, Any]:
    """The arguments of a store that a URL gives."""
    url.only(_KNOWN)
    options = url.options
    if "host" in options:
        if url.hosts:
            raise ConfigurationError(f"{url.shown}: host stands before the database or among the options, not both")
        hosts: tuple[tuple[str, int | None], ...] = ((options["host"], None),)
    else:
        hosts = url.hosts
    database = url.path.removeprefix("/") or None
    address = Address(
        hosts=hosts,
        user=url.user,
        password=url.password,
        database=database,
        ssl=cast("SSL", url.choice("sslmode", _SSL, "prefer")) if "sslmode" in options else None,
    )
    found: dict[str, Any] = {"address": address}
    if "schema" in options:
        found["schema"] = options["schema"]
    if "pool" in options:
        found["pool"] = int(_number(url, "pool", _MOST))
    if "timeout" in options:
        found["timeout"] = _number(url, "timeout", _LONGEST)
    found["pgbouncer"] = url.choice("pgbouncer", ("0", "1"), "0") == "1"
    if "listen" in options:
        host, _, port = options["listen"].rpartition(":")
        if not host or not port.isdigit():
            raise ConfigurationError(f"{url.shown}: listen is host:port of the server itself")
        found["listen"] = Address(
            hosts=((host, int(port)),), user=url.user, password=url.password, database=database, ssl=address.ssl
        )
    return found


def _number(url: StoreURL, name: str, most: float) -> float:
    try:
        value = float(url.options[name])
    except ValueError:
        value = 0.0
    if not 0 < value <= most or (name == "pool" and value < 1):
        raise ConfigurationError(f"{url.shown}: {name} is a number up to {most:g}")
    return value

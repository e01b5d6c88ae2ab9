"""Which store a URL means: the table of schemes, and reading a URL's parts.

The table names classes as strings, imported when used, so that nothing that opens a store imports
one. A new store adds one line here.
"""

from __future__ import annotations

import difflib
import importlib
import os
import re
from collections.abc import Collection, Mapping
from typing import Any, Final, Protocol, cast
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

from insession.errors import ConfigurationError
from insession.kernel.clock import Clock
from insession.kernel.contract import Store

SCHEMES: Final[Mapping[str, str]] = {
    "memory": "insession.stores.memory:MemoryStore",
    "sqlite": "insession.stores.sqlite:SQLiteStore",
    "redis": "insession.stores.redis:RedisStore",
    "rediss": "insession.stores.redis:RedisStore",
    "valkey": "insession.stores.redis:RedisStore",
    "valkeys": "insession.stores.redis:RedisStore",
    "redis+sentinel": "insession.stores.redis:RedisStore",
    "valkey+sentinel": "insession.stores.redis:RedisStore",
    "postgresql": "insession.stores.postgres:PostgresStore",
    "postgres": "insession.stores.postgres:PostgresStore",
    "redis+cluster": "insession.stores.redis:ClusterStore",
    "valkey+cluster": "insession.stores.redis:ClusterStore",
}
_WORDS: Final = re.compile(r"[^0-9A-Za-z]+")
_HOST: Final = re.compile(r"(?:\[(?P<address>[0-9a-fA-F:.%]+)\]|(?P<name>[^\[\]:@]+))(?::(?P<port>[0-9]{1,5}))?")
_LAST_PORT: Final = 65_535
_LONGEST: Final = 86_400.0
_NAMESPACE: Final = re.compile(r"[a-z][a-z0-9_]{0,31}")


class StoreURL(msgspec.Struct, frozen=True):
    """The parts of a store's URL. ``shown`` is the URL without its password and its options."""

    scheme: str
    path: str
    options: Mapping[str, str]
    shown: str
    hosts: tuple[tuple[str, int | None], ...] = ()
    """Each with its port, where one is named."""
    user: str | None = None
    password: str | None = None

    def __repr__(self) -> str:
        return f"StoreURL({self.shown!r})"

    def choice(self, name: str, choices: Collection[str], default: str) -> str:
        """An option that is one of a few words."""
        value = self.options.get(name, default).lower()
        if value not in choices:
            raise ConfigurationError(f"{self.shown}: {name} is one of {', '.join(sorted(choices))}")
        return value

    def seconds(self, name: str, default: float) -> float:
        """An option that is a positive number of seconds."""
        try:
            value = float(self.options.get(name, default))
        except ValueError:
            value = 0.0
        if not 0.0 < value < _LONGEST:
            raise ConfigurationError(f"{self.shown}: {name} is a number of seconds, as in ?{name}=5")
        return value

    def only(self, known: Collection[str]) -> None:
        """Refuse options that nobody knows, naming the nearest that is known."""
        for name in self.options:
            if name not in known:
                raise ConfigurationError(f"{self.shown}: {unknown('option', name, known)}")


class StoreClass(Protocol):
    """What the table of schemes names."""

    @classmethod
    def from_url(cls, url: StoreURL, *, namespace: str, clock: Clock | None) -> Store:
        """Build a store, without any I/O."""


def unknown(what: str, name: str, known: Collection[str]) -> str:
    """A sentence about a name that nobody knows, with the nearest one that is known."""
    words = set(_WORDS.split(name))
    # ``max_sessions`` means ``max_concurrent_sessions`` rather than ``max_session_history``.
    near = [one for one in sorted(known) if len(words) > 1 and words < set(_WORDS.split(one))]
    near = near or difflib.get_close_matches(name, sorted(known), n=1)
    hint = f"; did you mean {str(near[0])!r}?" if near else f"; known: {', '.join(sorted(known)) or 'none'}"
    return f"unknown {what} {name!r}{hint}"


def parse_url(text: str) -> StoreURL:
    """Read a store's URL; `ConfigurationError` says what is wrong with it, never its password."""
    try:
        parts = urlsplit(text)
    except ValueError:
        raise ConfigurationError("the store's URL cannot be read; it looks like sqlite:///sessions.db") from None
    if parts.scheme not in SCHEMES:
        raise ConfigurationError(
            unknown("store", parts.scheme or text.split("/", maxsplit=1)[0], [f"{one}:" for one in SCHEMES])
        )
    shown = text.partition("?")[0].partition("#")[0]
    account, at, places = parts.netloc.rpartition("@")
    user, colon, password = account.partition(":")
    if at and colon:
        shown = shown.replace(f":{password}@", ":***@")
    return StoreURL(
        parts.scheme,
        unquote(parts.path),
        dict(parse_qsl(parts.query, keep_blank_values=True)),
        shown,
        tuple(_host(place, shown) for place in places.split(",")) if places else (),
        unquote(user) or None,
        unquote(password) if colon else None,
    )


def _host(text: str, shown: str) -> tuple[str, int | None]:
    """A host with or without a port; an IPv6 address stands in brackets (RFC 3986, section 3.2.2)."""
    found = _HOST.fullmatch(text)
    if found is None or not 1 <= int(found["port"] or 1) <= _LAST_PORT:
        raise ConfigurationError(f"{shown}: {text!r} is no host with a port, as in example.org:6379")
    return unquote(found["address"] or found["name"]), int(found["port"]) if found["port"] else None


def check_namespace(namespace: str) -> str:
    """A namespace is a lower-case word: it becomes part of keys, tables and channels."""
    if not _NAMESPACE.fullmatch(namespace):
        raise ConfigurationError("namespace: is a lower-case word of at most 32 letters, digits and underscores")
    return namespace


def store_from(url: str, *, namespace: str, clock: Clock | None = None) -> Store:
    """The store that a URL means, not opened yet."""
    parsed = parse_url(url)
    module, _, name = SCHEMES[parsed.scheme].partition(":")
    try:
        found: Any = getattr(importlib.import_module(module), name)
    except ImportError as error:  # pragma: no cover - only where an extra is missing
        extra = f"pip install 'insession[{module.rpartition('.')[2]}]'"
        raise ConfigurationError(f"{parsed.shown}: {error.name} is not installed; {extra}") from error
    return cast("StoreClass", found).from_url(parsed, namespace=check_namespace(namespace), clock=clock)


def chosen_store(store: str | Store | None, *, namespace: str, clock: Clock | None = None) -> Store:
    """A store as it was named: by a URL, as itself, or (None) by the environment's ``INSESSION_STORE``, else memory."""
    if store is None:
        store = os.environ.get("INSESSION_STORE") or "memory:"
    if isinstance(store, str):
        return store_from(store, namespace=namespace, clock=clock)
    if not callable(getattr(store, "apply", None)):
        raise ConfigurationError(f"store: is a URL like 'sqlite:///sessions.db' or a store, not {type(store).__name__}")
    return store


def sealed(store: Store, keys: object = None) -> Store:
    """The store with its data encrypted at rest; ``keys`` is a key ring or its text, None: as `Keys.found` finds it."""
    try:
        found: Any = importlib.import_module("insession.stores.sealed")
    except ImportError as error:  # pragma: no cover - only where the extra is missing
        raise ConfigurationError(f"{error.name} is not installed; pip install 'insession[sealed]'") from error
    return cast("Store", found.SealedStore(store, keys))

"""Every store that the contract suite and the state machine run over: one line each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from hashlib import blake2b
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, cast

import pytest

from insession.kernel.contract import Store
from insession.kernel.urls import parse_url, store_from
from insession.testing.clock import ManualClock
from tests.servers import cluster, valkey
from tests.servers.postgres import shared_server

Maker = Callable[[Path, ManualClock], Store]


def _class(name: str) -> Any:
    """A store's class, imported when it is used."""
    module, _, attribute = name.partition(":")
    return getattr(import_module(module), attribute)


def _memory(_: Path, clock: ManualClock) -> Store:
    return cast("Store", _class("insession.stores.memory:MemoryStore")(clock=clock))


def _sqlite(folder: Path, clock: ManualClock) -> Store:
    return cast("Store", _class("insession.stores.sqlite:SQLiteStore")(folder / "store.db", clock=clock))


def redis(folder: Path, clock: ManualClock | None, **options: Any) -> Store:
    """A store on the server that all tests share, in a namespace of this folder's."""
    url = parse_url(valkey.shared().url)
    namespace = valkey.namespace_of(folder)
    return cast("Store", _class("insession.stores.redis:RedisStore")(url, namespace=namespace, clock=clock, **options))


def _postgres(folder: Path, clock: ManualClock) -> Store:
    # The folder is of one test, and so is the schema.
    schema = f"s{blake2b(bytes(folder), digest_size=8).hexdigest()}"
    return store_from(shared_server().url(schema), namespace="default", clock=clock)


def redis_cluster(folder: Path, clock: ManualClock | None, **options: Any) -> Store:
    """A store on the cluster that all tests share."""
    url = parse_url(cluster.shared().url)
    namespace = valkey.namespace_of(folder)
    return cast(
        "Store", _class("insession.stores.redis:ClusterStore")(url, namespace=namespace, clock=clock, **options)
    )


MAKERS: Final[Mapping[str, Maker]] = {
    "memory": _memory,
    "sqlite": _sqlite,
    "redis": redis,
    "redis-scripts": partial(redis, calls="scripts"),
    "redis-plain": partial(redis, calls="plain scripts"),
    "redis-cluster": redis_cluster,
    "postgres": _postgres,
}
SHARED: Final = frozenset(MAKERS) - {"memory"}
"""Stores of which two instances may lie on the same data."""


def _there(name: str) -> bool:
    spec = find_spec(f"insession.stores.{name.partition('-')[0]}")
    return spec is not None and spec.origin is not None


THERE: Final = [name for name in MAKERS if _there(name)]


@pytest.fixture(params=THERE)
def store_name(request: pytest.FixtureRequest) -> str:
    """Each store that is there."""
    return cast("str", request.param)


@pytest.fixture
async def opened_store(store_name: str, clock: ManualClock, tmp_path: Path) -> AsyncIterator[Store]:
    """An open, empty store."""
    store = MAKERS[store_name](tmp_path, clock)
    await store.open()
    yield store
    await store.close()


@pytest.fixture
async def second_store(
    store_name: str, opened_store: Store, clock: ManualClock, tmp_path: Path
) -> AsyncIterator[Store]:
    """Another instance on the same data."""
    if store_name not in SHARED:
        pytest.skip("this store lies in one instance")
    store = MAKERS[store_name](tmp_path, clock)
    await store.open()
    yield store
    await store.close()

"""What the tests of a cluster share."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from insession import OutcomeUnknown, StoreUnavailable
from insession.kernel.contract import Store
from insession.kernel.record import Record
from insession.kernel.urls import parse_url
from insession.stores.redis import ClusterStore
from insession.testing.clock import ManualClock
from insession.testing.contract.samples import (
    opened,
    session,
)
from tests.servers.cluster import Cluster

NOW = 1_800_000_000.0
OWNERS = tuple(f"owner-{place}" for place in range(24))
"""Enough of them to have sessions in every partition."""


def made(cluster: Cluster, namespace: str, **options: Any) -> ClusterStore:
    return ClusterStore(parse_url(cluster.url), namespace=namespace, **{"clock": ManualClock(NOW), **options})


@contextmanager
def running(folder: Path, *, replicas: int = 0) -> Iterator[Cluster]:
    """A cluster that a test may do anything to."""
    cluster = Cluster(folder, "--appendonly", "yes", "--appendfsync", "always", replicas=replicas)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


async def everywhere(store: Store, **fields: Any) -> list[Record]:
    """A session of every owner, opened a second apart."""
    return [
        await opened(store, session("s", NOW + place, owner=owner, idle=1e6, **fields))
        for place, owner in enumerate(OWNERS)
    ]


def ids(records: list[Any]) -> list[str]:
    return [record.id for record in records]


async def until_it_answers(store: Store, operation: Any) -> Any:
    """Sent again as an engine does; the change's id says whether it was done."""
    for _ in range(600):
        try:
            (answer,) = await store.apply([operation])
        except (StoreUnavailable, OutcomeUnknown):
            await asyncio.sleep(0.02)
        else:
            return answer
    raise AssertionError("it does not answer")

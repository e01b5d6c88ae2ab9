"""Leases over PostgreSQL go by the server's clock, which no test can turn."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from insession.kernel.contract import Store
from insession.kernel.urls import store_from
from insession.testing.contract.fences import Displacement, Fences
from insession.testing.contract.leases import Leases, Notes
from tests.servers.leases import lease_unit
from tests.servers.postgres import fresh_schema, shared_server


@pytest.mark.server_clock
class TestServersClock(Leases, Notes, Displacement, Fences):
    leases_by_clock = False

    @pytest.fixture(autouse=True)
    def unit(self) -> None:
        self.lease_unit = lease_unit()

    @pytest.fixture
    async def store(self) -> AsyncIterator[Store]:
        store = store_from(shared_server().url(fresh_schema()), namespace="default")
        await store.open()
        yield store
        await store.close()

"""The contract suite over sealed stores: one in memory, and one of which two instances share a file."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest

from insession.kernel.contract import Store
from insession.kernel.events import EventType
from insession.kernel.operations import Load, Loaded, Put
from insession.stores.memory import MemoryStore
from insession.stores.sealed import Keys, SealedStore
from insession.stores.sealed.seals import OVERHEAD
from insession.stores.sqlite import SQLiteStore
from insession.testing.clock import ManualClock
from insession.testing.contract import StoreContract
from insession.testing.contract.samples import ask, done, opened, session, sid, update, writing

KEPT: Final = 1_000
RING: Final = Keys.generate()


class _Sealed(StoreContract):
    async def test_up_to_one_mebibyte(self, store: Store, clock: ManualClock) -> None:
        # The store below counts what it keeps: a sealed item is larger by a constant.
        size = 256 * 1024 - OVERHEAD
        for name in "abcd":
            await done(store, writing(clock.now(), Put(f"{sid('one')}/{name}", bytes(size))))
        loaded = await ask(store, Load((), sid("one")), Loaded)
        assert ([len(item.data) for item in loaded.under], loaded.more) == ([size] * 4, False)
        await done(store, writing(clock.now(), Put(f"{sid('one')}/e", b"x")))
        loaded = await ask(store, Load((), sid("one")), Loaded)
        assert (len(loaded.under), loaded.more) == (4, True)


class TestSealedMemory(_Sealed):
    @pytest.fixture
    def store(self, clock: ManualClock) -> Store:
        return SealedStore(MemoryStore(clock=clock, retention=KEPT), RING)

    async def trim(self, store: Store, clock: ManualClock) -> None:
        # Its retention is a number of events.
        record = await opened(store, session("flood", clock.now()))
        at = clock.now()
        await store.apply([update(record.id, at, event=EventType.UPDATED) for _ in range(2 * KEPT)])


class TestSealedSQLite(_Sealed):
    @pytest.fixture
    async def store(self, clock: ManualClock, tmp_path: Path) -> AsyncIterator[Store]:
        store = SealedStore(SQLiteStore(tmp_path / "store.db", clock=clock), RING)
        await store.open()
        yield store
        await store.close()

    @pytest.fixture
    async def other_store(self, store: Store, clock: ManualClock, tmp_path: Path) -> AsyncIterator[Store]:
        other = SealedStore(SQLiteStore(tmp_path / "store.db", clock=clock), RING)
        await other.open()
        yield other
        await other.close()

"""Managers and their neighbours: whose sessions they see, and where they lie."""

from __future__ import annotations

from pathlib import Path

import pytest

from insession.stores.memory import MemoryStore
from insession.testing.clock import ManualClock
from insession.tracking import SessionManager, TooManySessions

from .conftest import Managers


class TestIndependence:
    """Managers and their neighbours."""

    @pytest.mark.requirement("M7", "M87")
    async def test_on_memory_each_has_its_own(self, managers: Managers, clock: ManualClock) -> None:
        await self.apart(await managers(), await managers(), clock)

    @pytest.mark.requirement("M7", "M92")
    async def test_on_two_namespaces(self, managers: Managers, sqlite_url: str, clock: ManualClock) -> None:
        one, other = [await managers(store=sqlite_url, namespace=name) for name in ("one", "other")]
        await self.apart(one, other, clock)

    @pytest.mark.requirement("M7")
    async def test_on_two_stores(self, managers: Managers, tmp_path: Path, clock: ManualClock) -> None:
        one, other = [await managers(store=f"sqlite:///{tmp_path / name}.db") for name in ("one", "other")]
        await self.apart(one, other, clock)

    @staticmethod
    async def apart(one: SessionManager, other: SessionManager, clock: ManualClock) -> None:
        mine, theirs = await one.create_session(), await other.create_session()
        assert await one.get_session_status(theirs["session_id"]) is None
        assert await one.interrupt_session(theirs["session_id"]) is False
        assert [session["session_id"] for session in await one.sessions()] == [mine["session_id"]]
        await clock.advance(1)
        assert await one.interrupt_all_sessions() == 1
        await one.cleanup()
        assert not theirs["interrupt_flag"]
        assert other.get_session_statistics()["active_sessions"] == 1
        assert other.get_session_statistics()["global_interrupt_flag"] is False
        assert (await other.statistics())["active"] == 1

    @pytest.mark.requirement("M92", "M87")
    async def test_the_environment_names_the_store(
        self, managers: Managers, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("INSESSION_STORE", sqlite_url)
        one, other = await managers(), await managers(store=sqlite_url)
        elsewhere = await managers(store="memory:")
        live = await one.create_session()
        assert [session["session_id"] for session in await other.sessions()] == [live["session_id"]]
        assert await elsewhere.sessions() == []
        assert await other.interrupt_session(live["session_id"], "from there")
        assert await one.wait_ended(live, timeout=30)
        status = await one.get_session_status(live["session_id"])
        assert status is not None
        assert status["interrupt_reason"] == "from there"

    @pytest.mark.requirement("M92")
    async def test_memory_where_nothing_is_said(self, managers: Managers) -> None:
        one, other = await managers(), await managers()
        await one.create_session()
        assert await other.sessions() == []

    async def test_managers_of_one_store_keep_each_its_own_limit(self, managers: Managers, clock: ManualClock) -> None:
        store = MemoryStore(clock=clock)
        strict, wide = [await managers({"max_concurrent_sessions": most}, store) for most in (2, 4)]
        for _ in range(2):
            await strict.create_session()
        with pytest.raises(TooManySessions, match=r"reached \(2\)"):
            await strict.create_session()
        for _ in range(2):
            await wide.create_session()
        with pytest.raises(TooManySessions, match=r"reached \(4\)"):
            await wide.create_session()
        assert strict.get_session_statistics()["active_sessions"] == 2

"""Tracked sessions whose data is broken at rest: their end is told, and everybody else's sessions are."""

from __future__ import annotations

import pytest

from insession import DataUnreadable
from insession.stores.memory import MemoryStore
from insession.stores.sealed import Keys
from insession.testing.clock import ManualClock, settle
from tests.damage import flip

from .conftest import Managers

ON = {"encrypt_session_data": True}


async def test_it_ends_by_name_and_the_others_are_told(managers: Managers, clock: ManualClock) -> None:
    store = MemoryStore(clock=clock)
    manager = await managers(ON, store, keys=Keys.generate())
    broken, good = [
        str((await manager.create_session("agent", None, {"n": n}, hardware_id=f"device {n}"))["session_id"])
        for n in range(2)
    ]
    await flip(store, broken)
    tracker = manager.session_tracker
    assert tracker is not None
    with pytest.raises(DataUnreadable, match=broken):
        await tracker.status(broken)
    assert [told["session_id"] async for told in tracker.store_sessions()] == [good]
    await settle()
    told = await tracker.status(broken)
    assert (told["status"], told["interrupt_reason"], told["context"]) == ("interrupted", "data_unreadable", {})
    assert (await tracker.status(good))["context"] == {"n": 1}

"""The live sessions of a process as a mapping, and putting a migrated one back."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from insession.errors import Conflict, Interrupted, InvalidInput
from insession.testing.clock import ManualClock, settle
from insession.testing.faulty import FaultyStore
from insession.tracking import LiveSession, SessionManager, SessionTracker

from .conftest import Managers
from .waiting import until


def tracker_of(manager: SessionManager) -> SessionTracker:
    assert manager.session_tracker is not None
    return manager.session_tracker


class TestActive:
    """`active_sessions`."""

    @pytest.mark.requirement("M62", "M79")
    async def test_it_maps_ids_to_live_sessions(self, any_manager: SessionManager) -> None:
        lives = [await any_manager.create_session(context={"number": number}) for number in range(3)]
        active = tracker_of(any_manager).active_sessions
        assert {session_id: dict(session) for session_id, session in active.items()} == {
            live["session_id"]: dict(live) for live in lives
        }
        assert len(active) == 3
        assert lives[0]["session_id"] in active
        assert active[lives[0]["session_id"]] is lives[0]
        assert active.get("unknown") is None
        await any_manager.interrupt_session(lives[0]["session_id"])
        assert lives[0]["session_id"] not in active
        assert set(active) == {live["session_id"] for live in lives[1:]}

    @pytest.mark.requirement("M62")
    async def test_walking_it_while_sessions_come_and_go(self, manager: SessionManager) -> None:
        for _ in range(5):
            await manager.create_session()
        active = tracker_of(manager).active_sessions
        met = 0
        for session_id, session in active.items():
            await manager.create_session()
            await manager.interrupt_session(session_id)
            assert session["interrupt_flag"]
            met += 1
        for session_id in active:
            await manager.interrupt_session(session_id)
        assert (met, len(active)) == (5, 0)

    @pytest.mark.requirement("M79")
    async def test_its_values_cannot_be_set(self, manager: SessionManager) -> None:
        live: Any = await manager.create_session()
        active: Any = tracker_of(manager).active_sessions
        with pytest.raises(TypeError):
            active[live["session_id"]] = {}
        with pytest.raises(TypeError):
            live["status"] = "completed"

    async def test_a_live_session_is_itself(self, manager: SessionManager) -> None:
        one, other = await manager.create_session(), await manager.create_session()
        again = one
        assert one == again
        assert one != other
        assert len({one, other, again}) == 2
        assert len(dict(one)) == len(one) == len(list(one))
        assert "status" in one
        assert one.get("nonsense") is None
        with pytest.raises(KeyError):
            one["nonsense"]


class TestReplace:
    """`replace_session`."""

    @pytest.mark.requirement("M79", "M62")
    async def test_the_migration_sample(self, any_manager: SessionManager) -> None:
        lives = [await any_manager.create_session("Old", context={"number": number}) for number in range(3)]
        tracker = tracker_of(any_manager)
        for session_id, session in tracker.active_sessions.items():
            migrated = {**session, "user_agent": "New", "context": {**session["context"], "schema": 2}}
            assert await tracker.replace_session(session_id, migrated) is session
        for number, live in enumerate(lives):
            status = await any_manager.get_session_status(live["session_id"])
            assert status == dict(live)
            assert (live["user_agent"], live["context"]) == ("New", {"number": number, "schema": 2})
            assert not live["interrupt_flag"]

    @pytest.mark.requirement("M79")
    async def test_another_process_was_first(self, managers: Managers, sqlite_url: str) -> None:
        one, other = [await managers(store=sqlite_url) for _ in range(2)]
        live = await one.create_session(context={"by": "nobody"})
        status = await other.get_session_status(live["session_id"])
        assert status is not None
        await tracker_of(other).replace_session(live["session_id"], {**status, "context": {"by": "other"}})
        mine = {**live, "context": {"by": "one"}}
        with pytest.raises(Conflict):
            await tracker_of(one).replace_session(live["session_id"], mine)
        # What is shown is what the other wrote, so that trying again can succeed.
        assert live["context"] == {"by": "other"}
        await tracker_of(one).replace_session(live["session_id"], {**live, "context": {"by": "one, after all"}})
        status = await other.get_session_status(live["session_id"])
        assert status is not None
        assert status["context"] == {"by": "one, after all"}

    @pytest.mark.requirement("M79")
    async def test_another_task_was_first(self, any_manager: SessionManager) -> None:
        live = await any_manager.create_session(context={"count": 0})
        tracker = tracker_of(any_manager)

        async def count() -> None:
            while True:
                read = dict(live)
                await asyncio.sleep(0)
                context = {"count": read["context"]["count"] + 1}
                try:
                    await tracker.replace_session(read["session_id"], {**read, "context": context})
                except Conflict:
                    continue
                return

        await asyncio.gather(*(count() for _ in range(10)))
        assert live["context"] == {"count": 10}

    @pytest.mark.requirement("M79")
    async def test_activity_is_no_conflict_and_loses_nothing(
        self, managers: Managers, faulty: FaultyStore, clock: ManualClock
    ) -> None:
        manager = await managers({"session_timeout": 100}, faulty)
        live = await manager.create_session(context={"a": 1})
        read = dict(live)
        await clock.advance(10)
        faulty.hold()
        assert not live["interrupt_flag"]  # activity, that is being written down while the session is replaced
        replacing = asyncio.create_task(
            tracker_of(manager).replace_session(live["session_id"], {**read, "context": {"a": 2}})
        )
        await settle()
        faulty.release()
        await replacing
        await settle(50)
        assert live["context"] == {"a": 2}
        await tracker_of(manager).replace_session(live["session_id"], {**live, "context": {"a": 3}})
        assert live["context"] == {"a": 3}

    async def test_one_that_has_ended_is_not_replaced(self, any_manager: SessionManager) -> None:
        live = await any_manager.create_session()
        await any_manager.interrupt_session(live["session_id"])
        with pytest.raises(Interrupted):
            await tracker_of(any_manager).replace_session(live["session_id"], dict(live))

    async def test_its_hardware_id_stays(self, manager: SessionManager) -> None:
        live = await manager.create_session(hardware_id="ann")
        replaced = await tracker_of(manager).replace_session(live["session_id"], {**live, "hardware_id": "bob"})
        assert replaced["hardware_id"] == "ann"

    async def test_what_is_not_tracked_does_not_come_in_by_it(self, manager: SessionManager) -> None:
        live = await manager.create_session()
        replaced = await tracker_of(manager).replace_session(live["session_id"], {**live, "ip_address": "1.2.3.4"})
        assert replaced["ip_address"] is None

    @pytest.mark.parametrize(
        ("session", "field"),
        [(5, "session"), ([], "session"), ({"context": 5}, "context"), ({"context": {"a": object()}}, "context")],
    )
    async def test_bad_input_is_named(self, session: Any, field: str, manager: SessionManager) -> None:
        live = await manager.create_session(context={"a": 1})
        with pytest.raises(InvalidInput) as caught:
            await tracker_of(manager).replace_session(live["session_id"], session)
        assert caught.value.field == field
        assert live["context"] == {"a": 1}

    async def test_one_of_another_process(self, managers: Managers, sqlite_url: str) -> None:
        one, other = [await managers(store=sqlite_url) for _ in range(2)]
        live = await one.create_session()
        replaced = await tracker_of(other).replace_session(live["session_id"], {"context": {"a": 1}})
        assert isinstance(replaced, LiveSession)
        assert replaced["context"] == {"a": 1}
        assert live["session_id"] not in tracker_of(other).active_sessions
        await other.interrupt_session(live["session_id"])
        await until(lambda: live["interrupt_flag"])

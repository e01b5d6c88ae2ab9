"""Interrupts: who hears of them, what they stop, and which reason stays."""

from __future__ import annotations

import asyncio

import pytest

from insession.errors import InvalidInput, OutcomeUnknown, StoreUnavailable
from insession.testing.clock import ManualClock, settle
from insession.testing.faulty import Fault, FaultyStore
from insession.tracking import LiveSession, SessionManager

from .conftest import Managers
from .waiting import until


async def create(manager: SessionManager, number: int) -> list[LiveSession]:
    return [await manager.create_session() for _ in range(number)]


async def later(clock: ManualClock) -> None:
    """A moment passes: an interrupt of everything means what began before it."""
    await clock.advance(0.001)


def flags(sessions: list[LiveSession]) -> set[bool]:
    return {session["interrupt_flag"] for session in sessions}


async def told(manager: SessionManager, session: LiveSession) -> tuple[str, str | None]:
    """Status and reason, as the store has them."""
    status = await manager.get_session_status(session["session_id"])
    assert status is not None
    return status["status"], status["interrupt_reason"]


@pytest.mark.requirement("M14")
async def test_a_stream_that_polls_ends_when_another_task_interrupts(any_manager: SessionManager) -> None:
    session = await any_manager.create_session()
    began = asyncio.Event()

    async def stream() -> int:
        chunks = 0
        while not session["interrupt_flag"]:
            chunks += 1
            began.set()
            await asyncio.sleep(0)
        return chunks

    streaming = asyncio.create_task(stream())
    await began.wait()
    assert await any_manager.interrupt_session(session["session_id"])
    async with asyncio.timeout(10):
        assert await streaming


@pytest.mark.requirement("M14")
async def test_a_thread_that_polls_sees_it_too(any_manager: SessionManager) -> None:
    session = await any_manager.create_session()
    began = asyncio.Event()
    loop = asyncio.get_running_loop()

    def poll() -> int:
        loop.call_soon_threadsafe(began.set)
        number = 0
        while not session["interrupt_flag"]:
            number += 1
        return number

    polling = asyncio.create_task(asyncio.to_thread(poll))
    await began.wait()
    assert await any_manager.interrupt_session(session["session_id"])
    async with asyncio.timeout(10):
        await polling


@pytest.mark.requirement("M14")
async def test_waiting_for_the_end(any_manager: SessionManager, clock: ManualClock) -> None:
    session = await any_manager.create_session()
    waiting = asyncio.create_task(any_manager.wait_ended(session))
    bounded = asyncio.create_task(any_manager.wait_ended(session["session_id"], timeout=3.0))
    await settle(200)
    await clock.advance(3.0)
    async with asyncio.timeout(10):
        assert await bounded is False
        assert await any_manager.interrupt_session(session["session_id"])
        assert await waiting is True
        assert await any_manager.wait_ended(session) is True


class TestAll:
    """`interrupt_all_sessions`."""

    @pytest.mark.requirement("M15", "M17")
    async def test_ends_every_stream_and_says_how_many(self, any_manager: SessionManager, clock: ManualClock) -> None:
        sessions = await create(any_manager, 20)
        await later(clock)
        assert await any_manager.interrupt_all_sessions("shutdown") == 20
        assert flags(sessions) == {True}
        assert {await told(any_manager, session) for session in sessions} == {("interrupted", "shutdown")}
        assert any_manager.get_session_statistics()["active_sessions"] == 0

    @pytest.mark.requirement("M17")
    async def test_counts_only_what_it_ended(self, any_manager: SessionManager, clock: ManualClock) -> None:
        sessions = await create(any_manager, 5)
        await any_manager.interrupt_session(sessions[0]["session_id"])
        await any_manager.interrupt_session(sessions[1]["session_id"], "completed")
        await later(clock)
        assert await any_manager.interrupt_all_sessions() == 3
        assert await any_manager.interrupt_all_sessions() == 0
        assert await told(any_manager, sessions[2]) == ("interrupted", "global_interrupt")

    @pytest.mark.requirement("M17")
    async def test_two_at_once_share_the_count(self, managers: Managers, sqlite_url: str) -> None:
        config = {"max_concurrent_sessions": 300}
        one, other = await managers(config, sqlite_url, clock=None), await managers(config, sqlite_url, clock=None)
        await asyncio.gather(create(one, 120), create(other, 120))
        ended = await asyncio.gather(*(manager.interrupt_all_sessions() for manager in (one, other, one)))
        assert sum(ended) == 240

    @pytest.mark.requirement("M15")
    async def test_reaches_the_streams_of_every_manager(
        self, managers: Managers, sqlite_url: str, clock: ManualClock
    ) -> None:
        one, other = await managers(store=sqlite_url), await managers(store=sqlite_url)
        sessions = await create(one, 10) + await create(other, 10)
        await later(clock)
        assert await one.interrupt_all_sessions() == 20
        await until(lambda: flags(sessions) == {True})

    @pytest.mark.requirement("M19")
    async def test_does_nothing_where_it_is_switched_off(
        self, managers: Managers, any_store: str | None, clock: ManualClock
    ) -> None:
        manager = await managers({"global_interrupt_enabled": False}, any_store)
        sessions = await create(manager, 3)
        await later(clock)
        assert await manager.interrupt_all_sessions() == 0
        assert flags(sessions) == {False}
        assert (await manager.statistics())["active"] == 3
        assert manager.get_session_statistics()["global_interrupt_flag"] is False

    async def test_what_begins_after_it_is_not_born_interrupted(self, managers: Managers, sqlite_url: str) -> None:
        manager = await managers({"max_concurrent_sessions": 2_000, "cleanup_batch_size": 10}, sqlite_url, clock=None)
        before = await asyncio.gather(*(manager.create_session() for _ in range(500)))
        interrupting = asyncio.create_task(manager.interrupt_all_sessions())
        await asyncio.sleep(0)
        after: list[LiveSession] = []
        while not interrupting.done():
            after.append(await manager.create_session())
        assert interrupting.result() == 500
        assert after
        assert flags(before) == {True}
        assert flags(after) == {False}

    async def test_creates_under_way_agree_with_the_store(self, managers: Managers, sqlite_url: str) -> None:
        config = {"max_concurrent_sessions": 5_000}
        one, other = await managers(config, sqlite_url, clock=None), await managers(config, sqlite_url, clock=None)
        made: list[LiveSession] = []

        async def creating() -> None:
            made.extend([await one.create_session() for _ in range(10)])

        async def interrupting() -> int:
            number = 0
            while len(made) < 200:
                number += await other.interrupt_all_sessions()
            return number

        *_, ended = await asyncio.gather(*(creating() for _ in range(20)), interrupting())
        assert len(made) == 200
        await until(lambda: sum(session["interrupt_flag"] for session in made) == ended)
        for session in made:
            assert session["interrupt_flag"] == (await told(one, session) != ("active", None))

    async def test_a_store_that_fails_leaves_the_flags(
        self, managers: Managers, faulty: FaultyStore, clock: ManualClock
    ) -> None:
        manager = await managers(store=faulty)
        sessions = await create(manager, 3)
        await later(clock)
        faulty.down = True
        with pytest.raises(StoreUnavailable):
            await manager.interrupt_all_sessions()
        assert flags(sessions) == {True}
        faulty.down = False
        assert await manager.interrupt_all_sessions("again") == 3
        assert {await told(manager, session) for session in sessions} == {("interrupted", "again")}

    async def test_lost_answers_lose_no_count(
        self, managers: Managers, faulty: FaultyStore, clock: ManualClock
    ) -> None:
        manager = await managers({"cleanup_batch_size": 2}, faulty)
        await create(manager, 7)
        await later(clock)
        faulty.fail(Fault.LOST, Fault.NONE, Fault.LOST, Fault.LOST)
        assert await manager.interrupt_all_sessions() == 7

    async def test_a_reason_that_cannot_be_kept_flags_nobody(
        self, any_manager: SessionManager, clock: ManualClock
    ) -> None:
        sessions = await create(any_manager, 2)
        await later(clock)
        with pytest.raises(InvalidInput, match="reason"):
            await any_manager.interrupt_all_sessions("x" * 1_000)
        assert flags(sessions) == {False}


class TestReason:
    """The first reason stays."""

    @pytest.mark.requirement("M69")
    @pytest.mark.parametrize("second", ["completed", "another", "user_request"])
    async def test_a_later_one_does_not_write_over_it(self, any_manager: SessionManager, second: str) -> None:
        session = await any_manager.create_session()
        assert await any_manager.interrupt_session(session["session_id"], "user_request") is True
        assert await any_manager.interrupt_session(session["session_id"], second) is False
        assert await told(any_manager, session) == ("interrupted", "user_request")
        assert (session["status"], session["interrupt_reason"]) == ("interrupted", "user_request")
        assert any_manager.get_session_statistics()["interrupted_sessions"] == 1
        assert any_manager.get_session_statistics()["completed_sessions"] == 0

    @pytest.mark.requirement("M81")
    async def test_the_work_s_own_finally_completes(self, any_manager: SessionManager) -> None:
        session = await any_manager.create_session()
        try:
            assert not session["interrupt_flag"]
        finally:
            assert await any_manager.interrupt_session(session["session_id"], "completed")
        assert await told(any_manager, session) == ("completed", "completed")
        statistics = any_manager.get_session_statistics()
        assert (statistics["completed_sessions"], statistics["interrupted_sessions"]) == (1, 0)
        assert (await any_manager.statistics())["completed"] == 1

    @pytest.mark.requirement("M81")
    async def test_so_does_a_finally_inside_of_running(self, any_manager: SessionManager) -> None:
        session = await any_manager.create_session()
        async with any_manager.running(session):
            try:
                await asyncio.sleep(0)
            finally:
                assert await any_manager.interrupt_session(session["session_id"], "completed")
            went_on = True
        assert went_on
        assert await told(any_manager, session) == ("completed", "completed")

    @pytest.mark.requirement("M69", "M81")
    async def test_after_an_interrupt_the_finally_changes_nothing(self, any_manager: SessionManager) -> None:
        session = await any_manager.create_session()

        async def work() -> None:
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                assert await any_manager.interrupt_session(session["session_id"], "completed") is False

        working = asyncio.create_task(work())
        await settle()
        assert await any_manager.interrupt_session(session["session_id"], "stop button")
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
        assert await told(any_manager, session) == ("interrupted", "stop button")

    @pytest.mark.requirement("M69")
    async def test_of_many_at_once_exactly_one_wins(self, any_manager: SessionManager) -> None:
        session = await any_manager.create_session()
        won = await asyncio.gather(
            *(any_manager.interrupt_session(session["session_id"], f"reason {place}") for place in range(20))
        )
        assert sum(won) == 1
        assert await told(any_manager, session) == ("interrupted", f"reason {won.index(True)}")
        assert any_manager.get_session_statistics()["interrupted_sessions"] == 1


class TestCleanup:
    """The end of a manager is the end of what it runs."""

    @pytest.mark.requirement("M70")
    @pytest.mark.parametrize("durable", [False, True])
    async def test_turns_every_flag(self, managers: Managers, any_store: str | None, durable: bool) -> None:
        manager = await managers(None, any_store, durable=durable)
        sessions = await create(manager, 5)
        assert await manager.cleanup()
        assert flags(sessions) == {True}

    @pytest.mark.requirement("M70")
    async def test_a_finally_after_it_does_not_raise(self, any_manager: SessionManager) -> None:
        session = await any_manager.create_session()
        began = asyncio.Event()

        async def stream() -> str:
            try:
                while not session["interrupt_flag"]:
                    began.set()
                    await asyncio.sleep(0)
                return "stopped"
            finally:
                assert any_manager.is_initialized is False
                assert await any_manager.interrupt_session(session["session_id"], "completed") is False
                assert await any_manager.get_session_status(session["session_id"]) is None
                assert await any_manager.touch_session(session["session_id"]) is False

        streaming = asyncio.create_task(stream())
        await began.wait()
        assert await any_manager.cleanup()
        async with asyncio.timeout(10):
            assert await streaming == "stopped"
        assert session["status"] == "interrupted"

    @pytest.mark.requirement("M70")
    @pytest.mark.parametrize("durable", [False, True])
    async def test_creates_under_way_are_refused_or_flagged(
        self, managers: Managers, any_store: str | None, durable: bool
    ) -> None:
        manager = await managers(None, any_store, durable=durable)
        creating = [asyncio.create_task(manager.create_session()) for _ in range(20)]
        await asyncio.sleep(0)
        assert await manager.cleanup()
        async with asyncio.timeout(10):
            made = await asyncio.gather(*creating, return_exceptions=True)
        assert flags([one for one in made if isinstance(one, LiveSession)]) <= {True}

    @pytest.mark.requirement("M70")
    async def test_work_under_running_ends_with_it(self, any_manager: SessionManager) -> None:
        session = await any_manager.create_session()
        began = asyncio.Event()

        async def work() -> None:
            async with any_manager.running(session):
                began.set()
                await asyncio.get_running_loop().create_future()

        working = asyncio.create_task(work())
        await began.wait()
        assert await any_manager.cleanup()
        async with asyncio.timeout(10):
            (how,) = await asyncio.gather(working, return_exceptions=True)
        assert type(how).__name__ == "Interrupted"

    @pytest.mark.requirement("M70")
    async def test_a_store_that_is_down_does_not_keep_it(self, managers: Managers, faulty: FaultyStore) -> None:
        manager = await managers(store=faulty)
        sessions = await create(manager, 3)
        faulty.down = True
        assert await manager.cleanup()
        assert flags(sessions) == {True}
        faulty.down = False


class TestStoreFails:
    """An interrupt is recorded, or it says that it was not."""

    async def test_one_that_did_not_reach_the_store(self, managers: Managers, faulty: FaultyStore) -> None:
        manager = await managers(store=faulty)
        session = await manager.create_session()
        faulty.fail(Fault.BEFORE)
        with pytest.raises(StoreUnavailable):
            await manager.interrupt_session(session["session_id"])
        assert not session["interrupt_flag"]
        assert await manager.interrupt_session(session["session_id"], "again")
        assert await told(manager, session) == ("interrupted", "again")

    async def test_one_whose_answer_was_lost_has_won(self, managers: Managers, faulty: FaultyStore) -> None:
        manager = await managers(store=faulty)
        session = await manager.create_session()
        faulty.fail(Fault.LOST)
        assert await manager.interrupt_session(session["session_id"], "stop button") is True
        assert session["interrupt_flag"]

    @pytest.mark.requirement("M20")
    async def test_a_store_that_does_not_answer_bounds_the_call(self, managers: Managers, faulty: FaultyStore) -> None:
        manager = await managers({"interrupt_timeout": 0.05}, faulty)
        session = await manager.create_session()
        faulty.hold()
        async with asyncio.timeout(5):
            with pytest.raises(OutcomeUnknown):
                await manager.interrupt_session(session["session_id"])
        faulty.release()

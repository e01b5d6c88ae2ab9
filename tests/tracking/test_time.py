"""When sessions expire, what keeps them alive, and how long what ended can be read."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence

import pytest

from insession.kernel.operations import Answer, Counted, Ends, Operation
from insession.stores.memory import MemoryStore
from insession.testing.clock import ManualClock, settle
from insession.testing.faulty import FaultyStore
from insession.tracking import LiveSession, SessionManager
from insession.tracking.life import touch_window

from .conftest import Managers
from .waiting import until

TIMEOUT = 100.0
"""The timeout of these tests; the touch window is 5 s then, and no session ends later than both together."""
SHORT = {"session_timeout": TIMEOUT, "session_heartbeat_interval": 10, "session_cleanup_interval": 50}


@pytest.fixture
async def short(managers: Managers, any_store: str | None) -> SessionManager:
    # Durable: hours that pass at once are no sign of a process that died.
    manager = await managers(SHORT, any_store, durable=True)
    await settle()
    return manager


async def status(manager: SessionManager, session: LiveSession, caller: str | None = None) -> str:
    """Its status, as the server itself or a caller reads it; nothing where it is unknown."""
    return str((await manager.get_session_status(session["session_id"], caller) or {}).get("status"))


async def ends(manager: SessionManager) -> int:
    """How many ended sessions the store has."""
    return Counter(await manager.statistics()).total() - (await manager.statistics())["active"]


class TestExpiry:
    """A session without activity."""

    @pytest.mark.requirement("M28", "M30")
    async def test_expires_after_the_timeout_and_not_before(self, short: SessionManager, clock: ManualClock) -> None:
        session = await short.create_session()
        await clock.advance(TIMEOUT - 0.001)
        assert await status(short, session) == "active"
        await clock.advance(touch_window(SHORT | {"session_timeout": TIMEOUT}) + 0.002)
        assert await status(short, session) == "expired"
        await until(lambda: short.get_session_statistics()["expired_sessions"] == 1)
        assert short.get_session_statistics()["active_sessions"] == 0
        assert session.state == "expired"

    @pytest.mark.requirement("M28", "M77")
    async def test_readers_see_it_at_once(self, short: SessionManager, clock: ManualClock) -> None:
        session = await short.create_session()
        clock.set(clock.now() + TIMEOUT + 5.0)  # no alarm rings: nobody has swept
        assert await status(short, session) == "expired"
        assert await short.sessions() == []
        assert await short.touch_session(session["session_id"]) is False
        assert await short.interrupt_session(session["session_id"]) is False
        assert await status(short, session) == "expired"

    @pytest.mark.requirement("M29", "M76")
    async def test_expires_while_the_heartbeat_runs(self, short: SessionManager, clock: ManualClock) -> None:
        session = await short.create_session()
        for _ in range(11):
            await clock.advance(10.0)
        assert await status(short, session) == "expired"

    @pytest.mark.requirement("M77")
    async def test_is_in_the_history_an_interval_later(self, short: SessionManager, clock: ManualClock) -> None:
        await short.create_session()
        await clock.advance(TIMEOUT + 5.0 + SHORT["session_cleanup_interval"])
        await until(lambda: short.get_session_statistics()["session_history_count"] == 1)
        assert await short.statistics() == {"active": 0, "expired": 1, "interrupted": 0, "completed": 0}

    @pytest.mark.requirement("M77")
    async def test_so_is_one_that_another_process_left_behind(
        self, managers: Managers, sqlite_url: str, clock: ManualClock
    ) -> None:
        config = {"session_timeout": 20, "session_cleanup_interval": 10}
        one, other = [await managers(config, sqlite_url, durable=True) for _ in range(2)]
        for _ in range(20):
            await other.statistics()  # it has looked by now, and knows of nothing that will be due
        await one.create_session()
        await one.cleanup()
        for _ in range(31):  # 20 s, the window and an interval: step by step, so that the file keeps up
            await clock.advance(1.0)
            await other.statistics()

        async def expired() -> bool:
            return (await other.statistics())["expired"] == 1

        await until(expired)

    @pytest.mark.requirement("M28")
    async def test_the_poll_that_comes_too_late_revives_nothing(
        self, short: SessionManager, clock: ManualClock
    ) -> None:
        session = await short.create_session()
        clock.set(clock.now() + TIMEOUT + 5.0)
        assert session["interrupt_flag"] in {True, False}
        await until(lambda: session["interrupt_flag"])
        assert session["status"] == "expired"


class TestActivity:
    """What keeps a session alive."""

    @pytest.mark.requirement("M76")
    async def test_polling_the_flag(self, short: SessionManager, clock: ManualClock) -> None:
        polled, vanished = [await short.create_session() for _ in range(2)]
        for step in range(30):
            await clock.advance(10.0)
            assert not polled["interrupt_flag"]
            await until(lambda: polled.record.touched == clock.now(), 5.0)
            assert (step < 9) or vanished["interrupt_flag"] or step < 11
        assert await status(short, polled) == "active"
        assert await status(short, vanished) == "expired"

    @pytest.mark.requirement("M76")
    async def test_polling_in_a_thread(self, short: SessionManager, clock: ManualClock) -> None:
        session = await short.create_session()
        for _ in range(15):
            await clock.advance(10.0)
            assert not await asyncio.to_thread(lambda: session["interrupt_flag"])
            await until(lambda: session.record.touched == clock.now(), 5.0)
        assert await status(short, session) == "active"

    @pytest.mark.requirement("M76")
    async def test_touching(self, short: SessionManager, clock: ManualClock) -> None:
        session = await short.create_session()
        for _ in range(15):
            await clock.advance(10.0)
            assert await short.touch_session(session["session_id"])
        assert await status(short, session) == "active"

    @pytest.mark.requirement("M76")
    async def test_a_status_that_its_own_caller_reads(self, short: SessionManager, clock: ManualClock) -> None:
        session = await short.create_session(hardware_id="device of ann")
        for _ in range(15):
            await clock.advance(10.0)
            assert await status(short, session, "device of ann") == "active"
        assert await status(short, session) == "active"

    @pytest.mark.requirement("M76")
    async def test_not_a_status_that_the_server_reads(self, short: SessionManager, clock: ManualClock) -> None:
        session = await short.create_session(hardware_id="device of ann")
        for _ in range(11):
            await clock.advance(10.0)
            await status(short, session)
            assert short.session_tracker is not None
            str(dict(short.session_tracker.active_sessions))
        assert await status(short, session) == "expired"

    @pytest.mark.requirement("M76")
    async def test_not_a_status_that_another_reads(
        self, managers: Managers, any_store: str | None, clock: ManualClock
    ) -> None:
        manager = await managers(SHORT | {"validate_session_ownership": False}, any_store, durable=True)
        session = await manager.create_session(hardware_id="device of ann")
        for _ in range(11):
            await clock.advance(10.0)
            await status(manager, session, "device of bo")
        assert await status(manager, session) == "expired"

    @pytest.mark.requirement("M76")
    async def test_polling_writes_at_most_once_a_window(
        self, managers: Managers, faulty: FaultyStore, clock: ManualClock
    ) -> None:
        manager = await managers(SHORT, faulty, durable=True)
        session = await manager.create_session()
        await settle()
        before = faulty.operations.copy()
        for _ in range(1_000):  # 20 s, four windows
            await clock.advance(0.02, turns=3)
            assert not session["interrupt_flag"]
        await settle()
        written = Counter({one.__name__: number for one, number in (faulty.operations - before).items()})
        assert 1 <= written["Touch"] <= 4
        assert written.total() == written["Touch"]

    @pytest.mark.requirement("M76")
    async def test_polling_survives_a_store_that_fails(
        self, managers: Managers, faulty: FaultyStore, clock: ManualClock
    ) -> None:
        manager = await managers(SHORT, faulty, durable=True)
        session = await manager.create_session()
        faulty.down = True
        await clock.advance(6.0)
        assert not session["interrupt_flag"]
        await settle()
        faulty.down = False
        await clock.advance(6.0)
        assert not session["interrupt_flag"]
        await until(lambda: session.record.touched == clock.now(), 5.0)


class TestHistory:
    """How long what ended can be read."""

    @pytest.mark.requirement("M32", "M82")
    async def test_an_expired_one_is_expired_and_then_unknown(
        self, managers: Managers, any_store: str | None, clock: ManualClock, caplog: pytest.LogCaptureFixture
    ) -> None:
        manager = await managers(SHORT | {"session_data_retention": 1_000}, any_store, durable=True)
        await settle()
        session = await manager.create_session()
        await clock.advance(TIMEOUT + 6.0)
        assert await status(manager, session) == "expired"
        await clock.advance(900.0)
        assert await status(manager, session) == "expired"
        assert "Session not found" not in caplog.text
        await clock.advance(200.0)

        async def unknown() -> bool:
            await clock.advance(30.0)
            return await manager.get_session_status(session["session_id"]) is None

        await until(unknown)
        assert "Session not found" in caplog.text
        assert manager.get_session_statistics()["session_history_count"] == 0

    @pytest.mark.requirement("M31")
    async def test_never_holds_more_than_it_may(
        self, managers: Managers, any_store: str | None, clock: ManualClock
    ) -> None:
        config = SHORT | {"max_session_history": 5, "interrupt_cleanup_delay": 1}
        manager = await managers(config, any_store, durable=True)
        await settle()
        for place in range(40):
            session = await manager.create_session()
            await manager.interrupt_session(session["session_id"], ("completed", "stop")[place % 2])
            assert manager.get_session_statistics()["session_history_count"] <= 5
        await clock.advance(52.0)

        async def shortened() -> bool:
            return await ends(manager) == 5

        await until(shortened)
        assert manager.get_session_statistics()["session_history_count"] == 5

    @pytest.mark.requirement("M21", "M31")
    @pytest.mark.parametrize("others", ["interrupted", "completed"])
    async def test_an_interrupted_one_is_readable_where_the_history_is_shorter(
        self, managers: Managers, any_store: str | None, clock: ManualClock, others: str
    ) -> None:
        config = SHORT | {"max_session_history": 1, "interrupt_cleanup_delay": 60, "session_cleanup_interval": 20}
        manager = await managers(config, any_store, durable=True)
        await settle()
        session = await manager.create_session()
        assert await manager.interrupt_session(session["session_id"], "stop button")
        for _ in range(10):
            await clock.advance(0.5)
            other = await manager.create_session()
            await manager.interrupt_session(other["session_id"], others)
        for _ in range(5):
            await clock.advance(10.0, turns=60)
            await manager.statistics()
            assert await status(manager, session) == "interrupted"

        async def shortened() -> bool:
            await clock.advance(10.0)
            return await ends(manager) == 1

        await until(shortened)
        assert await status(manager, session) == "None"

    @pytest.mark.requirement("M21")
    async def test_goes_to_the_history_after_the_delay(
        self, managers: Managers, any_store: str | None, clock: ManualClock
    ) -> None:
        manager = await managers(SHORT | {"interrupt_cleanup_delay": 30}, any_store, durable=True)
        session = await manager.create_session()
        await manager.interrupt_session(session["session_id"])
        await clock.advance(29.0)
        assert manager.get_session_statistics()["session_history_count"] == 0
        assert await status(manager, session) == "interrupted"
        await clock.advance(2.0)
        assert manager.get_session_statistics()["session_history_count"] == 1
        assert await status(manager, session) == "interrupted"

    @pytest.mark.requirement("M21")
    async def test_is_readable_for_the_delay_where_retention_is_shorter(
        self, managers: Managers, any_store: str | None, clock: ManualClock
    ) -> None:
        config = SHORT | {"interrupt_cleanup_delay": 200, "session_data_retention": 10}
        manager = await managers(config, any_store, durable=True)
        await settle()
        session = await manager.create_session()
        await manager.interrupt_session(session["session_id"])
        await clock.advance(190.0)
        assert await status(manager, session) == "interrupted"


class _Counting(MemoryStore):
    """Counts how many sessions each turn of the loop ends or removes."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock=clock)
        self.turn = 0
        self.by_turn: Counter[int] = Counter()

    def apply_now(self, operation: Operation) -> Answer:
        return self._counted(super().apply_now(operation))

    async def apply(self, operations: Sequence[Operation]) -> Sequence[Answer]:
        return [self._counted(answer) for answer in await super().apply(operations)]

    def _counted(self, answer: Answer) -> Answer:
        if isinstance(answer, Ends):
            self.by_turn[self.turn] += len(answer.ids)
        elif isinstance(answer, Counted):
            self.by_turn[self.turn] += answer.number
        return answer

    async def count_turns(self) -> None:
        while True:
            self.turn += 1
            await asyncio.sleep(0)


@pytest.mark.requirement("M67")
class TestBatches:
    """Between two turns of the loop, a clean-up does at most a batch."""

    @pytest.fixture
    async def counting(self, clock: ManualClock) -> _Counting:
        return _Counting(clock)

    async def _filled(self, managers: Managers, counting: _Counting, number: int = 100) -> SessionManager:
        config = SHORT | {"cleanup_batch_size": 7, "max_session_history": 1, "interrupt_cleanup_delay": 1}
        manager = await managers(config, counting)
        await settle()
        for _ in range(number):
            await manager.create_session()
        return manager

    async def _most(self, counting: _Counting, doing: asyncio.Task[object]) -> int:
        counting.by_turn.clear()
        turns = asyncio.create_task(counting.count_turns())
        await doing
        turns.cancel()
        assert counting.by_turn.total() >= 99
        return max(counting.by_turn.values())

    async def test_of_what_expired(self, managers: Managers, counting: _Counting, clock: ManualClock) -> None:
        manager = await self._filled(managers, counting)
        doing = asyncio.ensure_future(clock.advance(TIMEOUT + 5.0, turns=60))
        assert await self._most(counting, doing) == 7
        assert (await manager.statistics())["expired"] == 100

    async def test_of_the_history(self, managers: Managers, counting: _Counting, clock: ManualClock) -> None:
        manager = await self._filled(managers, counting)
        await clock.advance(0.001)
        await manager.interrupt_all_sessions("completed")
        assert (await manager.statistics())["completed"] == 100
        doing = asyncio.ensure_future(clock.advance(SHORT["session_cleanup_interval"], turns=60))
        assert await self._most(counting, doing) == 7
        assert (await manager.statistics())["completed"] == 1

    async def test_of_what_still_runs_at_the_end(self, managers: Managers, counting: _Counting) -> None:
        manager = await self._filled(managers, counting)
        assert await self._most(counting, asyncio.ensure_future(manager.cleanup())) == 7


@pytest.mark.requirement("M71")
@pytest.mark.parametrize("step", [7_200.0, -7_200.0, 1e9])
async def test_a_stepped_wall_clock_expires_nothing(
    managers: Managers, any_store: str | None, monkeypatch: pytest.MonkeyPatch, step: float
) -> None:
    manager = await managers({"session_cleanup_interval": 0.01}, any_store, clock=None)
    session = await manager.create_session()
    stood = time.time
    monkeypatch.setattr(time, "time", lambda: stood() + step)
    others = [await managers(None, any_store, clock=None)] if any_store else []
    for reader in (manager, *others):
        assert await status(reader, session) == "active"
        assert await reader.touch_session(session["session_id"])
    assert not session["interrupt_flag"]
    later = await manager.create_session()
    assert abs(later["created_at"] - session["created_at"]) < 60.0
    assert manager.session_tracker is not None
    assert manager.session_tracker._engine is not None
    await manager.session_tracker._engine.purge()
    assert await status(manager, session) == "active"
    assert (await manager.statistics())["active"] == 2

"""Work under `running`: what an interrupt does to it, and what it can do to an interrupt."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

import anyio
import pytest

from insession.errors import Closed, Expired, Interrupted
from insession.kernel.events import EventType
from insession.testing.clock import ManualClock, settle
from insession.tracking import LiveSession, NotInitialized, SessionManager

from .conftest import Managers
from .waiting import until

Body = Callable[[], Awaitable[object]]


async def for_ever() -> None:
    await asyncio.get_running_loop().create_future()


async def started(manager: SessionManager, session: LiveSession | str, body: Body = for_ever) -> asyncio.Task[None]:
    """A task that works for a session; it has begun."""
    began = asyncio.Event()

    async def work() -> None:
        async with manager.running(session):
            began.set()
            await body()

    working = asyncio.create_task(work())
    await until(lambda: began.is_set() or working.done())
    return working


async def how(working: asyncio.Task[None]) -> BaseException | None:
    """How work ended."""
    async with asyncio.timeout(10):
        await asyncio.wait([working])
    return asyncio.CancelledError() if working.cancelled() else working.exception()


class Stubborn:
    """Work that does not let itself be cancelled, until it is let go."""

    def __init__(self) -> None:
        self.let_go = asyncio.Event()

    async def __call__(self) -> None:
        with anyio.CancelScope(shield=True):
            await self.let_go.wait()


@pytest.mark.requirement("M88")
class TestCancelled:
    """An interrupt cancels the work for its session."""

    async def test_a_block_that_waits(self, any_manager: SessionManager) -> None:
        session = await any_manager.create_session()
        working = await started(any_manager, session)
        assert await any_manager.interrupt_session(session["session_id"], "stop button") is True
        # The call waited for the work.
        assert working.done()
        error = await how(working)
        assert isinstance(error, Interrupted)
        assert error.reason == "stop button"

    async def test_only_that_of_its_session(self, any_manager: SessionManager) -> None:
        first, second = [await any_manager.create_session() for _ in range(2)]
        stopped, other = await started(any_manager, first), await started(any_manager, second)
        await any_manager.interrupt_session(first["session_id"])
        await how(stopped)
        assert not other.done()
        other.cancel()
        await how(other)

    async def test_every_piece_of_it(self, any_manager: SessionManager) -> None:
        session = await any_manager.create_session()
        pieces = [await started(any_manager, session) for _ in range(3)]
        await any_manager.interrupt_session(session["session_id"])
        assert {type(await how(piece)) for piece in pieces} == {Interrupted}

    async def test_by_an_interrupt_of_everything(self, any_manager: SessionManager, clock: ManualClock) -> None:
        sessions = [await any_manager.create_session() for _ in range(5)]
        pieces = [await started(any_manager, session) for session in sessions]
        clock.set(clock.now() + 0.001)
        assert await any_manager.interrupt_all_sessions("shutdown") == 5
        assert {type(await how(piece)) for piece in pieces} == {Interrupted}

    async def test_by_completion_from_elsewhere(self, any_manager: SessionManager) -> None:
        session = await any_manager.create_session()
        working = await started(any_manager, session)
        await any_manager.interrupt_session(session["session_id"], "completed")
        assert isinstance(await how(working), Closed)

    async def test_by_expiry(self, managers: Managers, any_store: str | None, clock: ManualClock) -> None:
        manager = await managers({"session_timeout": 10}, any_store, durable=True)
        session = await manager.create_session()
        working = await started(manager, session)
        await clock.advance(11.0)
        assert isinstance(await how(working), Expired)

    async def test_by_another_manager(self, managers: Managers, sqlite_url: str) -> None:
        one, other = await managers(store=sqlite_url), await managers(store=sqlite_url)
        session = await one.create_session()
        working = await started(one, session["session_id"])
        assert await other.interrupt_session(session["session_id"], "from outside")
        error = await how(working)
        assert isinstance(error, Interrupted)
        assert error.reason == "from outside"

    async def test_a_session_of_another_manager_by_its_id(self, managers: Managers, sqlite_url: str) -> None:
        one, other = await managers(store=sqlite_url), await managers(store=sqlite_url)
        session = await one.create_session()
        working = await started(other, session["session_id"])
        assert await one.interrupt_session(session["session_id"])
        assert isinstance(await how(working), Interrupted)

    async def test_polling_beside_it_goes_on_working(self, any_manager: SessionManager) -> None:
        session = await any_manager.create_session()

        async def poll() -> int:
            chunks = 0
            while not session["interrupt_flag"]:
                chunks += 1
                await asyncio.sleep(0)
            return chunks

        polling, working = asyncio.create_task(poll()), await started(any_manager, session)
        await any_manager.interrupt_session(session["session_id"])
        async with asyncio.timeout(10):
            assert await polling
        assert isinstance(await how(working), Interrupted)

    async def test_work_that_ends_by_itself_is_none_of_its_business(self, any_manager: SessionManager) -> None:
        session = await any_manager.create_session()
        async with any_manager.running(session) as handed:
            assert handed is session
        assert not session["interrupt_flag"]
        with pytest.raises(ZeroDivisionError):
            async with any_manager.running(session):
                raise ZeroDivisionError
        assert not session["interrupt_flag"]

    async def test_work_for_a_session_that_is_over_does_not_begin(self, any_manager: SessionManager) -> None:
        session = await any_manager.create_session()
        await any_manager.interrupt_session(session["session_id"], "stop button")
        for name in (session, session["session_id"]):
            with pytest.raises(Interrupted):
                async with any_manager.running(name):
                    pytest.fail("it began")
        assert (await any_manager.get_session_status(session["session_id"]) or {})["outcome"] is None

    async def test_nor_in_a_manager_that_does_not_run(self, any_manager: SessionManager) -> None:
        session = await any_manager.create_session()
        await any_manager.cleanup()
        with pytest.raises(NotInitialized):
            async with any_manager.running(session):
                pytest.fail("it began")


class TestFromWithin:
    """The work itself ends its session."""

    @pytest.mark.requirement("M88")
    async def test_the_task_that_interrupts_goes_on(self, any_manager: SessionManager) -> None:
        session = await any_manager.create_session()
        async with any_manager.running(session):
            assert await any_manager.interrupt_session(session["session_id"], "had enough") is True
            await asyncio.sleep(0)
            went_on = True
        assert went_on
        assert session["interrupt_reason"] == "had enough"

    @pytest.mark.requirement("M88")
    async def test_the_task_that_interrupts_everything_goes_on(
        self, any_manager: SessionManager, clock: ManualClock
    ) -> None:
        session, other = [await any_manager.create_session() for _ in range(2)]
        working = await started(any_manager, other)
        clock.set(clock.now() + 0.001)
        async with any_manager.running(session):
            assert await any_manager.interrupt_all_sessions() == 2
            await asyncio.sleep(0)
            went_on = True
        assert went_on
        assert isinstance(await how(working), Interrupted)

    @pytest.mark.requirement("M20")
    async def test_a_child_task_stops_with_its_parent(self, any_manager: SessionManager) -> None:
        session = await any_manager.create_session()

        async def body() -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(any_manager.interrupt_session(session["session_id"], "child"))
                group.create_task(for_ever())

        error = await how(await started(any_manager, session, body))
        assert isinstance(error, Interrupted)
        assert error.reason == "child"

    @pytest.mark.requirement("M20")
    async def test_two_that_end_each_other_do_not_wait_for_each_other(self, any_manager: SessionManager) -> None:
        session = await any_manager.create_session()

        both = asyncio.Event()

        async def body() -> None:
            await both.wait()
            await any_manager.interrupt_session(session["session_id"])
            await any_manager.interrupt_session(session["session_id"], "completed")

        pieces = [await started(any_manager, session, body) for _ in range(2)]
        both.set()
        ends = {type(await how(piece)) for piece in pieces}
        assert ends <= {type(None), Interrupted}

    @pytest.mark.requirement("M81")
    async def test_a_finally_that_completes_after_the_cancellation(self, any_manager: SessionManager) -> None:
        session = await any_manager.create_session()
        said: list[bool] = []

        async def body() -> None:
            try:
                await for_ever()
            finally:
                with anyio.CancelScope(shield=True):
                    said.append(await any_manager.interrupt_session(session["session_id"], "completed"))

        working = await started(any_manager, session, body)
        assert await any_manager.interrupt_session(session["session_id"], "stop button")
        assert isinstance(await how(working), Interrupted)
        assert said == [False]
        assert session["interrupt_reason"] == "stop button"


class TestAbandoned:
    """Work that goes on all the same."""

    @pytest.mark.requirement("M20", "M80")
    async def test_the_call_ends_in_time_and_says_true(
        self, managers: Managers, any_store: str | None, clock: ManualClock
    ) -> None:
        manager = await managers({"interrupt_timeout": 4}, any_store)
        session, stubborn = await manager.create_session(), Stubborn()
        working = await started(manager, session, stubborn)
        interrupting = asyncio.create_task(manager.interrupt_session(session["session_id"], "stop button"))
        await until(lambda: session["interrupt_flag"])
        await settle()
        await clock.advance(3.9)
        assert not interrupting.done()
        await clock.advance(0.2)
        async with asyncio.timeout(10):
            assert await interrupting is True
        assert not working.done()
        stubborn.let_go.set()
        await how(working)

    @pytest.mark.requirement("M80")
    async def test_is_named_in_status_log_and_event(
        self, managers: Managers, any_store: str | None, clock: ManualClock, caplog: pytest.LogCaptureFixture
    ) -> None:
        manager = await managers({"interrupt_timeout": 4}, any_store)
        session, stubborn = await manager.create_session(), Stubborn()
        session_id = session["session_id"]
        working = await started(manager, session, stubborn)
        interrupting = asyncio.create_task(manager.interrupt_session(session_id, "stop button"))
        await until(lambda: session["interrupt_flag"])
        await settle()
        with caplog.at_level(logging.WARNING):
            await clock.advance(4.1)
            await interrupting

        async def written() -> bool:
            return bool((await manager.get_session_status(session_id) or {})["outcome"] == "abandoned")

        await until(written)
        status = await manager.get_session_status(session_id)
        assert status is not None
        assert (status["status"], status["interrupt_reason"]) == ("interrupted", "stop button")
        assert any(session_id in record.getMessage() for record in caplog.records)
        assert any("abandoned" in record.getMessage() for record in caplog.records)
        assert manager.session_tracker is not None
        assert manager.session_tracker._engine is not None
        events = await manager.session_tracker._engine.history(session_id)
        assert (events[-1].type, events[-1].reason) == (EventType.STOPPED, "abandoned")
        stubborn.let_go.set()
        await how(working)

    @pytest.mark.requirement("M80")
    async def test_work_that_stops_in_time_is_not(self, any_manager: SessionManager) -> None:
        session = await any_manager.create_session()
        working = await started(any_manager, session)
        await any_manager.interrupt_session(session["session_id"])
        await how(working)

        async def written() -> bool:
            return bool((await any_manager.get_session_status(session["session_id"]) or {})["outcome"] == "cancelled")

        await until(written)

    @pytest.mark.requirement("M20")
    async def test_all_of_it_together_takes_no_longer(self, managers: Managers, clock: ManualClock) -> None:
        manager = await managers({"interrupt_timeout": 4})
        session, stubborn = await manager.create_session(), Stubborn()
        pieces = [await started(manager, session, stubborn) for _ in range(5)]
        interrupting = asyncio.create_task(manager.interrupt_session(session["session_id"]))
        await settle()
        await clock.advance(4.1)
        assert interrupting.done()
        stubborn.let_go.set()
        for piece in pieces:
            await how(piece)

    @pytest.mark.requirement("M20")
    async def test_another_manager_does_not_wait_for_it(self, managers: Managers, sqlite_url: str) -> None:
        one, other = await managers(store=sqlite_url), await managers(store=sqlite_url)
        session, stubborn = await one.create_session(), Stubborn()
        working = await started(one, session, stubborn)
        async with asyncio.timeout(10):
            assert await other.interrupt_session(session["session_id"]) is True
        await until(lambda: session["interrupt_flag"])
        stubborn.let_go.set()
        await how(working)

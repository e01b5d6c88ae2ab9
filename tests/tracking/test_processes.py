"""Two processes on one file count, limit, interrupt and inherit each other's sessions."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from insession.kernel.clock import Clock
from insession.tracking import ForeignSession, LiveSession, SessionManager, TooManySessions
from tests.processes.kinds import clock_ahead
from tests.programs import insession

from .waiting import until
from .worker import Tracker

pytestmark = pytest.mark.processes


def here(url: str, most: int = 100, clock: Clock | None = None, *, durable: bool = False) -> SessionManager:
    """A manager of this process on the same file."""
    return SessionManager({"max_concurrent_sessions": most}, url, clock=clock, durable=durable)


async def ids(worker: Tracker) -> list[str]:
    """The sessions that a worker opened."""
    return [line[1] for line in await worker.until("ready")]


async def test_sessions_of_both_are_counted_and_read(sqlite_url: str) -> None:
    async with Tracker("poll", sqlite_url, 3) as worker, here(sqlite_url) as manager:
        theirs = await ids(worker)
        own = await manager.create_session()
        assert (await manager.statistics())["active"] == 4
        assert {session["session_id"] for session in await manager.sessions()} == {*theirs, own["session_id"]}
        assert (await manager.get_session_status(theirs[2]) or {})["context"] == {"place": 2}
        assert manager.get_session_statistics()["active_sessions"] == 1


@pytest.mark.requirement("M23")
async def test_the_limit_is_one_for_both(sqlite_url: str) -> None:
    async with Tracker("poll", sqlite_url, 3, 4) as worker, here(sqlite_url, 4) as manager:
        theirs = await ids(worker)
        await manager.create_session()
        with pytest.raises(TooManySessions):
            await manager.create_session()
        assert await manager.interrupt_session(theirs[0])
        assert (await manager.create_session())["status"] == "active"


@pytest.mark.requirement("M25")
async def test_exactly_the_limit_succeeds_in_both_together(sqlite_url: str) -> None:
    async with AsyncExitStack() as stack:
        crowd = [await stack.enter_async_context(Tracker("crowd", sqlite_url, 17, 100)) for _ in range(2)]
        for worker in crowd:
            await worker.until("ready")
        for worker in crowd:
            await worker.say("go")
        made = [int((await worker.line())[1]) for worker in crowd]
        assert sum(made) == 17


@pytest.mark.requirement("M14")
async def test_a_polled_flag_turns_when_another_process_interrupts(sqlite_url: str) -> None:
    async with Tracker("poll", sqlite_url, 5) as worker, here(sqlite_url) as manager:
        for session_id in await ids(worker):
            assert await manager.interrupt_session(session_id, "stop")
            assert await worker.line() == ["flagged", session_id, "interrupted", "stop"]


@pytest.mark.requirement("M15", "M17")
async def test_an_interrupt_of_everything_reaches_both(sqlite_url: str) -> None:
    async with Tracker("poll", sqlite_url, 5) as worker, here(sqlite_url) as manager:
        theirs = await ids(worker)
        own = await manager.create_session()
        assert await manager.interrupt_all_sessions("shutdown") == 6
        assert own["interrupt_flag"]
        flagged = [await worker.line() for _ in theirs]
        assert {line[1] for line in flagged} == {*theirs}
        assert {(line[0], line[3]) for line in flagged} == {("flagged", "shutdown")}


@pytest.mark.requirement("M88")
async def test_work_of_another_process_is_cancelled(sqlite_url: str) -> None:
    async with Tracker("work", sqlite_url, 3) as worker, here(sqlite_url) as manager:
        session_ids = await ids(worker)
        await worker.until("working")
        assert await manager.interrupt_session(session_ids[0], "stop")
        assert await worker.line() == ["stopped", session_ids[0], "Interrupted", "stop"]
        assert await manager.interrupt_all_sessions("shutdown") == 2
        stopped = [await worker.line() for _ in range(2)]
        assert {(line[1], line[3]) for line in stopped} == {(one, "shutdown") for one in session_ids[1:]}

        async def outcomes() -> bool:
            found = [await manager.get_session_status(session_id) for session_id in session_ids]
            return {(one or {})["outcome"] for one in found} == {"cancelled"}

        await until(outcomes)


async def test_a_killed_process_s_sessions_end_and_free_their_places(sqlite_url: str) -> None:
    async with Tracker("poll", sqlite_url, 3, 3) as worker:
        session_ids = await ids(worker)
        worker.kill()
        await worker.end()
    # The clock shows what it will be when the process is taken for dead.
    async with here(sqlite_url, 3, clock_ahead(16.0)) as manager:

        async def over() -> bool:
            return (await manager.statistics())["interrupted"] == 3

        await until(over)
        for session_id in session_ids:
            status = await manager.get_session_status(session_id)
            assert status is not None
            assert (status["status"], status["interrupt_reason"]) == ("interrupted", "node_lost")
        for _ in range(3):
            await manager.create_session()


async def test_a_process_that_ends_in_good_order_takes_its_sessions_along(sqlite_url: str) -> None:
    async with Tracker("poll", sqlite_url, 1) as worker, here(sqlite_url) as manager:
        (session_id,) = await ids(worker)
        assert await manager.interrupt_session(session_id)
        await worker.line()
        await worker.say("leave")
        assert await worker.end() == 0
        assert (await manager.statistics())["active"] == 0


async def _taken_over(manager: SessionManager, session_id: str, hardware_id: str) -> LiveSession:
    assert manager.session_tracker is not None
    async for session in manager.session_tracker.process({"session_id": session_id, "hardware_id": hardware_id}):
        return session
    raise AssertionError("it gave nothing")


@pytest.mark.requirement("M42")
@pytest.mark.parametrize("kill", [True, False])
async def test_durable_sessions_are_taken_over_by_their_own_hardware_id(sqlite_url: str, kill: bool) -> None:
    if kill:
        async with Tracker("poll", sqlite_url, 1, 100, "durable") as worker:
            (session_id,) = await ids(worker)
            worker.kill()
            await worker.end()
    else:
        async with here(sqlite_url, durable=True) as before:
            session_id = (await before.create_session(hardware_id="device 0", context={"place": 0}))["session_id"]
    async with here(sqlite_url, clock=clock_ahead(16.0), durable=True) as manager:
        with pytest.raises(ForeignSession):
            await _taken_over(manager, session_id, "device 1")
        session = await _taken_over(manager, session_id, "device 0")
        assert (session["status"], session["context"], session["hardware_id"]) == ("active", {"place": 0}, "device 0")
        assert manager.get_session_statistics()["active_sessions"] == 1
        assert await manager.interrupt_session(session_id, "stop")
        assert session["interrupt_flag"]


async def test_who_took_over_hears_of_an_interrupt_elsewhere(sqlite_url: str) -> None:
    async with Tracker("poll", sqlite_url, 1, 100, "durable") as worker, here(sqlite_url, durable=True) as manager:
        (session_id,) = await ids(worker)
        session = await _taken_over(manager, session_id, "device 0")
        done = await asyncio.to_thread(_command(sqlite_url), "interrupt", session_id)
        assert done.startswith(f"{session_id} interrupted: interrupted")
        await until(lambda: session["interrupt_flag"])
        assert (await worker.line())[:2] == ["flagged", session_id]


def _command(url: str) -> Callable[..., str]:
    """The command line on the same store; what it wrote."""
    folder = Path(url.removeprefix("sqlite:///")).parent

    def run(*arguments: str) -> str:
        done = insession(*arguments, "--store", url, cwd=folder)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    return run


@pytest.mark.requirement("M92")
async def test_the_command_line_sees_and_ends_tracked_sessions(sqlite_url: str) -> None:
    command = _command(sqlite_url)
    async with Tracker("poll", sqlite_url, 3) as worker:
        session_ids = await ids(worker)
        listed = await asyncio.to_thread(command, "ls", "--json")
        found = [one for one in map(json.loads, listed.splitlines()) if one["kind"] == "device"]
        assert {one["id"] for one in found} == {*session_ids}
        assert "device 0" not in listed
        await asyncio.to_thread(command, "interrupt", session_ids[0], "--reason", "enough")
        assert await worker.line() == ["flagged", session_ids[0], "interrupted", "enough"]
        await asyncio.to_thread(command, "interrupt", "--all", "--kind", "device", "--reason", "shutdown")
        flagged = [await worker.line() for _ in range(2)]
        assert {(line[1], line[3]) for line in flagged} == {(one, "shutdown") for one in session_ids[1:]}

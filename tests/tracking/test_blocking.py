"""The manager for threads."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from anyio.from_thread import BlockingPortal

from insession import CalledFromEventLoop, ConfigurationError, Interrupted, PortalClosed
from insession.tracking import (
    BlockingSessionManager,
    ForeignSession,
    LiveSession,
    NotInitialized,
    SessionManager,
    TooManySessions,
    UnknownSession,
)
from insession.tracking.logs import NAME
from tests.blocking.parity import differences, signature
from tests.programs import run

PATIENCE = 30.0


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, sqlite_url: str) -> str:
    return "memory:" if request.param == "memory" else sqlite_url


@pytest.fixture
def manager(store: str) -> Iterator[BlockingSessionManager]:
    with BlockingSessionManager({"max_concurrent_sessions": 5}, store) as manager:
        yield manager


def portals() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "insession-portal"]


def test_the_same_verbs() -> None:
    more = {"hardware_id_provider", "is_initialized", "session_tracker"}  # attributes of the asynchronous one
    assert differences(SessionManager, BlockingSessionManager, more=more) == []


def test_made_from_the_same() -> None:
    theirs, ours = (signature(one.__init__)[0] for one in (SessionManager, BlockingSessionManager))
    assert ours[:-1] == theirs
    assert ours[-1][0] == "portal"


def test_a_session_from_its_beginning_to_its_end(manager: BlockingSessionManager) -> None:
    live = manager.create_session("player/1.0", context={"lang": "en"}, hardware_id="ann's")
    assert isinstance(live, LiveSession)
    assert (live["status"], live["context"], live["interrupt_flag"]) == ("active", {"lang": "en"}, False)
    status = manager.get_session_status(live.id, "ann's")
    assert status is not None
    assert status["user_agent"] == "player/1.0"
    with pytest.raises(ForeignSession):
        manager.get_session_status(live.id, "bob's")
    assert manager.touch_session(live.id)
    assert not manager.wait_ended(live, 0.0)
    assert manager.statistics()["active"] == 1
    assert [session["session_id"] for session in manager.sessions()] == [live.id]
    assert manager.interrupt_session(live.id, "enough")
    assert not manager.interrupt_session(live.id, "again")
    assert manager.wait_ended(live)
    assert (live["interrupt_flag"], live["interrupt_reason"]) == (True, "enough")
    assert manager.interrupt_all_sessions() == 0
    assert manager.get_session_statistics()["interrupted_sessions"] == 1
    assert manager.get_metrics()["session_tracker"]["total_requests"] == 1
    manager.reset_metrics()
    assert manager.get_metrics()["session_tracker"]["total_requests"] == 0
    assert manager.get_session_status("0" * 32) is None


def test_the_limit_holds_between_threads(manager: BlockingSessionManager) -> None:
    created, refused = list[str](), list[TooManySessions]()

    def create() -> None:
        try:
            created.append(manager.create_session().id)
        except TooManySessions as error:
            refused.append(error)

    threads = [threading.Thread(target=create) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert (len(created), len(refused)) == (5, 7)
    tracker = manager.session_tracker
    assert tracker is not None
    assert set(tracker.active_sessions) == set(created)


def test_what_it_is_and_says(manager: BlockingSessionManager) -> None:
    assert manager.is_initialized
    assert repr(manager) == "<BlockingSessionManager initialized>"
    assert manager.get_status()["is_initialized"]
    assert manager.get_summary()["config_valid"]
    assert manager.get_security_settings()["require_hardware_id"]
    assert manager.get_performance_settings()["max_concurrent_sessions"] == 5
    assert manager.get_tracking_settings()["tracking_enabled"]
    assert manager.get_hardware_id() == manager.get_hardware_id()
    assert manager.hardware_id_provider is not None
    assert manager.hardware_id_provider.is_available


def test_work_that_polls_the_flag_elsewhere(manager: BlockingSessionManager) -> None:
    live, stopped = manager.create_session(), threading.Event()

    def stream() -> None:
        while not live["interrupt_flag"]:
            stopped.wait(0.001)
        stopped.set()

    thread = threading.Thread(target=stream)
    thread.start()
    assert manager.interrupt_session(live.id)
    assert stopped.wait(PATIENCE)
    thread.join()


def test_a_block_of_work(manager: BlockingSessionManager) -> None:
    live, inside, raised = manager.create_session(), threading.Event(), list[str]()

    def work() -> None:
        try:
            with manager.running(live.id) as same:
                assert same is live
                inside.set()
                manager.wait_ended(live)
        except Interrupted as error:
            raised.append(str(error.reason))

    thread = threading.Thread(target=work)
    thread.start()
    assert inside.wait(PATIENCE)
    assert manager.interrupt_session(live.id, "enough")  # waits until the block has ended
    status = manager.get_session_status(live.id)
    thread.join(PATIENCE)
    assert raised == ["enough"]
    assert status is not None
    with pytest.raises(Interrupted), manager.running(live):
        pytest.fail("it began")
    with pytest.raises(UnknownSession), manager.running("0" * 32):
        pytest.fail("it began")


def test_who_ends_the_own_session_goes_on_and_is_not_waited_for(manager: BlockingSessionManager) -> None:
    live = manager.create_session()
    with manager.running(live):
        assert manager.interrupt_session(live.id, "completed")
        assert manager.wait_ended(live, PATIENCE)
    assert live["status"] == "completed"


def test_a_block_for_a_session_of_another_manager(sqlite_url: str) -> None:
    with BlockingSessionManager(store=sqlite_url) as here, BlockingSessionManager(store=sqlite_url) as there:
        live = there.create_session()
        with pytest.raises(Interrupted, match="enough"), here.running(live.id) as same:
            assert same is not live
            assert not same["interrupt_flag"]
            assert there.interrupt_session(live.id, "enough")
            while not same["interrupt_flag"]:
                time.sleep(0.001)
            assert (same["status"], same["interrupt_reason"]) == ("interrupted", "enough")


def test_cleaning_up_tells_blocks_why_they_end(manager: BlockingSessionManager) -> None:
    live, inside, raised = manager.create_session(), threading.Event(), list[str]()

    def work() -> None:
        try:
            with manager.running(live):
                inside.set()
                while live["status"] == "active":  # flagged first, then ended
                    time.sleep(0.001)
        except Interrupted as error:
            raised.append(str(error.reason))

    thread = threading.Thread(target=work)
    thread.start()
    assert inside.wait(PATIENCE)
    assert manager.cleanup()
    thread.join(PATIENCE)
    assert raised == ["cleanup"]
    assert portals() == []


def test_before_and_after_it_runs(caplog: pytest.LogCaptureFixture) -> None:
    manager = BlockingSessionManager()
    for _ in range(2):
        with pytest.raises(NotInitialized):
            manager.create_session()
        with pytest.raises(NotInitialized):
            manager.running("0" * 32)
        caplog.clear()
        with caplog.at_level(logging.WARNING, NAME):
            assert manager.get_session_status("0" * 32) is None
            assert manager.get_session_statistics()["active_sessions"] == 0
        assert caplog.text.count("SessionManager not initialized") == 2
        assert repr(manager) == "<BlockingSessionManager not initialized>"
        assert portals() == []
        assert manager.initialize()
        assert manager.initialize()
        assert manager.create_session()["status"] == "active"
        assert len(portals()) == 1
        assert manager.cleanup()
        assert manager.cleanup()


def test_a_configuration_that_cannot_work() -> None:
    manager = BlockingSessionManager({"session_timeout": 0})
    assert not manager.initialize()
    assert (portals(), manager.is_initialized) == ([], False)
    with pytest.raises(ConfigurationError, match="session_timeout"):
        manager.__enter__()
    manager.update_config({"session_timeout": 60})
    with manager:
        assert manager.get_performance_settings()["session_timeout"] == 60
    manager.config = {"session_timeout": 70}
    assert manager.config["session_timeout"] == 70


async def test_beside_a_loop(store: str) -> None:
    manager = BlockingSessionManager(store=store)
    with pytest.raises(CalledFromEventLoop):
        manager.initialize()
    async with BlockingPortal() as portal:
        bound = BlockingSessionManager(store=store, portal=portal)
        with pytest.raises(NotInitialized):
            await asyncio.to_thread(bound.create_session)
        assert await asyncio.to_thread(bound.initialize)
        live = await asyncio.to_thread(bound.create_session)
        assert portals() == []
        with pytest.raises(CalledFromEventLoop):
            bound.interrupt_session(live.id)
        assert await asyncio.to_thread(bound.interrupt_session, live.id)
    assert not bound.is_initialized
    with pytest.raises(PortalClosed):
        await asyncio.to_thread(bound.initialize)


@pytest.mark.processes
def test_a_fork_and_an_exit_without_cleaning_up(tmp_path: Path) -> None:
    program = """
import os, signal, insession
from insession.tracking import BlockingSessionManager
manager = BlockingSessionManager(store="sqlite:///sessions.db", durable=True)
assert manager.initialize()
live = manager.create_session()
pid = os.fork()
if pid == 0:
    signal.alarm(20)
    for call in (manager.create_session, manager.initialize, manager.cleanup, manager.get_status):
        try:
            call()
        except insession.CalledAfterFork:
            print("refused", flush=True)
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
print(manager.get_session_status(live.id)["status"])
"""
    fork = "ignore:.*fork:DeprecationWarning"
    done = run(sys.executable, "-W", "error", "-W", fork, "-c", program, cwd=tmp_path, environ=dict(os.environ))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["refused"] * 4 + ["active"]
    assert not (tmp_path / "sessions.db-wal").exists()

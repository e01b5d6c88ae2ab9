"""The guide's own gRPC sample on a real server, interrupted by a task, a process and the command line."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from insession.errors import Interrupted
from insession.integrations.grpc import SessionInterceptor
from insession.tracking import LiveSession, SessionManager
from tests.programs import ROOT, insession, started
from tests.tracking.waiting import until

from .audio import SERVICE, audio
from .serving import LIMIT, Managers, method, served


def only(manager: SessionManager) -> LiveSession:
    """The one session that lives here."""
    assert manager.session_tracker is not None
    session: LiveSession
    (session,) = manager.session_tracker.active_sessions.values()
    return session


async def rest(stream: Any) -> None:
    """Read a stream to its end."""
    async with asyncio.timeout(LIMIT):
        while await stream.read() is not grpc.aio.EOF:
            pass


def listen(there: Any, text: bytes = b"speech") -> Any:
    return there.call("unary_stream", "StreamAudio", SERVICE)(text, timeout=LIMIT)


@pytest.mark.requirement("M81", "M90")
async def test_the_sample_runs_to_its_end_on_a_real_server(manager: SessionManager) -> None:
    async with audio(manager, chunks=5) as (there, _):
        stream = listen(there)
        assert await stream.read() == b"speech"
        session = only(manager)
        assert [await stream.read() for _ in range(4)] == [b"speech"] * 4
        await rest(stream)
        assert await stream.code() is grpc.StatusCode.OK
        assert (session["status"], session["interrupt_reason"]) == ("completed", "completed")


@pytest.mark.requirement("M90")
async def test_the_sample_runs_on_a_real_server_and_another_task_interrupts_it(manager: SessionManager) -> None:
    async with audio(manager) as (there, _):
        stream = listen(there)
        assert await stream.read() == b"speech"
        session = only(manager)
        assert session["user_agent"].startswith("grpc-python-asyncio/")
        assert session["context"] == {"request_type": "audio_stream"}
        await asyncio.create_task(manager.interrupt_session(session.id, "user_request"))
        await rest(stream)
        assert await stream.code() is grpc.StatusCode.OK
        # The sample's own "completed" comes second, and the first reason stays.
        assert (session["status"], session["interrupt_reason"]) == ("interrupted", "user_request")


@pytest.mark.requirement("M59")
async def test_one_of_two_streams_is_interrupted(manager: SessionManager) -> None:
    async with audio(manager) as (there, _):
        first = listen(there, b"first")
        assert await first.read() == b"first"
        session = only(manager)
        second = listen(there, b"second")
        assert await second.read() == b"second"
        assert await manager.interrupt_session(session.id)
        await rest(first)
        assert await first.code() is grpc.StatusCode.OK
        for _ in range(10):
            assert await second.read() == b"second"
        assert only(manager) is not session
        second.cancel()


@pytest.mark.requirement("M60")
async def test_a_client_that_cancels_ends_the_samples_session(manager: SessionManager) -> None:
    async with audio(manager) as (there, _):
        stream = listen(there)
        assert await stream.read() == b"speech"
        stream.cancel()
        await until(lambda: not manager.get_session_statistics()["active_sessions"])


@pytest.mark.requirement("M61")
async def test_the_shutdown_sample_counts_and_ends_all_streams(manager: SessionManager) -> None:
    async with audio(manager) as (there, program):
        streams = [listen(there) for _ in range(3)]
        for stream in streams:
            assert await stream.read() == b"speech"
        await program.shutdown()
        assert program.said == ["Interrupted 3 sessions during shutdown"]
        for stream in streams:
            await rest(stream)
            assert await stream.code() is grpc.StatusCode.OK


@pytest.mark.requirement("M88")
async def test_work_under_running_is_cancelled_and_a_poll_goes_on_working(manager: SessionManager) -> None:
    """Handlers that make sessions themselves may do either."""

    async def work(request: bytes, context: Any) -> None:
        session = await manager.create_session(context.user_agent, context.peer())
        try:
            # Not as a generator: the cancellation would come to whoever consumes it.
            async with manager.running(session):
                await context.write(b"working")
                await asyncio.get_running_loop().create_future()
        except Interrupted as error:
            await context.write(str(error.reason).encode())

    async def poll(request: bytes, context: Any) -> AsyncIterator[bytes]:
        session = await manager.create_session(context.user_agent, context.peer())
        yield b"polling"
        await until(lambda: session["interrupt_flag"])
        yield b"stop"

    methods = {"Work": method("unary_stream", work), "Poll": method("unary_stream", poll)}
    async with served(SessionInterceptor(manager, own_sessions=True), **methods) as there:
        calls = [there.call("unary_stream", name)(b"", timeout=LIMIT) for name in methods]
        assert [await call.read() for call in calls] == [b"working", b"polling"]
        assert await manager.interrupt_all_sessions("stop") == 2
        assert [await call.read() for call in calls] == [b"stop", b"stop"]
        for call in calls:
            await rest(call)


@pytest.mark.processes
class TestFromOutside:
    """The stream runs in a process of its own, which prints its session's id and how it ended."""

    async def _interrupted(self, folder: Path, how: Any) -> str:
        url = f"sqlite:///{folder / 'sessions.db'}"
        environ = {
            "INSESSION_STORE": url,
            "INSESSION_STATE_DIR": str(folder / "state"),
            "PYTHONPATH": str(ROOT),
            "GRPC_VERBOSITY": "ERROR",
        }
        program = (sys.executable, "-W", "error", "-m", "tests.integrations.audio")
        with started(*program, cwd=folder, environ=environ) as process:
            await how(url, process.said.strip())
            assert process.popen.stdout is not None
            ended = await asyncio.to_thread(process.popen.stdout.readline)
            assert process.stop() == (0, "")
        return ended.strip()

    @pytest.mark.requirement("M90", "M92")
    async def test_another_process_interrupts_it(self, tmp_path: Path, managers: Managers) -> None:
        async def interrupt(url: str, session_id: str) -> None:
            manager = await managers(store=url)
            assert await manager.interrupt_session(session_id, "elsewhere")

        ended = await self._interrupted(tmp_path, interrupt)
        assert ended == "True StatusCode.OK interrupted elsewhere"

    @pytest.mark.requirement("M90", "M92")
    async def test_the_command_interrupts_it(self, tmp_path: Path) -> None:
        async def interrupt(url: str, session_id: str) -> None:
            arguments = ("interrupt", session_id, "--store", url, "--reason", "enough")
            done = await asyncio.to_thread(insession, *arguments, cwd=tmp_path)
            assert done.returncode == 0
            # And how it stopped, where that is known by then.
            assert done.stdout.startswith(f"{session_id} interrupted: enough")

        assert await self._interrupted(tmp_path, interrupt) == "True StatusCode.OK interrupted enough"

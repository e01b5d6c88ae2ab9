"""The guide's samples for a gRPC server, on a stand-in for its context; a real server's is another test."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest

from .sampled import Samples


@pytest.fixture
async def server(samples: Samples) -> AsyncIterator[SimpleNamespace]:
    """A server as the samples make it: speech of five chunks, each when it is asked for."""
    server = SimpleNamespace(speak=asyncio.Semaphore(0))
    await samples.run("grpc_server", self=server)
    assert (server.active_sessions, server.global_interrupt_flag) == ({}, False)

    async def process_audio(text: str) -> AsyncIterator[str]:
        for number in range(5):
            await server.speak.acquire()
            yield f"{text} {number}"

    server.process_audio = process_audio
    server.stream = (await samples.run("grpc_stream"))["StreamAudio"]
    server.shutdown = (await samples.run("shutdown"))["shutdown"]
    yield server
    await server.session_manager.cleanup()


def call(server: Any, text: str) -> AsyncIterator[str]:
    context = SimpleNamespace(user_agent="grpc-python-asyncio/1.0", peer=lambda: "ipv4:127.0.0.1:4321")
    stream: AsyncIterator[str] = server.stream(server, SimpleNamespace(text=text), context)
    return stream


def only(server: Any) -> str:
    """The id of the one session that lives."""
    (session_id,) = server.session_manager.session_tracker.active_sessions
    return str(session_id)


@pytest.mark.requirement("M58", "M81")
async def test_a_stream_runs_to_its_end(server: Any) -> None:
    stream = call(server, "hello")
    server.speak.release()
    first = await anext(stream)
    session_id = only(server)
    status = await server.session_manager.get_session_status(session_id)
    assert status["context"] == {"request_type": "audio_stream"}
    assert status["user_agent"] == "grpc-python-asyncio/1.0"
    for _ in range(4):
        server.speak.release()
    assert [first] + [chunk async for chunk in stream] == [f"hello {number}" for number in range(5)]
    status = await server.session_manager.get_session_status(session_id)
    assert status["status"] == "completed"
    statistics = server.session_manager.get_session_statistics()
    assert (statistics["active_sessions"], statistics["interrupted_sessions"]) == (0, 0)


@pytest.mark.requirement("M13", "M14", "M69")
async def test_one_is_interrupted(server: Any) -> None:
    first, second = call(server, "first"), call(server, "second")
    server.speak.release()
    assert await anext(first) == "first 0"
    session_id = only(server)
    server.speak.release()
    assert await anext(second) == "second 0"
    await server.session_manager.interrupt_session(session_id, "user_request")
    for _ in range(5):
        server.speak.release()
    assert [chunk async for chunk in first] == []
    assert [chunk async for chunk in second] == [f"second {number}" for number in range(1, 5)]
    status = await server.session_manager.get_session_status(session_id)
    assert (status["status"], status["interrupt_reason"]) == ("interrupted", "user_request")


@pytest.mark.requirement("M15", "M70")
async def test_a_shutdown(server: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "program")
    streams = [call(server, "one"), call(server, "two")]
    for stream in streams:
        server.speak.release()
        await anext(stream)
    await server.shutdown(server)
    assert "Interrupted 2 sessions during shutdown" in caplog.text
    assert not server.session_manager.is_initialized
    for stream in streams:
        server.speak.release()
        assert [chunk async for chunk in stream] == []

"""An interrupt in one process stops the work of another one."""

from __future__ import annotations

import pytest

import insession
from insession import Outcome

from .running import Worker


async def stop_work_elsewhere(url: str, sessions: int) -> None:
    """Half of the sessions are interrupted one by one, the rest all at once."""
    async with insession.connect(url) as engine, Worker("work", url, sessions) as worker:
        ids = [line[1] for line in await worker.until("ready")]
        assert len(ids) == sessions
        first, rest = ids[: sessions // 2], ids[sessions // 2 :]
        for session_id in first:
            assert await engine.interrupt(session_id, "one by one", wait=10.0)
            assert await worker.line() == ["stopped", session_id, "Interrupted", "one", "by", "one"]
            assert (await engine.get(session_id)).stopped == Outcome.CANCELLED
        assert await engine.interrupt_all("shutdown", kind="worked") == len(rest)
        stopped = [await worker.line() for _ in rest]
        assert {line[1] for line in stopped} == set(rest)
        assert {tuple(line[2:]) for line in stopped} == {("Interrupted", "shutdown")}
        await worker.say("leave")
        assert await worker.end() == 0
        for session_id in rest:
            assert (await engine.get(session_id)).stopped == Outcome.CANCELLED


@pytest.mark.processes
async def test_work_in_another_process_is_cancelled(url: str) -> None:
    await stop_work_elsewhere(url, 40)

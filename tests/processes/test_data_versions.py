"""Old and new programs, in processes of their own, change the same sessions: no session and no change is lost."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

import insession

from . import kinds
from .running import workers

SESSIONS, EACH = 60, 150


async def roll_out(url: str, sessions: int, each: int) -> str:
    """Two processes with the old type and two with the new one append to the same sessions."""
    async with insession.connect(url, kinds=[kinds.CHAT["new"]]) as engine:
        async with insession.connect(url, kinds=[kinds.CHAT["old"]]) as old:
            ids = [(await old.open(kind="chat", data=kinds.Chat(""))).id for _ in range(sessions)]
        for session_id in ids[: sessions // 4]:  # these the old programs meet as newer, however fast they are
            await engine.update(session_id, lambda chat: chat)
        async with workers(2, "append", url, "old", each) as olds, workers(2, "append", url, "new", each) as news:
            for worker in [*olds, *news]:
                await worker.say(" ".join(ids))
            said = await asyncio.gather(*(worker.rest() for worker in [*olds, *news]))
        words = Counter(word for lines in said for word, _ in lines)
        appended = Counter(session_id for lines in said for word, session_id in lines if word == "appended")
        assert words["appended"] + words["newer"] == 4 * each
        assert words["newer"]
        for session_id in ids:
            session = await engine.get(session_id)
            assert (session.state, sum(map(len, session.data.lines))) == ("active", appended[session_id])
    return f"{words['appended']:,} changes of {sessions} sessions, {words['newer']:,} refused as newer"


@pytest.mark.processes
async def test_nothing_is_lost_between_old_and_new(server_url: str) -> None:
    await roll_out(server_url, SESSIONS, EACH)

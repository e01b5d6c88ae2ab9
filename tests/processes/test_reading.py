"""A reader with a cursor misses nothing, whoever writes, and however much is trimmed behind it."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

import insession
from insession import CursorTrimmed, Event
from insession.kernel.operations import Purge

from .checking import check_positions
from .running import DEADLINE, Worker, workers

PROCESSES = 2
RETENTION = 86400.0
"""So many seconds every store keeps an event."""


class _Reader:
    """Reads from the beginning with a cursor, and trims the log behind itself."""

    def __init__(self, engine: insession.Engine) -> None:
        self._engine = engine
        self.events: list[Event] = []
        self.trimmed = 0
        self.first = ""
        """The first cursor that it had."""

    async def read(self, number: int) -> None:
        """Read so many events; every 1,000 it forgets its stream and goes on from its cursor, as after a reconnect."""
        cursor: str | None = insession.START
        while len(self.events) < number:
            stream = self._engine.events(after=cursor)
            async for event in stream:
                self.events.append(event)
                self.first = self.first or str(stream.cursor)
                if len(self.events) % 1_000 == 0 or len(self.events) == number:
                    break
            cursor = stream.cursor
            await self._trim(self.events[-1])

    async def _trim(self, event: Event) -> None:
        """What is older than an event that was read goes."""
        more = True
        while more:
            counted = await self._engine._ask(Purge(event.time + RETENTION))
            self.trimmed += counted.number
            more = counted.more


async def _ids(writer: Worker) -> list[str]:
    return [line[1] for line in await writer.until("done")]


async def read_while_others_write(url: str, callers: int, each: int, *, processes: int = PROCESSES) -> None:
    """Processes write, with so many callers each; one reads, with a cursor."""
    async with (
        insession.connect(url) as engine,
        workers(processes, "write", url, callers, each) as writers,
    ):
        await asyncio.gather(*(writer.until("ready") for writer in writers))
        reader = _Reader(engine)
        number = processes * callers * each * 2
        async with asyncio.timeout(2 * DEADLINE), asyncio.TaskGroup() as group:
            group.create_task(reader.read(number))
            saying = [group.create_task(_ids(writer)) for writer in writers]
            for writer in writers:
                await writer.say("go")
        written = [session_id for said in saying for session_id in said.result()]
        check_positions(reader.events)
        seen = Counter((event.id, str(event.type)) for event in reader.events)
        assert seen == Counter((session_id, kind) for session_id in written for kind in ("opened", "closed"))
        assert reader.trimmed > 0
        await _check_trimmed(engine, reader)


async def _check_trimmed(engine: insession.Engine, reader: _Reader) -> None:
    """A cursor whose events are gone says so, and where to go on."""
    with pytest.raises(CursorTrimmed) as caught:
        await anext(engine.events(after=reader.first))
    last = await engine.open(kind="written")
    stream = engine.events(after=caught.value.cursor)
    async with asyncio.timeout(DEADLINE):
        async for event in stream:
            if event.id == last.id:
                break


@pytest.mark.processes
async def test_a_reader_misses_nothing(one_log_url: str) -> None:
    await read_while_others_write(one_log_url, callers=100, each=10)

"""The line comes back, however it was lost, and not where nobody wants it to."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from insession.exchange.connection import Target, Websocket
from insession.testing.platform import Counters, Drop, PlatformDouble

from .sessions import HEARTBEAT, platform

PATIENCE = 30.0


class Watched:
    """A connection whose lines are counted."""

    def __init__(self, double: PlatformDouble, **options: Any) -> None:
        self.happened: list[tuple[str, Any]] = []
        self.news = asyncio.Event()
        self.connection = Websocket(
            Target(host=double.url, token="t", **({"first_retry": 0.05, "longest_retry": 0.2} | options))
        )
        for event in ("connect", "disconnect", "retry"):
            self.connection.on(event, functools.partial(self.note, event))

    def note(self, event: str, *said: object) -> None:
        self.happened.append((event, said))
        self.news.set()

    def count(self, event: str) -> int:
        return sum(one == event for one, _ in self.happened)

    async def until(self, event: str, count: int) -> None:
        async with asyncio.timeout(PATIENCE):
            while self.count(event) < count:
                self.news.clear()
                await self.news.wait()


def connections(number: int, counters: Counters) -> bool:
    return counters.connections >= number


@asynccontextmanager
async def watched(double: PlatformDouble, **options: Any) -> AsyncIterator[Watched]:
    made = Watched(double, **options)
    try:
        await made.connection.connect()
        yield made
    finally:
        await made.connection.disconnect()


@pytest.mark.parametrize("way", ["transport", "disconnect", "restart", "half-open", "close"])
async def test_the_line_comes_back(way: Drop) -> None:
    async with platform(**HEARTBEAT if way == "half-open" else {}) as double, watched(double) as line:
        await line.until("connect", 1)
        # A half-open line takes its time to be noticed: once is enough there.
        numbers = (2,) if way == "half-open" else (2, 3)
        for number in numbers:
            await asyncio.to_thread(double.drop, way)
            await line.until("connect", number)
            await asyncio.to_thread(double.wait_until, functools.partial(connections, number))
            assert line.connection.is_connected()
        assert line.count("disconnect") == len(numbers)
        happened = [event for event, _ in line.happened if event != "retry"]
        assert happened == ["connect", "disconnect"] * len(numbers) + ["connect"]


async def test_a_half_open_line_is_noticed_by_a_ping_of_the_websocket_where_the_servers_own_come_rarely() -> None:
    async with (
        platform(ping_interval=3600, ping_timeout=3600) as double,
        watched(double, heartbeat=0.2) as line,
    ):
        await line.until("connect", 1)
        began = time.monotonic()
        await asyncio.to_thread(double.drop, "half-open")
        await line.until("connect", 2)
        assert time.monotonic() - began < PATIENCE


async def test_a_line_that_nobody_wants_back_stays_gone() -> None:
    async with platform() as double, watched(double) as line:
        await line.until("connect", 1)
        line.connection.halt()
        await asyncio.to_thread(double.drop, "transport")
        await line.until("disconnect", 1)
        keeper = line.connection._keeper
        assert keeper is not None
        async with asyncio.timeout(PATIENCE):
            await asyncio.wait({keeper})
        assert line.count("retry") == 0
        assert not line.connection.is_connected()
        assert double.counters().connections == 1


async def test_closing_while_the_line_is_down_ends_the_attempts() -> None:
    async with platform() as double:
        async with watched(double) as line:
            await line.until("connect", 1)
            await asyncio.to_thread(double.stop)
            await line.until("retry", 2)
        assert line.connection._keeper is not None
        assert line.connection._keeper.done()
        double.start()


async def test_a_server_that_is_away_for_long_is_tried_again_and_again() -> None:
    async with platform(downtime=1.0) as double, watched(double) as line:
        await line.until("connect", 1)
        await asyncio.to_thread(double.drop, "restart")
        await line.until("connect", 2)
        delays = [said[1] for event, said in line.happened if event == "retry"]
        assert len(delays) >= 3
        assert max(delays) <= 0.2

"""What happens at a file's deadline."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

import insession
from insession.exchange.answering import Policy
from insession.exchange.contracts import What
from insession.exchange.epicrisis import Epicrisis
from insession.exchange.holding import exchange_kind
from insession.testing import ManualClock

from . import solving
from .desks import Counting, received, serving


class TestDeadlines:
    async def manual(self) -> tuple[ManualClock, insession.Engine]:
        clock = ManualClock()
        return clock, insession.connect("memory:", kinds=[exchange_kind()], clock=clock)

    async def test_a_fallback_stands_in_a_little_before_the_deadline(self, tmp_path: Path) -> None:
        clock, engine = await self.manual()
        solution = Counting()
        policy = Policy(concurrency=1, fallback="fallback", margin=2.0)
        async with engine, serving(tmp_path, solution, store=engine, policy=policy) as (desk, line):
            await desk.take_in(received("working", timeout=60.0))
            await desk.take_in(received("waiting", timeout=61.0))
            await line.told(What.SAVED, 2)
            await clock.advance(57.9)
            assert line.sent == []
            await clock.advance(0.2)
            await line.told(What.ACKNOWLEDGED, 1)
            solution.go.set()
            await line.told(What.ACKNOWLEDGED, 2)
        assert line.answers() == {"working": ["fallback"], "waiting": ["answer to waiting"]}

    async def test_one_that_waits_for_its_turn_too_long_gets_it_too(self, tmp_path: Path) -> None:
        clock, engine = await self.manual()
        policy = Policy(concurrency=1, fallback="fallback")
        async with engine, serving(tmp_path, Counting(), store=engine, policy=policy) as (desk, line):
            await desk.take_in(received("working"))
            await line.told(What.SOLVING)
            await desk.take_in(received("late", timeout=10.0))
            await desk.take_in(received("later", timeout=20.0))
            await clock.advance(9.5)
            await line.told(What.ACKNOWLEDGED, 1)
            await clock.advance(10.0)
            await line.told(What.ACKNOWLEDGED, 2)
        assert line.answers() == {"late": ["fallback"], "later": ["fallback"]}

    async def test_without_a_fallback_it_has_failed_at_the_deadline(self, tmp_path: Path) -> None:
        clock, engine = await self.manual()
        seconds: list[float | None] = []

        async def solve(epicrisis: Epicrisis, timeout: float | None) -> str:
            seconds.append(timeout)
            await asyncio.Event().wait()
            return ""

        async with engine, serving(tmp_path, solve, store=engine, file_timeout=30.0) as (desk, line):
            await desk.take_in(received("f", at=clock.now() - 5.0))
            await line.told(What.SOLVING)
            await clock.advance(24.9)
            assert line.of(What.FAILED) == []
            await clock.advance(0.2)
            (failed,) = await line.told(What.FAILED)
        assert failed.message == "its solution was not ready in time"
        assert seconds == [pytest.approx(25.0)]

    async def test_the_time_of_the_policy_counts_where_the_platform_gives_none(self, tmp_path: Path) -> None:
        clock, engine = await self.manual()
        policy = Policy(timeout=10.0)
        async with engine, serving(tmp_path, Counting(), store=engine, policy=policy) as (desk, line):
            await desk.take_in(received("f"))
            await line.told(What.SOLVING)
            await clock.advance(10.1)
            await line.told(What.FAILED)

    async def test_one_that_swallows_its_cancellation_is_left_behind(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr("insession.exchange.answering.GRACE", 0.01)
        clock, engine = await self.manual()
        release = asyncio.Event()

        async def stubborn(epicrisis: Epicrisis) -> str:
            while not release.is_set():
                try:
                    await release.wait()
                except asyncio.CancelledError:
                    continue
            return "too late"

        policy = Policy(concurrency=1, fallback="fallback")
        async with engine, serving(tmp_path, stubborn, store=engine, policy=policy) as (desk, line):
            await desk.take_in(received("f", timeout=5.0))
            await line.told(What.SOLVING)
            await clock.advance(5.0)
            await line.told(What.ACKNOWLEDGED)
            release.set()
            await asyncio.sleep(0)
        assert line.answers() == {"f": ["fallback"]}
        assert "goes on though it was cancelled" in caplog.text

    @pytest.mark.processes
    async def test_one_that_blocks_a_processor_is_killed_and_the_next_is_solved(self, tmp_path: Path) -> None:
        policy = Policy(concurrency=1)
        async with serving(tmp_path, solving.burns_first, policy=policy, isolation="process") as (desk, line):
            await desk.take_in(received("first", timeout=1.0))
            await desk.take_in(received("second"))
            (failed,) = await line.told(What.FAILED)
            await line.told(What.ACKNOWLEDGED)
        assert failed.file_id == "first"
        assert line.answers() == {"second": ["second"]}

    async def test_one_that_hangs_in_a_thread_takes_no_place(self, tmp_path: Path) -> None:
        clock, engine = await self.manual()
        solutions: dict[str, Any] = {"hangs": solving.hangs, "works": lambda _: "works"}

        def solve(epicrisis: Epicrisis) -> str:
            return str(solutions[str(epicrisis.id)](epicrisis))

        policy = Policy(concurrency=1)
        async with engine, serving(tmp_path, solve, store=engine, policy=policy) as (desk, line):
            await desk.take_in(received("hangs", timeout=5.0))
            await line.told(What.SOLVING)
            await desk.take_in(received("works"))
            await clock.advance(5.1)
            await line.told(What.FAILED)
            await line.told(What.ACKNOWLEDGED)
        assert line.answers() == {"works": ["works"]}

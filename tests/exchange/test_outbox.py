"""Answers between the journal and the verdict, and how a desk stops."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from insession.errors import InvalidInput
from insession.exchange.answering import Policy
from insession.exchange.contracts import What
from insession.exchange.desk import Desk
from insession.exchange.epicrisis import Epicrisis
from insession.exchange.errors import (
    AnswerTooLarge,
    SessionServed,
)
from insession.exchange.journal import FileState
from insession.exchange.outcomes import Outcome

from .desks import SESSION, Counting, Line, echo, received, saved_in, serving


class TestLine:
    async def test_answers_wait_for_the_line_in_the_order_of_their_deadlines(self, tmp_path: Path) -> None:
        line = Line()
        line.up = False
        async with serving(tmp_path, echo, line=line) as (desk, _):
            for number, timeout in enumerate([300.0, 100.0, None, 200.0]):
                await desk.take_in(received(f"f{number}", timeout=timeout))
            await line.told(What.SOLVED, 4)
            assert line.sent == []
            line.up = True
            await line.again()
            await line.told(What.ACKNOWLEDGED, 4)
        assert [outgoing.file_id for outgoing in line.sent] == ["f1", "f3", "f0", "f2"]

    async def test_what_was_sent_into_a_dead_line_is_sent_again_with_equal_bytes(self, tmp_path: Path) -> None:
        line = Line(acknowledges=False)
        async with serving(tmp_path, lambda _: os.urandom(8).hex(), line=line) as (desk, _):
            await desk.take_in(received("f"))
            await line.until(lambda: len(line.sent) == 1)
            await line.again()
            await line.again()
            line.acknowledges = True
            await line.again()
            await line.told(What.ACKNOWLEDGED)
            await line.again()
        (answers,) = line.answers().values()
        assert len(answers) == 4
        assert len(set(answers)) == 1

    async def test_a_line_that_comes_back_while_an_answer_fails_to_leave(self, tmp_path: Path) -> None:
        """The new line asks for what is pending before the old one has said that it is gone."""
        line = Line()
        held, entered = asyncio.Event(), asyncio.Event()
        plain = line.send

        async def send(outgoing: Any) -> None:
            if not entered.is_set():
                entered.set()
                await held.wait()
                line.up = True
            await plain(outgoing)

        line.send = send  # type: ignore[method-assign]
        line.up = False
        async with serving(tmp_path, echo, line=line) as (desk, _):
            await desk.take_in(received("f"))
            await entered.wait()
            await line.again()
            assert line.sent == []
            held.set()
            await line.told(What.ACKNOWLEDGED)
        assert line.answers() == {"f": ["answer to f"]}

    @pytest.mark.requirement("R45")
    async def test_with_never_an_answer_that_may_have_left_is_unknown(self, tmp_path: Path) -> None:
        line = Line(acknowledges=False)
        async with serving(tmp_path, echo, line=line, resend="never") as (desk, _):
            await desk.take_in(received("left"))
            await line.until(lambda: len(line.sent) == 1)
            line.up = False
            await desk.take_in(received("stayed"))
            await line.told(What.SOLVED, 2)
            line.up = True
            await line.again()
            (unknown,) = await line.told(What.UNKNOWN)
            assert unknown.file_id == "left"
            await line.again()
            await line.told(What.UNKNOWN, 2)
            await desk.acknowledged("left")
            assert [event.file_id for event in line.of(What.ACKNOWLEDGED)] == ["left"]
        assert line.answers() == {"left": ["answer to left"], "stayed": ["answer to stayed"]}

    @pytest.mark.requirement("R34")
    async def test_a_refusal_is_told_with_its_reason(self, tmp_path: Path) -> None:
        async with serving(tmp_path, echo, line=Line(acknowledges=False)) as (desk, line):
            await desk.take_in(received("f"))
            await line.until(lambda: len(line.sent) == 1)
            await desk.refused("f", "task expired")
            (refused,) = line.of(What.REFUSED)
            assert (refused.file_id, refused.message) == ("f", "task expired")
            await desk.refused("f", "again")
            assert len(line.of(What.REPORTED)) == 1
            await line.again()
            assert len(line.sent) == 1

    @pytest.mark.requirement("R34")
    async def test_verdicts_on_what_waits_for_none_are_told_and_change_nothing(self, tmp_path: Path) -> None:
        solution = Counting()
        async with serving(tmp_path, solution) as (desk, line):
            await desk.acknowledged("unknown")
            await desk.refused("unknown", "no")
            await desk.take_in(received("f"))
            await desk.acknowledged("f")
            assert len(line.of(What.REPORTED)) == 3
            solution.go.set()
            await line.told(What.ACKNOWLEDGED)
            await desk.acknowledged("f")
            await desk.refused("f", "a repeat")
            assert len(line.of(What.REPORTED)) == 5
            assert len(line.of(What.ACKNOWLEDGED)) == 1
            assert line.of(What.REFUSED) == []

    async def test_an_answer_that_can_never_go_is_told_once(self, tmp_path: Path) -> None:
        line = Line()
        line.error = AnswerTooLarge(2_000_000, 1_000_000)
        async with serving(tmp_path, echo, line=line) as (desk, _):
            await desk.take_in(received("f"))
            (refused,) = await line.told(What.REFUSED)
            assert "2000000 bytes" in refused.message
            line.error = None
            await line.again()
            assert line.sent == []

    @pytest.mark.parametrize("size", [64 << 10, (64 << 10) + 1, 3 << 20])
    async def test_large_answers_arrive_whole_and_again(self, tmp_path: Path, size: int) -> None:
        async with serving(tmp_path, lambda _: "a" * size, line=Line(acknowledges=False)) as (desk, line):
            await desk.take_in(received("f"))
            await line.until(lambda: len(line.sent) == 1)
            await line.again()
        beside = list((tmp_path / "files" / "sessions" / str(SESSION)).glob("output/*"))
        assert line.answers() == {"f": ["a" * size] * 2}
        assert len(beside) == (size > 64 << 10)


class TestEnd:
    async def test_a_drained_desk_has_finished_what_was_in_hand(self, tmp_path: Path) -> None:
        async def slow(epicrisis: Epicrisis) -> str:
            await asyncio.sleep(0.02)
            return "done"

        async with serving(tmp_path, slow, policy=Policy(concurrency=2)) as (desk, line):
            for number in range(6):
                await desk.take_in(received(number))
            await desk.drain(30.0)
            assert len(line.of(What.ACKNOWLEDGED)) == 6

    async def test_what_does_not_finish_in_time_stays_journaled(self, tmp_path: Path) -> None:
        async with serving(tmp_path, Counting()) as (desk, line):
            await desk.take_in(received("f"))
            await line.told(What.SOLVING)
            loop = asyncio.get_running_loop()
            began = loop.time()
            await desk.drain(0.05)
            assert loop.time() - began < 10
            assert line.of(What.FAILED) == []
            await desk.take_in(received("g"))
            assert desk._served is not None
            assert await desk._served.held.journal.counts() == dict.fromkeys(FileState, 0) | {FileState.SAVED: 2}
        async with serving(tmp_path, echo) as (desk, line):
            await line.told(What.ACKNOWLEDGED, 2)
        assert line.answers() == {"f": ["answer to f"], "g": ["answer to g"]}

    async def test_a_solution_that_fails_while_the_desk_stops_is_asked_another_time(self, tmp_path: Path) -> None:
        solution = Counting()

        async def solve(epicrisis: Epicrisis) -> str:
            await solution(epicrisis)
            raise KeyboardInterruptOfAWorker

        async with serving(tmp_path, solve, policy=Policy(tries=1)) as (desk, line):
            await desk.take_in(received("f"))
            await line.told(What.SOLVING)
            draining = asyncio.create_task(desk.drain(10.0))
            await asyncio.sleep(0)
            solution.go.set()
            await draining
            assert line.of(What.FAILED) == []
        async with serving(tmp_path, echo) as (_, line):
            await line.told(What.ACKNOWLEDGED)

    async def test_only_save_saves_and_a_later_desk_answers(self, tmp_path: Path) -> None:
        async with serving(tmp_path, None, policy=Policy(only_save=True)) as (desk, line):
            for number in range(3):
                await desk.take_in(received(number, f"<{number}/>".encode()))
            assert [event.what for event in line.events] == [What.RECEIVED, What.SAVED] * 3
            assert desk._served is not None
            assert len(desk._served.cases) == 0
        assert sorted(saved_in(tmp_path).values()) == [b"<0/>", b"<1/>", b"<2/>"]
        async with serving(tmp_path, echo) as (desk, line):
            await line.told(What.ACKNOWLEDGED, 3)
        assert sorted(line.answers(), key=str) == [0, 1, 2]

    async def test_a_desk_serves_one_session_at_a_time(self, tmp_path: Path) -> None:
        async with serving(tmp_path, echo) as (desk, line):
            await desk.open(line.serving())  # a rejoin
            with pytest.raises(SessionServed):
                await desk.open(line.serving(SESSION + 1))
            await desk.close(Outcome.FINISH)
            await desk.open(line.serving(SESSION + 1))
            await desk.take_in(received("f", session_id=SESSION + 1))
            await line.told(What.ACKNOWLEDGED)

    @pytest.mark.parametrize("option", [{"concurrency": 0}, {"tries": 0}, {"margin": -1}, {"timeout": 0}])
    def test_a_policy_that_cannot_be_is_refused_by_its_field(self, option: dict[str, Any]) -> None:
        with pytest.raises(InvalidInput, match=next(iter(option))):
            Policy(**option)

    async def test_the_desk_needs_a_participant(self) -> None:
        with pytest.raises(InvalidInput, match="participant"):
            Desk("memory:", echo, participant="")


class KeyboardInterruptOfAWorker(Exception):
    pass

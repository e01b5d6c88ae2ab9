"""The work desk: what becomes of a file between its arrival and the platform's verdict."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import insession
from insession.errors import InvalidInput
from insession.exchange.answering import Policy
from insession.exchange.contracts import Received, What
from insession.exchange.desk import Desk
from insession.exchange.epicrisis import Epicrisis
from insession.exchange.errors import (
    AnswerTooLarge,
    DownloadFailed,
    DownloadTimedOut,
    SessionEssayNotCorrectError,
    SessionNotStarted,
    SessionServed,
    SolutionFailed,
)
from insession.exchange.files import SessionFiles
from insession.exchange.holding import exchange_kind
from insession.exchange.journal import FileState
from insession.exchange.outcomes import Outcome
from insession.exchange.solutions import Command, OutputFolder, SolutionFactory
from insession.testing import ManualClock

from . import solving
from .desks import SESSION, TOKEN, Line, received, serving

HOSTILE = ["../../../../evil", "", "/etc/passwd", "x" * 10_000, "a\0b", "~", "..", "é/"]


async def echo(epicrisis: Epicrisis) -> str:
    return f"answer to {epicrisis.id}"


class Counting:
    """A solution that waits until it is let go, and knows how many of it run at once."""

    def __init__(self) -> None:
        self.order: list[object] = []
        self.running = 0
        self.most = 0
        self.go = asyncio.Event()

    async def __call__(self, epicrisis: Epicrisis) -> str:
        self.order.append(epicrisis.id)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await self.go.wait()
        finally:
            self.running -= 1
        return f"answer to {epicrisis.id}"


def input_of(root: Path, name: str) -> Path:
    return SessionFiles(root, SESSION).received(name)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def saved_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*.xml")}


class TestOneFile:
    @pytest.mark.requirement("R18", "R20", "R24", "R25", "R26", "R27", "R29")
    async def test_it_is_saved_then_solved_then_sent_and_acknowledged(self, tmp_path: Path) -> None:
        content = '<файл id="1">\r\n\x00</файл>'.encode()
        seen: list[tuple[bytes, bytes, object]] = []

        async def solve(epicrisis: Epicrisis) -> dict[str, object]:
            on_disk = input_of(tmp_path, "f-1").read_bytes()
            seen.append((on_disk, epicrisis.content, epicrisis.session_id))
            return {"id": epicrisis.id}

        async with serving(tmp_path, solve) as (desk, line):
            await desk.take_in(received("f-1", content, raw={"fileId": "f-1"}))
            assert input_of(tmp_path, "f-1").read_bytes() == content
            await line.told(What.ACKNOWLEDGED)
            assert desk.pending() == []
        assert seen == [(content, content, SESSION)]
        assert [outgoing.answer.text for outgoing in line.sent] == [b'{"id":"f-1"}']
        assert (line.sent[0].file_id, line.sent[0].session_id, line.sent[0].raw) == ("f-1", SESSION, {"fileId": "f-1"})
        order = [event.what for event in line.events]
        assert order == [What.RECEIVED, What.SAVED, What.SOLVING, What.SOLVED, What.ACKNOWLEDGED]
        assert all(event.file_id == "f-1" and event.session_id == SESSION for event in line.events)

    @pytest.mark.requirement("R33")
    async def test_ids_keep_their_type(self, tmp_path: Path) -> None:
        async with serving(tmp_path, echo) as (desk, line):
            await desk.take_in(received(5))
            await desk.take_in(received("6"))
            await line.told(What.ACKNOWLEDGED, 2)
        assert {type(outgoing.file_id) for outgoing in line.sent if outgoing.file_id == 5} == {int}
        assert sorted(line.answers(), key=str) == [5, "6"]

    @pytest.mark.requirement("R37", "W12")
    async def test_hostile_ids_harm_nothing_and_are_answered_as_they_came(self, tmp_path: Path) -> None:
        root = tmp_path / "root"
        root.mkdir()
        async with serving(root, echo, session_id="../../up") as (desk, line):
            for file_id in HOSTILE:
                await desk.take_in(received(file_id, session_id="../../up"))
            await line.told(What.ACKNOWLEDGED, len(HOSTILE))
            held = desk._served
            assert held is not None
            entries = [entry async for entry in held.held.journal.entries()]
        assert sorted(entry.file_id for entry in entries) == sorted(HOSTILE)
        assert sorted(line.answers(), key=str) == sorted(HOSTILE)
        assert names_in(tmp_path) == ["root"]
        assert len(names_in(root / "files" / "sessions")) == 1
        assert len(saved_in(root)) == len(HOSTILE)

    @pytest.mark.parametrize(
        "strange",
        [{"file_id": "half \ud800"}, {"file_id": 1 << 70}, {"file_id": "f", "raw": {"a": "\ud800"}}],
        ids=["half a character", "a large number", "other fields"],
    )
    async def test_what_no_journal_keeps_is_told_and_harms_nothing(self, tmp_path: Path, strange: Any) -> None:
        async with serving(tmp_path, echo, store="memory:") as (desk, line):
            await desk.take_in(received(**strange))
            await desk.take_in(received("next"))
            await line.told(What.ACKNOWLEDGED)
            assert len(line.of(What.REPORTED)) == 1
        assert line.answers() == {"next": ["answer to next"]}

    @pytest.mark.requirement("R35")
    async def test_what_names_no_file_or_a_foreign_session_is_told_and_not_taken(self, tmp_path: Path) -> None:
        async with serving(tmp_path, echo) as (desk, line):
            await desk.take_in(received("f", session_id=SESSION + 1))
            await desk.take_in(received(1.5))  # type: ignore[arg-type]
            await desk.acknowledged(None)  # type: ignore[arg-type]
            await desk.refused([], "no")  # type: ignore[arg-type]
            assert len(line.of(What.REPORTED)) == 4
        assert saved_in(tmp_path) == {}

    @pytest.mark.requirement("W13")
    async def test_an_answer_goes_to_the_file_of_the_event_whatever_its_content_says(self, tmp_path: Path) -> None:
        async def solve(epicrisis: Epicrisis) -> str:
            return str(json.loads(epicrisis.content)["meta"]["id"])

        async with serving(tmp_path, solve) as (desk, line):
            await desk.take_in(received("event-1", b'{"meta": {"id": "event-2"}}'))
            await desk.take_in(received("event-2", b'{"meta": {"id": "../event-1"}}'))
            await line.told(What.ACKNOWLEDGED, 2)
        assert line.answers() == {"event-1": ["event-2"], "event-2": ["../event-1"]}
        assert sorted(saved_in(tmp_path)) == ["event-1.xml", "event-2.xml"]

    async def test_nothing_can_be_done_before_a_session_is_open(self, tmp_path: Path) -> None:
        async with Desk("memory:", echo, participant=TOKEN, root=tmp_path) as desk:
            for call in (desk.take_in(received("f")), desk.acknowledged("f"), desk.refused("f", "")):
                with pytest.raises(SessionNotStarted):
                    await call
            with pytest.raises(SessionNotStarted):
                desk.pending()
            await desk.drain(1.0)
            await desk.close(Outcome.FINISH)
            assert await desk.last() is None

    @pytest.mark.requirement("R28")
    async def test_the_solution_is_that_of_the_factory_if_none_is_given(self, tmp_path: Path) -> None:
        with SolutionFactory.set(solving.Documented):
            async with serving(tmp_path, None, store="memory:") as (desk, line):
                await desk.take_in(received("f"))
                await line.told(What.ACKNOWLEDGED)
        assert line.answers() == {"f": ['[{"code":"f","timeout":null}]']}


@pytest.mark.requirement("W14")
class TestRepeats:
    async def test_a_file_that_comes_again_is_solved_once(self, tmp_path: Path) -> None:
        solution = Counting()
        async with serving(tmp_path, solution) as (desk, line):
            await asyncio.gather(*(desk.take_in(received("f", b"first")) for _ in range(5)))
            await desk.take_in(received("f", b"other content"))
            solution.go.set()
            await line.told(What.ACKNOWLEDGED)
            await desk.take_in(received("f", b"other content"))
            assert len(line.of(What.REPEATED)) == 6
        assert solution.order == ["f"]
        assert line.answers() == {"f": ["answer to f"]}
        assert input_of(tmp_path, "f").read_bytes() == b"first"

    async def test_one_whose_answer_has_no_verdict_is_answered_again_with_equal_bytes(self, tmp_path: Path) -> None:
        async with serving(tmp_path, echo, line=Line(acknowledges=False)) as (desk, line):
            await desk.take_in(received("f"))
            await line.until(lambda: len(line.sent) == 1)
            await desk.take_in(received("f"))
        assert line.answers() == {"f": ["answer to f"] * 2}

    @pytest.mark.requirement("R45")
    async def test_not_if_nothing_is_to_be_sent_twice(self, tmp_path: Path) -> None:
        async with serving(tmp_path, echo, line=Line(acknowledges=False), resend="never") as (desk, line):
            await desk.take_in(received("f"))
            await line.until(lambda: len(line.sent) == 1)
            await desk.take_in(received("f"))
            assert len(line.sent) == 1

    async def test_a_number_and_its_digits_are_one_file(self, tmp_path: Path) -> None:
        async with serving(tmp_path, echo) as (desk, line):
            await desk.take_in(received(5))
            await desk.take_in(received("5"))
            await line.told(What.ACKNOWLEDGED)
        assert line.answers() == {5: ["answer to 5"]}

    async def test_one_that_failed_is_tried_anew(self, tmp_path: Path) -> None:
        broken = True

        async def solve(epicrisis: Epicrisis) -> str:
            if broken:
                raise ValueError
            return "better"

        async with serving(tmp_path, solve, policy=Policy(tries=1)) as (desk, line):
            await desk.take_in(received("f"))
            await line.told(What.FAILED)
            broken = False
            await desk.take_in(received("f"))
            await line.told(What.ACKNOWLEDGED)
        assert line.answers() == {"f": ["better"]}


@pytest.mark.requirement("W6", "W8")
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
            assert desk.pending() == []
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

    @pytest.mark.requirement("R34", "W7")
    async def test_a_refusal_is_told_with_its_reason(self, tmp_path: Path) -> None:
        async with serving(tmp_path, echo, line=Line(acknowledges=False)) as (desk, line):
            await desk.take_in(received("f"))
            await line.until(lambda: len(line.sent) == 1)
            await desk.refused("f", "task expired")
            (refused,) = line.of(What.REFUSED)
            assert (refused.file_id, refused.message) == ("f", "task expired")
            await desk.refused("f", "again")
            assert len(line.of(What.REPORTED)) == 1
            assert desk.pending() == []

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
            assert desk.pending() == []

    @pytest.mark.parametrize("size", [64 << 10, (64 << 10) + 1, 3 << 20])
    async def test_large_answers_arrive_whole_and_again(self, tmp_path: Path, size: int) -> None:
        async with serving(tmp_path, lambda _: "a" * size, line=Line(acknowledges=False)) as (desk, line):
            await desk.take_in(received("f"))
            await line.until(lambda: len(line.sent) == 1)
            await line.again()
        beside = list((tmp_path / "files" / "sessions" / str(SESSION)).glob("output/*"))
        assert line.answers() == {"f": ["a" * size] * 2}
        assert len(beside) == (size > 64 << 10)


class TestFailures:
    @pytest.mark.requirement("W11")
    async def test_a_solution_that_raises_is_a_failed_file_and_no_other(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def solve(epicrisis: Epicrisis) -> str:
            if epicrisis.id == "bad":
                raise ValueError(epicrisis.text)
            return "good"

        async with serving(tmp_path, solve, policy=Policy(tries=2, pause=0.0)) as (desk, line):
            await desk.take_in(received("bad", b"diagnosis"))
            await desk.take_in(received("good"))
            (failed,) = await line.told(What.FAILED)
            await line.told(What.ACKNOWLEDGED)
        assert (failed.file_id, failed.message) == ("bad", "its solution raised ValueError")
        assert line.answers() == {"good": ["good"]}
        text = "".join(record.getMessage() for record in caplog.records)
        assert "test_desk.py" in text
        assert "diagnosis" not in text

    async def test_it_is_asked_again_before_it_has_failed(self, tmp_path: Path) -> None:
        calls = Counter[object]()

        def solve(epicrisis: Epicrisis) -> str:
            calls[epicrisis.id] += 1
            if calls[epicrisis.id] < 3:
                raise OSError
            return "at last"

        async with serving(tmp_path, solve, policy=Policy(tries=3, pause=0.0)) as (desk, line):
            await desk.take_in(received("f"))
            await line.told(What.ACKNOWLEDGED)
        assert line.answers() == {"f": ["at last"]}

    @pytest.mark.parametrize("nothing", [None, "", object(), {1j}, "half \ud800", b"\xff"])
    async def test_what_is_no_answer_is_a_failure(self, tmp_path: Path, nothing: object) -> None:
        policy = Policy(tries=1)
        async with serving(tmp_path, lambda _: nothing, policy=policy, store="memory:") as (desk, line):
            await desk.take_in(received("f"))
            (failed,) = await line.told(What.FAILED)
        assert "answer" in failed.message
        assert line.sent == []

    async def test_a_validation_keeps_answers_from_leaving(self, tmp_path: Path) -> None:
        async def validate(epicrisis: Epicrisis, answer: Any) -> bool:
            if answer == "raises":
                raise ValueError(answer)
            return bool(answer == "right")

        answers = {"a": "right", "b": "wrong", "c": "raises"}
        policy = Policy(tries=1, validate=validate)
        async with serving(tmp_path, lambda e: answers[e.id], policy=policy) as (desk, line):
            for file_id in answers:
                await desk.take_in(received(file_id))
            failed = await line.told(What.FAILED, 2)
            await line.told(What.ACKNOWLEDGED)
        assert line.answers() == {"a": ["right"]}
        assert {event.message for event in failed} == {
            "its answer did not pass the validation",
            "its solution raised ValueError",
        }

    async def test_a_fallback_stands_in_for_a_failure(self, tmp_path: Path) -> None:
        async def fallback(epicrisis: Epicrisis) -> list[str]:
            return [f"none for {epicrisis.id}"]

        policy = Policy(tries=1, fallback=fallback)
        async with serving(tmp_path, lambda _: None, policy=policy) as (desk, line):
            await desk.take_in(received("f"))
            (told,) = await line.told(What.FALLBACK)
            await line.told(What.ACKNOWLEDGED)
        assert "no answer" in told.message
        assert line.answers() == {"f": ['["none for f"]']}

    async def test_a_fallback_that_fails_is_a_failed_file(self, tmp_path: Path) -> None:
        policy = Policy(tries=1, fallback=lambda _: 1 / 0)
        async with serving(tmp_path, lambda _: None, policy=policy, store="memory:") as (desk, line):
            await desk.take_in(received("f"))
            (failed,) = await line.told(What.FAILED)
        assert "fallback" in failed.message
        assert "ZeroDivisionError" in failed.message

    async def test_a_disk_that_is_full_for_a_moment_loses_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real, calls = os.open, Counter[str]()

        def failing(path: Any, *arguments: Any, **options: Any) -> int:
            if str(path).endswith(".part"):
                calls["open"] += 1
                if calls["open"] == 1:
                    raise OSError(28, "No space left on device")
            return real(path, *arguments, **options)

        monkeypatch.setattr("insession.exchange.saving.os.open", failing)
        monkeypatch.setattr("insession.exchange.intake._PAUSES", (0.0, 0.0))
        async with serving(tmp_path, echo, store="memory:") as (desk, line):
            await desk.take_in(received("f"))
            await line.told(What.ACKNOWLEDGED)
            assert "No space left" in line.of(What.NOTICE)[0].message

    async def test_one_that_stays_full_is_a_failed_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("insession.exchange.intake._PAUSES", (0.0,))
        (tmp_path / "files").write_bytes(b"in the way")
        async with serving(tmp_path, echo, store="memory:") as (desk, line):
            await desk.take_in(received("f"))
            (failed,) = await line.told(What.FAILED)
        assert "could not be saved" in failed.message


@pytest.mark.requirement("W10")
class TestFetching:
    async def test_a_file_is_fetched_and_saved_as_it_came(self, tmp_path: Path) -> None:
        async def fetch() -> bytes:
            return b"\xff\x00fetched"

        async with serving(tmp_path, echo) as (desk, line):
            await desk.take_in(received("1_2_3", None, fetch=fetch, raw={"epicrisisId": 1, "taskId": 3}))
            await line.told(What.ACKNOWLEDGED)
        assert input_of(tmp_path, "1_2_3").read_bytes() == b"\xff\x00fetched"

    async def test_what_may_help_is_tried_again_and_what_cannot_is_a_failed_file(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("insession.exchange.intake._PAUSES", (0.0, 0.0))
        errors = [DownloadFailed("503", status=503, retryable=True), DownloadTimedOut(1.0)]

        async def shaky() -> bytes:
            if errors:
                raise errors.pop()
            return b"here"

        async def missing() -> bytes:
            raise DownloadFailed("404", status=404)

        async with serving(tmp_path, echo, store="memory:") as (desk, line):
            await desk.take_in(received("shaky", None, fetch=shaky))
            await desk.take_in(received("missing", None, fetch=missing))
            await line.told(What.ACKNOWLEDGED)
            (failed,) = await line.told(What.FAILED)
        assert (failed.file_id, "404" in failed.message) == ("missing", True)
        assert saved_in(tmp_path) == {"shaky.xml": b"here"}

    @pytest.mark.requirement("R24")
    async def test_the_other_ids_of_the_event_are_the_epicrisis_own(self, tmp_path: Path) -> None:
        raw = {"epicrisisId": 1, "versionId": "v", "teamId": True, "taskId": 3, "sessionTypeCode": 5, "else": [1]}

        async def solve(epicrisis: Epicrisis) -> list[object]:
            return [epicrisis.epicrisis_id, epicrisis.version_id, epicrisis.team_id, epicrisis.task_id, epicrisis.id]

        async with serving(tmp_path, solve, store="memory:") as (desk, line):
            await desk.take_in(received(3, raw=raw))
            await line.told(What.ACKNOWLEDGED)
        assert line.answers() == {3: ['[1,"v",null,3,3]']}
        assert line.sent[0].raw == raw


@pytest.mark.requirement("W29")
class TestOrder:
    async def test_so_many_are_in_work_and_the_earliest_deadline_is_next(self, tmp_path: Path) -> None:
        solution = Counting()
        async with serving(tmp_path, solution, policy=Policy(concurrency=2), store="memory:") as (desk, line):
            for number, timeout in enumerate([None, None, 900.0, 300.0, None, 600.0]):
                await desk.take_in(received(number, timeout=timeout))
            await line.told(What.SOLVING, 2)
            solution.go.set()
            await line.told(What.ACKNOWLEDGED, 6)
        assert solution.order == [0, 1, 3, 5, 2, 4]
        assert solution.most == 2

    async def test_other_programs_are_waited_for_without_a_limit(self, tmp_path: Path) -> None:
        folder = OutputFolder(interval=0.01, settled=0.01)
        async with serving(tmp_path, folder, policy=Policy(concurrency=1)) as (desk, line):
            for number in range(5):
                await desk.take_in(received(number))
            await line.told(What.SOLVING, 5)
            output = SessionFiles(tmp_path, SESSION).output
            output.mkdir(exist_ok=True)
            for number in range(5):
                (output / f"{number}.json").write_text(f"[{number}]")
            await line.told(What.ACKNOWLEDGED, 5)
        assert line.answers() == {number: [f"[{number}]"] for number in range(5)}

    @pytest.mark.requirement("R19")
    async def test_a_slow_solution_keeps_nothing_else_from_happening(self, tmp_path: Path) -> None:
        solution = Counting()
        async with serving(tmp_path, solution, policy=Policy(concurrency=1)) as (desk, line):
            await desk.take_in(received("slow"))
            await line.told(What.SOLVING)
            await desk.take_in(received("next"))
            await desk.acknowledged("unknown")
            await line.told(What.SAVED, 2)
            assert len(line.of(What.REPORTED)) == 1
            solution.go.set()
            await line.told(What.ACKNOWLEDGED, 2)


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
    @pytest.mark.requirement("W9")
    async def test_one_that_blocks_a_processor_is_killed_and_the_next_is_solved(self, tmp_path: Path) -> None:
        policy = Policy(concurrency=1, tries=1)
        async with serving(tmp_path, solving.burns, policy=policy, isolation="process") as (desk, line):
            await desk.take_in(received("f", timeout=1.0))
            await desk.take_in(received("g", timeout=1.5))
            failed = await line.told(What.FAILED, 2)
        assert {event.message for event in failed} <= {
            "its solution was not ready in time",
            "its time was over before its solution was asked",
        }

    async def test_one_that_hangs_in_a_thread_takes_no_place(self, tmp_path: Path) -> None:
        clock, engine = await self.manual()
        solutions = {"hangs": solving.hangs, "works": lambda _: "works"}

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


class TestByHand:
    @pytest.mark.requirement("R17")
    async def test_an_answer_is_given_by_hand(self, tmp_path: Path) -> None:
        async with serving(tmp_path, Counting()) as (desk, line):
            await desk.take_in(received("f"))
            await line.told(What.SOLVING)
            await desk.answer("f", {"by": "hand"})
            await line.told(What.ACKNOWLEDGED)
            for file_id in ("f", "unknown"):
                with pytest.raises(SessionEssayNotCorrectError):
                    await desk.answer(file_id, "x")
            with pytest.raises(SolutionFailed):
                await desk.answer("f", None)
        assert line.answers() == {"f": ['{"by":"hand"}']}

    async def test_to_a_file_that_failed_too(self, tmp_path: Path) -> None:
        async with serving(tmp_path, lambda _: None, policy=Policy(tries=1)) as (desk, line):
            await desk.take_in(received("f"))
            await line.told(What.FAILED)
            await desk.answer("f", "by hand")
            await line.told(What.ACKNOWLEDGED)
        assert line.answers() == {"f": ["by hand"]}


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


class TestMany:
    @pytest.mark.requirement("R18", "R20")
    async def test_each_of_many_files_has_its_own_answer(self, tmp_path: Path) -> None:
        async with serving(tmp_path, echo, policy=Policy(concurrency=8)) as (desk, line):
            files = [received(f"f{n}", os.urandom(100)) for n in range(200)]
            await asyncio.gather(*map(desk.take_in, files), *map(desk.take_in, files[::3]))
            await line.told(What.ACKNOWLEDGED, 200)
        assert line.answers() == {f"f{n}": [f"answer to f{n}"] for n in range(200)}
        for file in files:
            assert input_of(tmp_path, str(file.file_id)).read_bytes() == file.content

    async def test_memory_does_not_grow_with_the_number_of_files(self, tmp_path: Path) -> None:
        """Of a file with a verdict stays less than its hash in a set takes with the set's room to grow."""
        sent = Counter[str]()

        store = f"sqlite:///{tmp_path / 'exchange.db'}?synchronous=normal"
        async with serving(tmp_path, echo, store=store) as (desk, line):
            served = desk._served
            assert served is not None

            async def send(outgoing: Any) -> None:
                sent["answers"] += 1

            served.serving = line.serving()
            served.serving = type(served.serving)(
                session_id=SESSION, send=send, tell=lambda event: None, dialect="2021"
            )

            async def many(first: int, count: int) -> None:
                for number in range(first, first + count):
                    await desk.take_in(received(f"file-{number}", os.urandom(4096), raw={"n": "x" * 1000}))
                    async with asyncio.timeout(30):
                        while sent["answers"] <= number:  # noqa: ASYNC110 - the desk sends it within turns
                            await asyncio.sleep(0)
                    await desk.acknowledged(f"file-{number}")

            await many(0, 100)
            tracemalloc.start()
            gc.collect()
            before = tracemalloc.get_traced_memory()[0]
            await many(100, 300)
            gc.collect()
            grown = tracemalloc.get_traced_memory()[0] - before
            tracemalloc.stop()
            assert len(served.cases) == 0
        assert grown < 300 * 400

    async def test_nothing_is_logged_of_what_a_file_holds(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        async with serving(tmp_path, lambda _: "the-answer") as (desk, line):
            await desk.take_in(received("f", b"the-content"))
            await line.told(What.ACKNOWLEDGED)
        shown = (
            caplog.text + repr(line.events) + repr(line.sent) + repr(Received(session_id=1, file_id=2, content=b"c"))
        )
        assert "the-content" not in shown
        assert "the-answer" not in shown
        assert TOKEN not in shown
        assert TOKEN.encode() not in (tmp_path / "exchange.db").read_bytes()

    @pytest.mark.processes
    async def test_a_command_answers_files(self, tmp_path: Path) -> None:
        async with serving(tmp_path, Command("cat {path}")) as (desk, line):
            await asyncio.gather(*(desk.take_in(received(n, f"<{n}/>".encode())) for n in range(10)))
            await line.told(What.ACKNOWLEDGED, 10)
        assert line.answers() == {n: [f"<{n}/>"] for n in range(10)}

"""Solutions that fail, files that are fetched, and who is next."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from insession.exchange.answering import Policy
from insession.exchange.contracts import What
from insession.exchange.epicrisis import Epicrisis
from insession.exchange.errors import (
    DownloadFailed,
    DownloadTimedOut,
)
from insession.exchange.files import SessionFiles
from insession.exchange.solutions import OutputFolder

from .desks import SESSION, Counting, echo, input_of, received, saved_in, serving


class TestFailures:
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
        assert "test_answering.py" in text
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
        def broken(epicrisis: Epicrisis) -> float:
            return len(epicrisis.content) / 0

        policy = Policy(tries=1, fallback=broken)
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

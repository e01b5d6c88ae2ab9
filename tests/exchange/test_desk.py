"""The work desk: what becomes of a file between its arrival and its answer."""

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

from insession.exchange.answering import Policy
from insession.exchange.contracts import Received, What
from insession.exchange.desk import Desk
from insession.exchange.epicrisis import Epicrisis
from insession.exchange.errors import (
    SessionEssayNotCorrectError,
    SessionNotStarted,
    SolutionFailed,
)
from insession.exchange.outcomes import Outcome
from insession.exchange.solutions import Command, SolutionFactory

from . import solving
from .desks import SESSION, TOKEN, Counting, Line, echo, input_of, names_in, received, saved_in, serving

HOSTILE = ["../../../../evil", "", "/etc/passwd", "x" * 10_000, "a\0b", "~", "..", "é/"]


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
            await line.again()
        assert seen == [(content, content, SESSION)]
        assert [outgoing.answer.text for outgoing in line.sent] == [b'{"id":"f-1"}']
        assert (line.sent[0].file_id, line.sent[0].session_id, line.sent[0].raw) == ("f-1", SESSION, {"fileId": "f-1"})
        order = [event.what for event in line.events]
        assert order == [What.RECEIVED, What.SAVED, What.SOLVING, What.SOLVED, What.ACKNOWLEDGED]
        assert all(event.file_id == "f-1" and event.session_id == SESSION for event in line.events)

    async def test_ids_keep_their_type(self, tmp_path: Path) -> None:
        async with serving(tmp_path, echo) as (desk, line):
            await desk.take_in(received(5))
            await desk.take_in(received("6"))
            await line.told(What.ACKNOWLEDGED, 2)
        assert {type(outgoing.file_id) for outgoing in line.sent if outgoing.file_id == 5} == {int}
        assert sorted(line.answers(), key=str) == [5, "6"]

    @pytest.mark.requirement("R37")
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

    async def test_what_names_no_file_or_a_foreign_session_is_told_and_not_taken(self, tmp_path: Path) -> None:
        async with serving(tmp_path, echo) as (desk, line):
            await desk.take_in(received("f", session_id=SESSION + 1))
            await desk.take_in(received(1.5))  # type: ignore[arg-type]
            await desk.acknowledged(None)  # type: ignore[arg-type]
            await desk.refused([], "no")  # type: ignore[arg-type]
            assert len(line.of(What.REPORTED)) == 4
        assert saved_in(tmp_path) == {}

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
            for call in (desk.take_in(received("f")), desk.acknowledged("f"), desk.refused("f", ""), desk.resend()):
                with pytest.raises(SessionNotStarted):
                    await call
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

"""How often an answer is tried, on a connection and with a desk of the test's own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self

import pytest

from insession.exchange.connection import ConnectionAbstract, Handler
from insession.exchange.connector.results import LARGE, MOST_CUTS, MOST_SILENCES, Results
from insession.exchange.contracts import Answer, Id, Outgoing, Received, Resend, Serving
from insession.exchange.dialects import Dialect2021, Said, Verdict
from insession.exchange.errors import NotConnectedError
from insession.exchange.outcomes import Outcome


class Up(ConnectionAbstract):
    """A line that always stands."""

    def is_connected(self) -> bool:
        return True

    def on(self, event: str, fn: Handler) -> Self:
        return self

    async def connect(self) -> Self:
        return self

    async def disconnect(self) -> Self:
        return self

    async def wait(self) -> Self:
        return self

    async def emit(self, event: str, data: object = None, callback: Handler | None = None) -> Self:
        return self

    def halt(self) -> None:
        pass


class Pending:
    """A desk that keeps what waits, and what became of it."""

    def __init__(self) -> None:
        self.results: Results
        self.waits: dict[Id, Outgoing] = {}
        self.ended: list[tuple[Id, str]] = []

    async def open(self, serving: Serving) -> None: ...

    async def take_in(self, file: Received) -> None: ...

    async def answer(self, file_id: Id, answer: object) -> None: ...

    async def acknowledged(self, file_id: Id) -> None:
        self.waits.pop(file_id, None)
        self.ended.append((file_id, "acknowledged"))

    async def refused(self, file_id: Id, message: str) -> None:
        self.waits.pop(file_id, None)
        self.ended.append((file_id, message))

    async def resend(self) -> None:
        for outgoing in list(self.waits.values()):
            await self.results.send(outgoing)

    async def drain(self, timeout: float) -> None: ...

    async def close(self, outcome: Outcome) -> None: ...

    async def last(self) -> Id | None: ...

    async def still_ours(self) -> None: ...

    async def over(self, session_id: Id, outcome: Outcome) -> None: ...


class Wire:
    """What left, and what was reported."""

    def __init__(self) -> None:
        self.left: list[str] = []
        self.reported: list[str] = []
        self.news = asyncio.Event()

    async def say(self, said: Said) -> None:
        assert said.payload is not None
        self.left.append(said.payload["fileId"])
        self.news.set()

    def report(self, message: str, _: Id | None) -> None:
        self.reported.append(message)
        self.news.set()

    async def until(self, reported: int) -> None:
        async with asyncio.timeout(30):
            while len(self.reported) < reported:
                self.news.clear()
                await self.news.wait()


@asynccontextmanager
async def results(resend: Resend = "always", seconds: float = 60.0) -> AsyncIterator[tuple[Results, Pending, Wire]]:
    desk, wire = Pending(), Wire()
    made = Results(
        Up(),
        Dialect2021(),
        desk,
        resend=resend,
        seconds=seconds,
        retry=0.01,
        say=wire.say,
        sent=lambda *_: None,
        report=wire.report,
    )
    desk.results = made
    try:
        yield made, desk, wire
    finally:
        await made.close()


def outgoing(file_id: str = "f1", size: int = 10) -> Outgoing:
    return Outgoing(session_id="s", file_id=file_id, answer=Answer(b"x" * size))


def verdict(file_id: str = "f1", **said: Any) -> Verdict:
    return Verdict(session_id="s", key=file_id, **({"accepted": True} | said))


async def test_before_we_are_in_the_session_nothing_is_sent() -> None:
    async with results() as (made, _, wire):
        with pytest.raises(NotConnectedError):
            await made.send(outgoing())
        await made.open_gate()
        await made.send(outgoing())
        made.line_lost()
        with pytest.raises(NotConnectedError):
            await made.send(outgoing("f2"))
        assert wire.left == ["f1"]


async def test_what_is_on_its_way_is_not_sent_again_over_the_same_line() -> None:
    async with results() as (made, desk, wire):
        await made.open_gate()
        await made.send(outgoing())
        await made.send(outgoing())
        assert wire.left == ["f1"]
        await made.judge(verdict())
        assert desk.ended == [("f1", "acknowledged")]


async def test_a_large_answer_that_was_there_at_every_cut_is_given_up() -> None:
    async with results() as (made, desk, wire):
        desk.waits = {"big": outgoing("big", LARGE + 1), "small": outgoing("small")}
        for _ in range(MOST_CUTS):
            await made.open_gate()
            made.line_lost()
        await asyncio.gather(*made._tasks)
        assert [file_id for file_id, _ in desk.ended] == ["big"]
        assert f"cut {MOST_CUTS} times" in desk.ended[0][1]
        await made.open_gate()
        assert (wire.left.count("big"), wire.left.count("small")) == (MOST_CUTS, MOST_CUTS + 1)


async def test_without_a_verdict_an_answer_goes_so_often_over_one_line_and_anew_over_the_next() -> None:
    async with results(seconds=0.01) as (made, desk, wire):
        desk.waits = {"f1": outgoing()}
        await made.open_gate()
        await wire.until(MOST_SILENCES)
        await asyncio.sleep(0.03)
        assert wire.left == ["f1"] * MOST_SILENCES
        made.line_lost()
        await made.open_gate()
        await wire.until(MOST_SILENCES + 1)
        assert len(wire.left) > MOST_SILENCES
        # A late verdict still counts.
        await made.judge(verdict())
        assert desk.ended == [("f1", "acknowledged")]


async def test_with_never_one_answer_is_on_its_way_and_none_goes_twice() -> None:
    async with results("never") as (made, desk, wire):
        await made.open_gate()
        await made.send(outgoing("f1"))
        second = asyncio.create_task(made.send(outgoing("f2")))
        third = asyncio.create_task(made.send(outgoing("f3")))
        await asyncio.sleep(0)
        assert wire.left == ["f1"]
        await made.judge(verdict("f1", accepted=False, message="no"))
        await second
        assert wire.left == ["f1", "f2"]
        assert desk.ended == [("f1", "no")]
        made.line_lost()
        with pytest.raises(NotConnectedError):
            await third
        assert wire.left == ["f1", "f2"]


async def test_a_verdict_on_a_file_that_nobody_knows_is_reported() -> None:
    async with results() as (made, desk, wire):
        await made.judge(verdict("stranger"))
        assert (desk.ended, len(wire.reported)) == ([], 1)
        made.know("f9", {})
        await made.judge(verdict("f9"))
        assert desk.ended == [("f9", "acknowledged")]


async def test_an_acknowledgement_of_what_an_earlier_process_sent_reaches_the_journal() -> None:
    """An error does not: this process sends the answer again, and hears what becomes of that."""
    async with results() as (made, desk, wire):
        await made.judge(Verdict(session_id="s", key="f1", file_id="f1", accepted=False))
        assert (desk.ended, len(wire.reported)) == ([], 1)
        await made.judge(Verdict(session_id="s", key="f1", file_id="f1", accepted=True))
        assert desk.ended == [("f1", "acknowledged")]


async def test_at_the_end_verdicts_that_are_under_way_are_waited_for() -> None:
    async with results() as (made, _, _wire):
        await made.open_gate()
        await made.send(outgoing())
        await made.landed(0.01)
        waiting = asyncio.create_task(made.landed(30.0))
        await asyncio.sleep(0)
        await made.judge(verdict())
        async with asyncio.timeout(10):
            await waiting


async def test_an_answer_that_was_sent_twice_and_taken_once_goes_no_third_time() -> None:
    """The first sending failed, which is said late; the second was taken."""
    async with results() as (made, desk, _):
        made._retry = 60.0
        await made.open_gate()
        await made.send(outgoing())
        await made.judge(verdict(accepted=False, message="could not be saved"))
        assert made._retries
        await made.judge(verdict())
        assert desk.ended == [("f1", "acknowledged")]
        assert not made._retries


async def test_two_errors_for_two_sendings_are_one_refusal() -> None:
    async with results() as (made, desk, _):
        made._retry = 60.0
        await made.open_gate()
        await made.send(outgoing())
        for _ in range(3):
            await made.judge(verdict(accepted=False, message="could not be saved"))
        assert desk.ended == []

"""What the journal knows, and what a crash leaves."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import insession
from insession.errors import LockLost
from insession.exchange import holding
from insession.exchange.answering import Policy
from insession.exchange.contracts import Outgoing, What
from insession.exchange.desk import Desk
from insession.exchange.epicrisis import Epicrisis
from insession.exchange.errors import SessionServed
from insession.exchange.files import SessionFiles
from insession.exchange.holding import KIND, exchange_engine, exchange_kind
from insession.exchange.journal import FileEntry, FileState, Journal
from insession.exchange.outcomes import Outcome
from insession.kernel.operations import Fence
from insession.stores.memory import MemoryStore
from insession.testing import ManualClock
from insession.testing.faulty import Fault, FaultyStore

from .desks import SESSION, TOKEN, Line, received, serving
from .worker import COUNT

ROOT = Path(__file__).parent.parent.parent


async def echo(epicrisis: Epicrisis) -> str:
    return f"answer to {epicrisis.id}"


async def journal_of(engine: insession.Engine, session_id: object = SESSION) -> Journal:
    return Journal(await engine.get(engine.id_of(KIND, TOKEN, str(session_id))))


@contextlib.asynccontextmanager
async def looking(root: Path) -> AsyncIterator[Journal]:
    """The journal, as another program sees it."""
    async with insession.connect(f"sqlite:///{root / 'exchange.db'}", kinds=[exchange_kind()]) as engine:
        yield await journal_of(engine)


class TestEntries:
    async def test_it_says_of_each_file_how_far_it_came(self, tmp_path: Path) -> None:
        answers = {"fine": "fine", "refused": "refused", "failed": None, "sent": "sent"}
        line = Line(acknowledges=False)
        policy = Policy(tries=1)
        async with serving(tmp_path, lambda e: answers[e.id], line=line, policy=policy) as (desk, _):
            for file_id in answers:
                await desk.take_in(received(file_id, raw={"fileId": file_id}))
            await line.told(What.FAILED)
            await line.until(lambda: len(line.sent) == 3)
            await desk.acknowledged("fine")
            await desk.refused("refused", "too late")
            async with looking(tmp_path) as journal:
                entries = {entry.file_id: entry async for entry in journal.entries()}
                counts = await journal.counts()
                open_ones = [entry.file_id async for entry in journal.entries({FileState.SOLVED})]
        states = {file_id: entry.state for file_id, entry in entries.items()}
        assert states == {
            "fine": FileState.ACKNOWLEDGED,
            "refused": FileState.REFUSED,
            "failed": FileState.FAILED,
            "sent": FileState.SOLVED,
        }
        assert (entries["fine"].answer, entries["refused"].message) == (b"fine", "too late")
        assert "no answer" in entries["failed"].message
        assert entries["sent"].raw == {"fileId": "sent"}
        assert sum(counts.values()) == 4
        assert open_ones == ["sent"]
        assert all(entry.answered is (entry.file_id != "failed") for entry in entries.values())

    async def test_more_entries_than_a_page_has(self) -> None:
        async with insession.connect("memory:", kinds=[exchange_kind()]) as engine:
            journal = Journal(await engine.open(kind=KIND, owner=TOKEN, name="s"))
            for number in range(250):
                await journal.put(FileEntry(file_id=number, session_id="s", state=FileState.SAVED, received=1.0))
            found = [entry.file_id async for entry in journal.entries()]
            assert sorted(found, key=int) == list(range(250))
            assert await journal.get("none") is None

    @pytest.mark.requirement("R45")
    async def test_the_order_is_file_then_journal_then_wire(self, tmp_path: Path) -> None:
        """Looked at from outside, at each step, by another connection."""
        seen: list[tuple[str, object]] = []
        line = Line()
        plain = line.send

        async def send(outgoing: Outgoing) -> None:
            async with looking(tmp_path) as journal:
                entry = await journal.get("f")
            assert entry is not None
            seen.append((entry.state, entry.answer))
            await plain(outgoing)

        async def solve(epicrisis: Epicrisis) -> str:
            async with looking(tmp_path) as journal:
                entry = await journal.get("f")
            assert entry is not None
            seen.append((entry.state, epicrisis.path_to_xml.read_bytes()))
            return "the answer"

        line.send = send  # type: ignore[method-assign]
        async with serving(tmp_path, solve, line=line) as (desk, _):
            await desk.take_in(received("f", b"the content"))
            await line.told(What.ACKNOWLEDGED)
        assert seen == [(FileState.SAVED, b"the content"), (FileState.SOLVED, b"the answer")]


class TestGoingOn:
    @pytest.mark.requirement("R16", "R45")
    async def test_nothing_solved_is_computed_again_and_equal_bytes_go(self, tmp_path: Path) -> None:
        calls = Counter[object]()

        async def solve(epicrisis: Epicrisis) -> str:
            calls[epicrisis.id] += 1
            return os.urandom(8).hex() * (20_000 if epicrisis.id == "large" else 1)

        first = Line(acknowledges=False)
        async with serving(tmp_path, solve, line=first) as (desk, _):
            for file_id in ("small", "large", "acknowledged"):
                await desk.take_in(received(file_id))
            await first.until(lambda: len(first.sent) == 3)
            await desk.acknowledged("acknowledged")
        second = Line()
        async with serving(tmp_path, solve, line=second, joined=True) as (desk, _):
            await second.told(What.ACKNOWLEDGED, 2)
            for file_id in ("small", "large", "acknowledged"):
                await desk.take_in(received(file_id, b"other content"))
            assert len(second.of(What.REPEATED)) == 3
        before, after = first.answers(), second.answers()
        assert after == {file_id: before[file_id] for file_id in ("small", "large")}
        assert calls == {"small": 1, "large": 1, "acknowledged": 1}

    @pytest.mark.requirement("R45")
    async def test_with_never_what_may_have_left_is_unknown(self, tmp_path: Path) -> None:
        async with serving(tmp_path, echo, line=Line(acknowledges=False)) as (desk, line):
            await desk.take_in(received("f"))
            await line.until(lambda: len(line.sent) == 1)
        async with serving(tmp_path, echo, resend="never") as (desk, line):
            assert [event.file_id for event in line.of(What.UNKNOWN)] == ["f"]
            await desk.take_in(received("f"))
            assert line.sent == []
        async with looking(tmp_path) as journal:
            entry = await journal.get("f")
            assert entry is not None
            assert entry.state is FileState.UNKNOWN

    @pytest.mark.requirement("R45")
    async def test_with_never_what_cannot_have_left_is_sent(self, tmp_path: Path) -> None:
        first = Line(acknowledges=False)
        async with serving(tmp_path, echo, line=first, resend="never") as (desk, _):
            await desk.take_in(received("left"))
            await first.until(lambda: len(first.sent) == 1)
            first.up = False
            await desk.take_in(received("stayed"))
            await first.told(What.SOLVED, 2)
        async with serving(tmp_path, echo, resend="never") as (_, line):
            await line.told(What.ACKNOWLEDGED)
            await line.told(What.UNKNOWN)
        assert line.answers() == {"stayed": ["answer to stayed"]}
        assert [event.file_id for event in line.of(What.UNKNOWN)] == ["left"]

    async def test_a_deadline_that_passed_while_nobody_served(self, tmp_path: Path) -> None:
        clock = ManualClock()
        async with insession.connect("memory:", kinds=[exchange_kind()], clock=clock) as engine:
            only_save = Policy(only_save=True)
            async with serving(tmp_path, None, store=engine, policy=only_save) as (desk, line):
                await desk.take_in(received("late", timeout=60.0))
                await desk.take_in(received("no deadline"))
            await clock.advance(100.0)
            async with serving(tmp_path, echo, store=engine, policy=Policy(fallback="fallback")) as (_, line):
                await line.told(What.ACKNOWLEDGED, 2)
        assert line.answers() == {"late": ["fallback"], "no deadline": ["answer to no deadline"]}

    async def test_a_session_that_was_taken_for_over_and_goes_on_keeps_its_journal(self, tmp_path: Path) -> None:
        async with serving(tmp_path, echo, outcome=Outcome.LOST) as (desk, line):
            await desk.take_in(received("f"))
            await line.told(What.ACKNOWLEDGED)
            assert await desk.last() == SESSION
        async with serving(tmp_path, echo, joined=True) as (desk, line):
            assert await desk.last() == SESSION
            await desk.take_in(received("f"))
            assert len(line.of(What.REPEATED)) == 1
            assert line.sent == []

    async def test_the_record_says_how_it_ended(self, tmp_path: Path) -> None:
        async with exchange_engine(f"sqlite:///{tmp_path / 'x.db'}") as engine:
            for session_id, outcome in [("one", Outcome.FINISH), ("two", Outcome.STOPPED), (3, Outcome.SESSION_ABORT)]:
                given: Any = session_id
                async with serving(tmp_path, echo, store=engine, session_id=given, outcome=outcome) as (desk, _):
                    assert await desk.last() in {session_id, "two"}
            async with Desk(engine, echo, participant=TOKEN, root=tmp_path) as desk:
                assert await desk.last() == "two"
            async with Desk(engine, echo, participant="another", root=tmp_path) as desk:
                assert await desk.last() is None
            found = [await engine.get(engine.id_of(KIND, TOKEN, name)) for name in ("one", "two", "3")]
            assert [(one.state, one.reason) for one in found] == [
                ("closed", "finish"),
                ("active", None),
                ("closed", "session-abort"),
            ]
            assert found[2].data["session_id"] == 3
            assert TOKEN not in str([one.record for one in found])

    async def test_the_default_store_is_a_file_in_the_state_folder(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("INSESSION_STORE", raising=False)
        monkeypatch.setenv("INSESSION_STATE_DIR", str(tmp_path / "state"))
        async with Desk(None, echo, participant=TOKEN, root=tmp_path) as desk:
            assert await desk.last() is None
        assert (tmp_path / "state" / "exchange.db").exists()


class TestServing:
    async def test_one_at_a_time_serves_a_session(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(holding, "LEASE", 0.3)
        monkeypatch.setattr(holding, "_PATIENCE", 0.0)
        async with exchange_engine("memory:") as engine:
            other = Desk(engine, echo, participant=TOKEN, root=tmp_path)
            async with serving(tmp_path, echo, store=engine), other:
                with pytest.raises(SessionServed):
                    await other.open(Line().serving())
            async with serving(tmp_path, echo, store=engine) as (desk, line):
                await desk.take_in(received("f"))
                await line.told(What.ACKNOWLEDGED)

    async def test_several_sessions_in_one_program(self, tmp_path: Path) -> None:
        async with contextlib.AsyncExitStack() as stack:
            engine = await stack.enter_async_context(exchange_engine(f"sqlite:///{tmp_path / 'x.db'}"))
            both = [
                await stack.enter_async_context(serving(tmp_path, echo, store=engine, session_id=session_id))
                for session_id in ("a", "b")
            ]
            for (desk, _), session_id in zip(both, ("a", "b"), strict=True):
                await desk.take_in(received("f", session_id.encode(), session_id=session_id))
            for _, line in both:
                await line.told(What.ACKNOWLEDGED)
        for session_id in ("a", "b"):
            assert SessionFiles(tmp_path, session_id).received("f").read_bytes() == session_id.encode()

    async def test_a_write_without_the_lock_is_fenced_off(self) -> None:
        async with exchange_engine("memory:") as engine:
            session = await engine.open(kind=KIND, owner=TOKEN, name="s")
            entry = FileEntry(file_id="f", session_id="s", state=FileState.SAVED, received=1.0)
            with pytest.raises(LockLost):
                await Journal(session).put(entry, fence=Fence(f"{session.id}/serve", "ticket", 1))

    async def test_a_process_that_stood_still_asks_for_its_lock_again(self, tmp_path: Path) -> None:
        clock = ManualClock()
        store = MemoryStore(clock=clock)
        engine = insession.connect(store, kinds=[exchange_kind()], clock=clock)
        async with engine, serving(tmp_path, echo, store=engine) as (desk, line):
            clock.set(clock.now() + 100.0)  # nothing rang meanwhile: the lease is over
            taking = asyncio.create_task(desk.take_in(received("f")))
            await line.told(What.RECEIVED)
            await clock.advance(1.0)
            await taking
            await line.told(What.ACKNOWLEDGED)

    async def test_one_that_another_has_followed_writes_and_sends_nothing_more(self, tmp_path: Path) -> None:
        clock = ManualClock()
        engine = insession.connect(MemoryStore(clock=clock), kinds=[exchange_kind()], clock=clock)
        next_line = Line()
        async with engine, serving(tmp_path, echo, store=engine) as (stalled, line):
            clock.set(clock.now() + 100.0)
            async with Desk(engine, echo, participant=TOKEN, root=tmp_path) as follower:
                next_line.desk = follower
                await follower.open(next_line.serving())
                for _ in range(10):
                    await clock.advance(2.0)
                with pytest.raises(SessionServed):
                    await stalled.take_in(received("f"))
                await follower.take_in(received("f"))
                await next_line.told(What.ACKNOWLEDGED)
        assert line.sent == []
        assert next_line.answers() == {"f": ["answer to f"]}

    async def test_while_the_store_is_away_nothing_is_sent_and_nothing_is_lost(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(holding, "_PAUSES", (0.01, 0.01))
        store = FaultyStore(MemoryStore())
        go = asyncio.Event()

        async def solve(epicrisis: Epicrisis) -> str:
            await go.wait()
            return "answer"

        async with insession.connect(store, kinds=[exchange_kind()]) as engine:
            async with serving(tmp_path, solve, store=engine) as (desk, line):
                await desk.take_in(received("f"))
                store.fail(Fault.BEFORE, Fault.BEFORE, Fault.LOST, Fault.NEVER)
                go.set()
                await line.told(What.ACKNOWLEDGED)
                await desk.take_in(received("g"))
                await line.told(What.ACKNOWLEDGED, 2)
            counts = await (await journal_of(engine)).counts()
            assert counts[FileState.ACKNOWLEDGED] == 2
        assert line.answers() == {"f": ["answer"], "g": ["answer"]}


@pytest.mark.processes
class TestCrashes:
    @pytest.mark.requirement("R16", "R45")
    async def test_what_a_killed_process_leaves_is_gone_on_with(self, tmp_path: Path) -> None:
        worker = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.exchange.worker", str(tmp_path)), cwd=ROOT, stdout=asyncio.subprocess.PIPE
        )
        assert worker.stdout is not None
        try:
            assert await asyncio.wait_for(worker.stdout.readline(), 40) == b"ready\n"
        finally:
            worker.send_signal(signal.SIGKILL)
            await worker.wait()
        async with looking(tmp_path) as journal:
            counts = await journal.counts()
        assert counts == dict.fromkeys(FileState, 0) | {
            FileState.ACKNOWLEDGED: COUNT,
            FileState.SOLVED: COUNT,
            FileState.SAVED: COUNT,
        }
        calls = Counter[Any]()

        async def solve(epicrisis: Epicrisis) -> str:
            calls[epicrisis.id] += 1
            return epicrisis.text

        async with serving(tmp_path, solve) as (_, line):
            await line.told(What.ACKNOWLEDGED, 2 * COUNT)
        sent = {f"sent-{number}" for number in range(COUNT)}
        assert calls == {f"slow-{number}": 1 for number in range(COUNT)}
        assert line.answers().keys() == sent | calls.keys()
        before = (tmp_path / "answers").read_text().splitlines()
        assert {line.answers()[file_id][0] for file_id in sent} == {one for one in before if one.startswith("sent")}
        assert line.answers()["slow-3"] == ["<slow 3/>"]

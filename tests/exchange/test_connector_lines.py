"""A session over lines that are lost, and a platform that says no more than the protocol's page has."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from insession.exchange.contracts import Serving, What
from insession.exchange.desk import Desk
from insession.exchange.epicrisis import Epicrisis
from insession.exchange.errors import ConnectFailed, JoinTimedOut, SessionNotStarted
from insession.exchange.outcomes import Outcome
from insession.exchange.session import Session
from insession.exchange.settings import ExchangeSettings
from insession.testing.platform import Drop, PlatformFaults

from .servers import Plain
from .sessions import HEARTBEAT, OPTIONS, Heard, echo, platform, serving


class Page(Plain):
    """The platform as its page of 2021 has it: it joins without a word, and knows no event beyond the page's."""

    def __init__(self, *, active: str | None = None) -> None:
        super().__init__()
        self.active = active
        self.started = 0
        self.sio.on("session-start", self.start, namespace=self.namespace)
        self.sio.on("session-file-send", self.result, namespace=self.namespace)

    async def start(self, _: str, payload: dict[str, Any]) -> None:
        self.heard.append(("session-start", payload))
        if self.active is not None:
            await self.emit("session-start-error", {"message": "there is an active session"})
            return
        self.started += 1
        self.active = f"s{self.started}"
        await self.emit("session-start-success", {"sessionId": self.active})

    async def result(self, _: str, payload: dict[str, Any]) -> None:
        self.heard.append(("session-file-send", payload))
        await self.emit("session-file-send-success", {"sessionId": self.active, "fileId": payload["fileId"]})
        await self.emit("session-close", {"sessionId": self.active, "type": "finish"})

    async def file(self, file_id: str = "f1", **fields: Any) -> None:
        await self.emit("session-file-avaiable", {"fileId": file_id, "content": "<x/>", **fields})

    @asynccontextmanager
    async def session(self, root: Path, **options: Any) -> AsyncIterator[tuple[Session, Heard]]:
        async with self.listening() as url:
            heard = Heard()
            given: dict[str, Any] = {
                "token": "t",
                "host": url,
                "root": root,
                "store": "memory:",
                "join_timeout": 0.3,
            } | options
            made = ExchangeSettings(**given)
            async with Session(made, solution=echo, on_event=heard.event, on_wire=heard.message) as session:
                yield session, heard


class TestPage:
    async def test_a_session_by_the_page(self, tmp_path: Path) -> None:
        server = Page()
        async with server.session(tmp_path) as (session, _):
            await session.start(OPTIONS)
            await server.file(sessionId="s1")
            assert await session.wait() is Outcome.FINISH
        assert server.heard == [
            ("session-start", OPTIONS.prepare_to_command()),
            ("session-file-send", {"sessionId": "s1", "fileId": "f1", "content": '{"file":"f1"}'}),
        ]

    async def test_a_file_that_comes_at_once_says_that_we_are_in_a_session(self, tmp_path: Path) -> None:
        server = Page(active="s7")
        async with server.session(tmp_path, join_timeout=30.0) as (session, heard):
            starting = asyncio.create_task(session.start(OPTIONS))
            await server.sids.get()
            await server.file(sessionId="s7")
            await starting
            assert session.id == "s7"
            assert heard.of(What.JOINED)
            assert await session.wait() is Outcome.FINISH
        assert [event for event, _ in server.heard] == ["session-file-send"]

    async def test_a_session_that_was_joined_without_a_word_is_served_after_the_refused_start(
        self, tmp_path: Path
    ) -> None:
        server = Page(active="s7")
        async with server.session(tmp_path) as (session, _):
            starting = asyncio.create_task(session.start(OPTIONS))
            # The start, then our question: the page's platform does not know it, but its next file says enough.
            await server.until(2)
            await server.file(sessionId="s7")
            await starting
            assert session.id == "s7"
            assert await session.wait() is Outcome.FINISH

    async def test_reconnecting_where_the_platform_says_nothing_rests_on_the_journal(self, tmp_path: Path) -> None:
        server = Page()
        store = f"sqlite:///{tmp_path / 'exchange.db'}"
        async with server.session(tmp_path, store=store, only_save=True) as (session, heard):
            await session.start(OPTIONS)
            await server.file(sessionId="s1")
            await heard.until(lambda: heard.of(What.SAVED))
            await session.stop()
        again = Page(active="s1")
        async with again.session(tmp_path, store=store) as (session, _):
            await session.reconnect()
            assert session.id == "s1"
            assert await session.wait() is Outcome.FINISH
        assert ("session-file-send", {"sessionId": "s1", "fileId": "f1", "content": '{"file":"f1"}'}) in again.heard

    async def test_reconnecting_where_nobody_knows_of_a_session(self, tmp_path: Path) -> None:
        server = Page()
        async with server.session(tmp_path, rejoin_timeout=0.3) as (session, _):
            with pytest.raises(JoinTimedOut):
                await session.reconnect()

    async def test_a_close_with_a_word_that_nobody_knows_ends_the_session_all_the_same(self, tmp_path: Path) -> None:
        server = Page()
        async with server.session(tmp_path) as (session, heard):
            await session.start(OPTIONS)
            await server.emit("session-close", {"sessionId": "other", "type": "finish"})
            await server.emit("session-close", {"sessionId": "s1", "type": "whatever"})
            assert await session.wait() is Outcome.LOST
            assert "of another session" in heard.of(What.REPORTED)[0].message

    async def test_an_end_right_behind_the_word_that_we_are_in_the_session(self, tmp_path: Path) -> None:
        server = Page()
        async with server.session(tmp_path, join_timeout=30.0) as (session, heard):
            joining = asyncio.create_task(session.reconnect())
            await server.sids.get()
            # In one breath: the second is here before anybody has acted on the first.
            await asyncio.gather(
                server.emit("session-reconnect-success", {"sessionId": "s7"}),
                server.emit("session-close", {"sessionId": "s7", "type": "finish"}),
            )
            await joining
            assert await session.wait() is Outcome.FINISH
            assert not heard.of(What.REPORTED)

    async def test_an_end_of_an_earlier_session_ends_no_other(self, tmp_path: Path) -> None:
        server = Page()
        async with server.session(tmp_path) as (session, _):
            starting = asyncio.create_task(session.start(OPTIONS))
            await server.sids.get()
            await server.emit("session-close", {"sessionId": "s0", "type": "finish"})
            await starting
            await server.file(sessionId="s1")
            assert await session.wait() is Outcome.FINISH
        assert [event for event, _ in server.heard] == ["session-start", "session-file-send"]

    async def test_what_cannot_be_taken_is_reported_and_harms_nothing(self, tmp_path: Path) -> None:
        server = Page()
        async with server.session(tmp_path) as (session, heard):
            await session.start(OPTIONS)
            for payload in (1, "text", ["f1"], {}, {"fileId": True, "content": "x"}, {"fileId": "f", "content": 5}):
                await server.emit("session-file-avaiable", payload)
            await server.emit("session-close", 7)
            await server.emit("unheard-of", {"a": 1})
            await server.emit("unheard-of", {"a": 1})
            await server.emit("session-file-send-success", {"fileId": "never sent"})
            await server.file(sessionId="s1")
            assert await session.wait() is Outcome.FINISH
            assert len(heard.of(What.REPORTED)) == 9
            assert sum("'unheard-of'" in event.message for event in heard.of(What.REPORTED)) == 1


class TestLines:
    @pytest.mark.requirement("R22")
    @pytest.mark.parametrize("way", ["transport", "disconnect", "restart", "half-open"])
    @pytest.mark.parametrize("resend", ["always", "never"])
    async def test_a_session_outlives_its_lines(self, tmp_path: Path, way: Drop, resend: str) -> None:
        # Half-open lines take their time to be noticed: one loss is enough there.
        faults = PlatformFaults(drop_every=7 if way == "half-open" else 4, drops=(way,), duplicate_every=5)
        async with platform(faults, count=12, interval=0.02, **HEARTBEAT) as double:
            async with serving(double, tmp_path, resend=resend, join_timeout=0.5) as (session, heard):
                await session.start(OPTIONS)
                await heard.until(lambda: len(heard.of(What.ACKNOWLEDGED)) + len(heard.of(What.UNKNOWN)) == 12)
                unknown = {event.file_id for event in heard.of(What.UNKNOWN)}
                if unknown:
                    # The platform waits for them in vain.
                    await asyncio.to_thread(double.abort)
                outcome = await session.wait()
            counters = double.counters()
        assert counters.drops
        assert counters.violations == []
        assert all(file.equal for file in counters.files)
        if resend == "always":
            assert outcome is Outcome.FINISH
            assert (counters.answered, unknown) == (12, set())
        else:
            # One answer at most is on its way when a line is lost.
            assert len(unknown) <= len(counters.drops)
            assert {file.id for file in counters.files if not file.answers} <= unknown
            assert counters.repeats == 0

    async def test_an_answer_that_is_ready_while_the_line_is_down_goes_with_the_next_one(self, tmp_path: Path) -> None:
        down = asyncio.Event()

        async def solve(epicrisis: Epicrisis) -> str:
            await down.wait()
            return "[]"

        async with platform(count=1, away="lost", downtime=0.4) as double:
            async with serving(double, tmp_path, solve) as (session, heard):
                await session.start(OPTIONS)
                await heard.until(lambda: heard.of(What.SOLVING))
                dropping = asyncio.create_task(asyncio.to_thread(double.drop, "restart"))
                await heard.until(lambda: heard.of(What.DISCONNECTED))
                down.set()
                await heard.until(lambda: heard.of(What.SOLVED))
                assert not heard.of(What.SENT)
                await dropping
                assert await session.wait() is Outcome.FINISH
            assert (double.counters().answered, double.counters().repeats) == (1, 0)

    async def test_a_line_that_is_lost_while_the_session_begins(self, tmp_path: Path) -> None:
        async with platform() as double, serving(double, tmp_path, join_timeout=0.4) as (session, heard):
            starting = asyncio.create_task(session.start(OPTIONS))
            await heard.until(lambda: heard.of(What.CONNECTED))
            await asyncio.to_thread(double.drop, "transport")
            await starting
            assert await session.wait() is Outcome.FINISH
            assert (double.counters().connections, len(double.counters().starts)) == (2, 1)

    async def test_a_line_and_a_session_that_end_while_the_journal_is_opened(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        opening, may_open, opened = asyncio.Event(), asyncio.Event(), Desk.open

        async def slow(desk: Desk, serving: Serving) -> None:
            opening.set()
            await may_open.wait()
            await opened(desk, serving)

        monkeypatch.setattr(Desk, "open", slow)
        async with platform(interval=3600.0) as double, serving(double, tmp_path) as (session, heard):
            starting = asyncio.create_task(session.start(OPTIONS))
            await opening.wait()
            await asyncio.to_thread(double.drop, "transport")
            await heard.until(lambda: len(heard.of(What.CONNECTED)) == 2)
            may_open.set()
            await starting
            await heard.until(lambda: heard.of(What.ACKNOWLEDGED))
            assert double.counters().violations == []
            opening.clear()
            may_open.clear()
            await session.stop()
            joining = asyncio.create_task(session.reconnect())
            await opening.wait()
            await asyncio.to_thread(double.abort, "maintenance")
            await heard.until(lambda: heard.said("in", "session-abort"))
            may_open.set()
            await joining
            assert await session.wait() is Outcome.SESSION_ABORT

    async def test_a_stop_while_the_session_begins(self, tmp_path: Path) -> None:
        async with platform() as double, serving(double, tmp_path, join_timeout=60.0) as (session, heard):
            starting = asyncio.create_task(session.start(OPTIONS))
            await heard.until(lambda: heard.of(What.CONNECTED))
            await session.stop()
            with pytest.raises(SessionNotStarted):
                await starting
            assert session.outcome is Outcome.STOPPED
            await asyncio.to_thread(double.wait_until, lambda seen: seen.disconnections == 1)

    async def test_a_stop_while_the_platform_says_nothing(self, tmp_path: Path) -> None:
        """Its server takes the connection, and never answers."""
        met, left = asyncio.Event(), asyncio.Event()

        async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            met.set()
            with contextlib.suppress(OSError):
                await reader.read()
            writer.close()
            left.set()

        async with platform() as double:
            silent = await asyncio.start_server(listen, "127.0.0.1", 0)
            host = f"http://127.0.0.1:{silent.sockets[0].getsockname()[1]}"
            async with silent, serving(double, tmp_path, host=host, connect_timeout=600.0) as (session, _):
                starting = asyncio.create_task(session.start(OPTIONS))
                async with asyncio.timeout(30):
                    await met.wait()
                    await session.stop()
                    with pytest.raises(ConnectFailed):
                        await starting
                    await left.wait()

    async def test_a_stop_while_there_is_no_platform(self, tmp_path: Path) -> None:
        double = platform()
        async with double, serving(double, tmp_path) as (session, _):
            await asyncio.to_thread(double.stop)
            starting = asyncio.create_task(session.start(OPTIONS))
            while session._connector is None:  # noqa: ASYNC110 - a turn or two of the loop
                await asyncio.sleep(0)
            await session.stop()
            with pytest.raises((ConnectFailed, SessionNotStarted)):
                await starting
            double.start()

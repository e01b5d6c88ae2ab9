"""`Session`: a plain object without logic of the protocol, whose connector may be another."""

from __future__ import annotations

import ast
import asyncio
import inspect
import os
from pathlib import Path
from typing import Any

import pytest

import insession
import insession.exchange
from insession.errors import ConfigurationError
from insession.exchange import (
    ConnectionAbstract,
    Outcome,
    Session,
    SessionConnectorAbstract,
    SessionConnectorFactory,
    SessionServed,
    SessionWebsocketConnector,
    holding,
)
from insession.exchange import session as session_module
from insession.exchange.connector import exceptions
from insession.exchange.contracts import What
from insession.exchange.epicrisis import Epicrisis
from insession.exchange.errors import SessionNotStarted
from insession.exchange.holding import exchange_kind
from insession.exchange.looking import newest
from insession.exchange.options import SessionStarterOptions, StarterOptions
from insession.exchange.settings import ExchangeSettings
from insession.stores.memory import MemoryStore
from insession.testing import ManualClock
from tests.pages import run_blocks

from .sessions import OPTIONS, TOKEN, Heard, echo, platform, serving, settings

ROOT = Path(__file__).parents[2]


class Mine(SessionConnectorAbstract):
    """A connector of somebody's own: it has no platform at all."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.asked: list[Any] = []

    async def start(self, options: StarterOptions) -> None:
        self.asked.append(options)

    async def abort(self, message: str = "") -> None:
        self.asked.append(message)
        self.outcome = Outcome.CLIENT_ABORT

    async def reconnect(self) -> None:
        self.asked.append("reconnect")

    async def send_file(self, epicrisis: Any, answer: object) -> None:
        self.asked.append((epicrisis, answer))


def plain(root: Path, **options: Any) -> Session:
    given: dict[str, Any] = {"token": "t", "host": "http://127.0.0.1:1", "root": root, "store": "memory:"}
    return Session(ExchangeSettings(**(given | options)), solution=echo)


@pytest.mark.requirement("R9")
def test_the_standard_connector_implements_the_abstract_one() -> None:
    assert issubclass(SessionWebsocketConnector, SessionConnectorAbstract)
    assert SessionConnectorAbstract.__abstractmethods__ == {"start", "abort", "reconnect", "send_file"}
    with pytest.raises(TypeError):
        SessionConnectorAbstract(None)  # type: ignore[abstract,arg-type]
    assert inspect.isabstract(ConnectionAbstract)
    assert {"is_connected", "on", "connect", "disconnect", "wait", "emit"} <= ConnectionAbstract.__abstractmethods__


@pytest.mark.requirement("R10")
def test_the_session_knows_nothing_of_the_protocol() -> None:
    tree = ast.parse(inspect.getsource(session_module))
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not {name for name in imported if name and name.startswith(("connection", "socketio"))}
    words = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    assert not [word for word in words if word.startswith(("session-", "connection-")) or "sessionId" in word]


@pytest.mark.requirement("R11", "R42")
async def test_another_connector_is_a_subclass_that_is_put_into_the_factory(tmp_path: Path) -> None:
    with SessionConnectorFactory.use(Mine):
        async with plain(tmp_path) as session:
            await session.start(OPTIONS)
            await session.send_file("f", "answer")
            await session.abort("enough")
            connector = session._connector
            assert isinstance(connector, Mine)
            assert connector.asked == [OPTIONS, ("f", "answer"), "enough"]
            assert await session.wait() is Outcome.CLIENT_ABORT
            await session.reconnect()
            assert session._connector is not connector
    async with plain(tmp_path) as session:
        assert isinstance(SessionConnectorFactory.get(session), SessionWebsocketConnector)


@pytest.mark.requirement("R42")
def test_what_is_no_connector_is_refused_and_nothing_is_swapped() -> None:
    for wrong in (Session, "Mine", None):
        with pytest.raises(ConfigurationError, match="SessionConnectorAbstract"):
            SessionConnectorFactory.use(wrong)  # type: ignore[arg-type]
    before = SessionConnectorFactory._class
    SessionConnectorFactory.use(Mine).__exit__(None, None, None)
    assert SessionConnectorFactory._class is before
    with pytest.raises(ZeroDivisionError), SessionConnectorFactory.use(Mine):
        assert 1 / 0
    assert SessionConnectorFactory._class is before


@pytest.mark.requirement("R1")
def test_one_import_path_has_all_of_it() -> None:
    for name in insession.exchange.__all__:
        assert getattr(insession.exchange, name) is not None
    assert {"Session", "SessionStarterOptions", "SessionConnectorFactory", "Epicrisis"} <= set(
        insession.exchange.__all__
    )
    assert set(exceptions.__all__) == {"NotConnectedError", "SessionEssayNotCorrectError", "StartSessionError"}


@pytest.mark.requirement("R41")
def test_the_verbs() -> None:
    for verb in ("start", "abort", "reconnect", "send_file"):
        assert inspect.iscoroutinefunction(getattr(Session, verb))
    assert list(inspect.signature(Session.send_file).parameters) == ["self", "epicrisis", "answer"]
    options = SessionStarterOptions(type="final", dataset="test", file_count=10, file_timeout=10, language="eng")
    assert options.prepare_to_command()["type"] == "final"


async def test_making_a_session_reads_and_opens_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TOKEN", raising=False)
    session = Session(solution=echo)
    with pytest.raises(ConfigurationError, match="TOKEN"):
        await session.start(OPTIONS)
    with pytest.raises(SessionNotStarted):
        await session.wait()
    with pytest.raises(SessionNotStarted):
        await session.send_file("f", "a")
    assert (session.id, session.outcome, session.options) == (None, None, None)
    await session.close()
    assert not os.listdir(tmp_path)  # noqa: PTH208


async def test_without_a_block_a_verb_opens_and_close_closes(tmp_path: Path) -> None:
    async with platform() as double:
        session = Session(settings(double, tmp_path), solution=echo, result_timeout=20.0)
        assert session.settings.result_timeout == 20.0
        await session.start(OPTIONS)
        assert session.options is OPTIONS
        assert await session.wait() is Outcome.FINISH
        await session.close()
        await session.close()
        assert repr(session) == "<Session None>"


async def test_a_session_that_is_served_is_not_begun_again_and_one_that_ended_is(tmp_path: Path) -> None:
    async with platform(interval=0.2) as double, serving(double, tmp_path) as (session, _):
        await session.start(OPTIONS)
        for verb in (session.start(OPTIONS), session.reconnect()):
            with pytest.raises(SessionServed):
                await verb
        assert await session.wait() is Outcome.FINISH
        await session.start(OPTIONS)
        assert session.id == "1002"
        assert await session.wait() is Outcome.FINISH
        assert double.counters().closed == ["finish", "finish"]


async def test_two_processes_do_not_serve_one_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Else the second waits for as long as the first would have to be dead.
    monkeypatch.setattr(holding, "_PATIENCE", 0.3 - holding.LEASE)
    store = f"sqlite:///{tmp_path / 'exchange.db'}"
    async with platform(interval=3600.0) as double, serving(double, tmp_path, store=store) as (first, _):
        await first.start(OPTIONS)
        async with serving(double, tmp_path, store=store) as (second, heard):
            with pytest.raises(SessionServed):
                await second.reconnect()
            assert second.outcome is Outcome.STOPPED
            assert [event.detail["outcome"] for event in heard.of(What.ENDED)] == ["stopped"]
        await first.abort()


async def test_who_stood_still_and_was_followed_stops_with_a_clear_error(tmp_path: Path) -> None:
    """Its files are another process's now: it sends nothing any more, and who waits is told why."""
    clock = ManualClock()
    heard = Heard()
    engine = insession.connect(MemoryStore(clock=clock), kinds=[exchange_kind()], clock=clock)
    async with engine, platform(interval=3600.0) as double:
        first = Session(settings(double, tmp_path), solution=echo, engine=engine, on_event=heard.event)
        async with first:
            await first.start(OPTIONS)
            served = await newest(engine, TOKEN)
            assert served is not None
            clock.set(clock.now() + 100.0)  # nothing rang meanwhile: the lease is over
            async with served.lock("serve", ttl=1_000.0):
                # The platform would take a new line of it for the participant's, and give it the session.
                await asyncio.to_thread(double.drop, "transport")
                await heard.until(lambda: any("next attempt" in event.message for event in heard.of(What.NOTICE)))
                waiting = asyncio.ensure_future(first.wait())
                while not waiting.done():
                    await clock.advance(1.0)
                    await asyncio.sleep(0.01)
                with pytest.raises(SessionServed):
                    await waiting
                assert first.outcome is Outcome.STOPPED
                (ended,) = heard.of(What.ENDED)
                assert ended.message == str(SessionServed())
        assert double.counters().connections == 1


async def test_several_sessions_live_in_one_program(tmp_path: Path) -> None:
    async with platform(count=5, interval=0.02) as double:
        async with asyncio.TaskGroup() as group:
            for number in range(4):
                group.create_task(one_of_many(double, tmp_path / str(number), f"token-{number}"))
        counters = double.counters()
        assert counters.closed == ["finish"] * 4
        assert counters.violations == []
        assert all(file.answers == 1 for file in counters.files)


async def one_of_many(double: Any, root: Path, token: str) -> None:
    async def solve(epicrisis: Epicrisis) -> str:
        assert epicrisis.path_to_xml.is_relative_to(root)
        return token

    async with serving(double, root, solve, token=token) as (session, _):
        assert await session.run(OPTIONS) is Outcome.FINISH


async def test_a_listener_that_fails_keeps_nobody_from_hearing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    heard = Heard()

    def fails(_: object) -> None:
        raise RuntimeError("a listener of somebody's own")

    async with platform() as double:
        session = Session(
            settings(double, tmp_path),
            solution=echo,
            on_event=[fails, heard.event],
            on_wire=[fails, heard.message],
        )
        async with session:
            assert await session.run(OPTIONS) is Outcome.FINISH
    assert heard.of(What.ENDED)
    assert heard.said("in", "session-close")
    assert len(heard.said("out", "session-file-send")) == 3
    assert "a listener failed" in caplog.text


async def test_leaving_the_block_stops_serving_and_leaves_the_session(tmp_path: Path) -> None:
    async with platform(interval=0.3) as double:
        async with serving(double, tmp_path) as (session, heard):
            await session.start(OPTIONS)
        assert heard.of(What.ENDED)[0].detail["outcome"] == "stopped"
        assert double.counters().closed == []
        async with serving(double, tmp_path) as (session, _):
            await session.reconnect()
            assert await session.wait() is Outcome.FINISH


async def test_the_samples_of_the_page_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "exchange.md").read_text("utf-8")
    assert await run_blocks(page, "exchange.md") >= 4
    assert SessionConnectorFactory._class is SessionWebsocketConnector

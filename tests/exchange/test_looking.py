"""Sessions as they are seen from outside, and ended from there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec import structs

from insession.errors import InvalidInput
from insession.exchange.aborting import ask, heed
from insession.exchange.choosing import chosen_solution
from insession.exchange.contracts import ExchangeEvent, Id, Outgoing, Received, Serving
from insession.exchange.desk import Desk
from insession.exchange.dto import SessionFileDto
from insession.exchange.epicrisis import Epicrisis
from insession.exchange.errors import AbortRefused, AbortTimedOut, ExchangeError
from insession.exchange.holding import exchange_engine
from insession.exchange.looking import is_served, newest, see
from insession.exchange.outcomes import Outcome
from insession.exchange.settings import ExchangeSettings
from insession.exchange.solutions import Command, OutputFolder, solver_of
from insession.kernel.engine import Engine

WHO = "participant"


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    async with exchange_engine("memory:") as engine:
        yield engine


class Platform:
    """Takes every answer."""

    def __init__(self, engine: Engine, root: Path, session_id: Id = "s-1", *, joined: bool = False) -> None:
        self.told: list[ExchangeEvent] = []
        self.desk = Desk(engine, lambda epicrisis: {"n": 1}, participant=WHO, root=root, about={"host": "h"})
        self.serving = Serving(
            session_id=session_id, send=self.send, tell=self.told.append, dialect="2021", joined=joined
        )

    async def send(self, outgoing: Outgoing) -> None:
        asyncio.get_running_loop().call_soon(asyncio.ensure_future, self.desk.acknowledged(outgoing.file_id))

    async def send_file(self, file_id: Id) -> None:
        await self.desk.take_in(Received(session_id=self.serving.session_id, file_id=file_id, content=b"<x/>"))
        await self.desk.drain(5.0)


async def test_what_is_known_of_a_session(engine: Engine, tmp_path: Path) -> None:
    assert await newest(engine, WHO) is None
    first = Platform(engine, tmp_path)
    await first.desk.open(first.serving)
    await first.send_file(7)
    session = await newest(engine, WHO)
    assert session is not None
    seen = await see(session)
    assert (seen.live, seen.served, seen.data["host"]) == (True, True, "h")
    (file,) = seen.report.files.values()
    assert (file.id, file.state, file.sendings) == (7, "acknowledged", 1)
    await first.desk.close(Outcome.FINISH)
    await first.desk.aclose()

    session = await newest(engine, WHO, "s-1")
    assert session is not None
    assert not await is_served(session)
    assert (await see(session)).report.outcome is Outcome.FINISH
    assert await newest(engine, WHO, live=True) is None
    assert await newest(engine, WHO, "s-2") is None
    assert await newest(engine, "somebody else") is None


async def test_a_live_session_is_newer_than_one_that_is_over(engine: Engine, tmp_path: Path) -> None:
    lives, over = Platform(engine, tmp_path, 1), Platform(engine, tmp_path, 2)
    await lives.desk.open(lives.serving)
    await over.desk.open(over.serving)
    await over.desk.close(Outcome.TIMEOUT_CLOSE)
    found = await newest(engine, WHO)
    assert found is not None
    assert found.data["session_id"] == 1
    for one in (lives, over):
        await one.desk.aclose()


async def test_a_session_that_is_started_has_nothing_of_an_older_one_of_its_name(
    engine: Engine, tmp_path: Path
) -> None:
    """A platform that began anew counts its sessions from the beginning, and its files too."""
    for joined, files in ((False, 1), (True, 1), (False, 0)):
        platform = Platform(engine, tmp_path, joined=joined)
        await platform.desk.open(platform.serving)
        if files and not joined:
            await platform.send_file(7)
        session = await newest(engine, WHO)
        assert session is not None
        assert len((await see(session)).report.files) == files
        await platform.desk.close(Outcome.LOST)
        await platform.desk.aclose()


async def test_nor_of_one_that_nobody_has_ended(engine: Engine, tmp_path: Path) -> None:
    """The process that served it was killed, and the platform began anew and gave its id again."""
    for joined, files in ((False, 1), (True, 1), (False, 0)):
        platform = Platform(engine, tmp_path, joined=joined)
        await platform.desk.open(platform.serving)
        if files and not joined:
            await platform.send_file(7)
        session = await newest(engine, WHO)
        assert session is not None
        assert len((await see(session)).report.files) == files
        await platform.desk.aclose()


async def test_a_session_is_not_joined_in_another_dialect(engine: Engine, tmp_path: Path) -> None:
    platform = Platform(engine, tmp_path)
    await platform.desk.open(platform.serving)
    await platform.desk.close(Outcome.STOPPED)
    with pytest.raises(InvalidInput, match="dialect: this session was begun in that of 2021"):
        await platform.desk.open(structs.replace(platform.serving, dialect="2023", joined=True))
    await platform.desk.aclose()


class TestAbort:
    async def asked(self, engine: Engine, tmp_path: Path, problem: Exception | None) -> list[str]:
        """Serve a session and ask for its abort, as from another process; what the platform was told."""
        said: list[str] = []

        async def abort(message: str) -> None:
            said.append(message)
            if problem is not None:
                raise problem

        platform = Platform(engine, tmp_path)
        await platform.desk.open(platform.serving)
        attending = asyncio.ensure_future(platform.desk.attend(abort))
        session = await newest(engine, WHO)
        assert session is not None
        try:
            assert await ask(session, "enough", 20.0)
            await attending
        except ExchangeError:
            # The platform said no: the session goes on, and so does its record.
            assert (await session.refresh()).record.live
            raise
        finally:
            attending.cancel()
            await platform.desk.aclose()
        return said

    @pytest.mark.requirement("R15")
    async def test_it_is_done_by_who_serves(self, engine: Engine, tmp_path: Path) -> None:
        assert await self.asked(engine, tmp_path, None) == ["enough"]

    @pytest.mark.requirement("R15")
    @pytest.mark.parametrize("problem", [AbortRefused("not now"), AbortTimedOut(3.0)])
    async def test_what_the_platform_says_is_heard(self, engine: Engine, tmp_path: Path, problem: Exception) -> None:
        with pytest.raises(type(problem)) as raised:
            await self.asked(engine, tmp_path, problem)
        assert str(raised.value) == str(problem)

    async def test_after_a_refusal_it_may_be_asked_for_again(self, engine: Engine, tmp_path: Path) -> None:
        said: list[str] = []

        async def abort(message: str) -> None:
            said.append(message)
            if len(said) == 1:
                raise AbortRefused("not before noon")

        platform = Platform(engine, tmp_path)
        await platform.desk.open(platform.serving)
        attending = asyncio.ensure_future(platform.desk.attend(abort))
        session = await newest(engine, WHO)
        assert session is not None
        with pytest.raises(AbortRefused):
            await ask(session, "at eleven", 20.0)
        assert await ask(session, "at one", 20.0)
        await attending
        await platform.desk.aclose()
        assert said == ["at eleven", "at one"]

    async def test_what_was_asked_for_in_vain_is_not_done_later(self, engine: Engine, tmp_path: Path) -> None:
        said: list[str] = []

        async def abort(message: str) -> None:
            said.append(message)

        platform = Platform(engine, tmp_path)
        await platform.desk.open(platform.serving)
        session = await newest(engine, WHO)
        assert session is not None
        with pytest.raises(AbortTimedOut):
            await ask(session, "nobody looks", 0.0)
        assert await heed(session, abort) is False
        assert said == []
        await platform.desk.aclose()

    async def test_nobody_serves_any_more(self, engine: Engine, tmp_path: Path) -> None:
        platform = Platform(engine, tmp_path)
        await platform.desk.open(platform.serving)
        session = await newest(engine, WHO)
        assert session is not None
        await platform.desk.close(Outcome.STOPPED)
        await platform.desk.aclose()
        assert await ask(session, "enough", 20.0) is False


class TestWhichSolution:
    def chosen(self, **given: object) -> object:
        return chosen_solution(ExchangeSettings.model_validate({"token": "t", "host": "http://127.0.0.1:9"} | given))

    def test_the_settings_say_it(self) -> None:
        assert self.chosen(solution="my.model:solve") == "my.model:solve"
        assert isinstance(self.chosen(solution="python model.py {path}"), Command)
        assert isinstance(self.chosen(solution="folder"), OutputFolder)
        assert isinstance(self.chosen(check_directory_answer="1", solution="x:y"), OutputFolder)
        assert self.chosen(only_save=True, solution="x:y") is None
        assert self.chosen() is None

    @pytest.mark.parametrize(("dialect", "empty"), [("2021", "{}"), ("2023", "[]")])
    async def test_to_rehearse_each_file_gets_an_empty_answer(self, tmp_path: Path, dialect: str, empty: str) -> None:
        solver = solver_of(self.chosen(automatic_answer="yes", dialect=dialect, download_host="http://127.0.0.1:9"))
        epicrisis = Epicrisis(SessionFileDto(session_id=1, file_id=1), path_to_xml=tmp_path / "1.xml")
        assert await solver.solve(epicrisis, None) == empty

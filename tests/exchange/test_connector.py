"""The protocol against the platform's double: how a session begins, what becomes of its files, how it ends."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from insession.exchange.contracts import What
from insession.exchange.epicrisis import Epicrisis
from insession.exchange.errors import (
    AbortRefused,
    AbortTimedOut,
    AuthRefused,
    SessionEssayNotCorrectError,
    SessionNotExistError,
    SessionTimedOut,
    StartSessionError,
    StartTimedOut,
)
from insession.exchange.options import ContestStarterOptions, SessionStarterOptions
from insession.exchange.outcomes import EXIT_CODES, Outcome
from insession.testing.platform import PlatformDouble, PlatformFaults, PlatformFile

from .sessions import OPTIONS, TOKEN, platform, serving


async def until(double: PlatformDouble, holds: Any) -> Any:
    return await asyncio.to_thread(double.wait_until, holds)


class TestBeginning:
    @pytest.mark.requirement("R2", "R12", "R13")
    async def test_a_start_reaches_the_platform_as_it_is(self, tmp_path: Path) -> None:
        options = SessionStarterOptions(dataset="test", file_count=11, file_timeout=12, language="eng")
        async with platform() as double, serving(double, tmp_path) as (session, _):
            before = session.id
            await session.start(options)
            assert (before, session.id) == (None, "1001")
            assert await session.wait() is Outcome.FINISH
            assert double.counters().starts == [options.prepare_to_command()]
            assert double.counters().violations == []

    @pytest.mark.requirement("R14")
    async def test_a_start_that_is_refused(self, tmp_path: Path) -> None:
        faults = PlatformFaults(refuse_start="the contest is over")
        async with platform(faults) as double, serving(double, tmp_path) as (session, heard):
            with pytest.raises(StartSessionError, match="the contest is over") as raised:
                await session.start(OPTIONS)
            assert raised.value.message == "the contest is over"
            assert session.outcome is Outcome.REFUSED
            assert Outcome.REFUSED.exit_code != 0
            assert (await until(double, lambda seen: seen.disconnections == 1)).connections == 1
            assert [event.detail["outcome"] for event in heard.of(What.ENDED)] == ["refused"]

    async def test_a_start_that_is_not_answered(self, tmp_path: Path) -> None:
        faults = PlatformFaults(silent_start=True)
        async with platform(faults) as double, serving(double, tmp_path, start_timeout=0.2) as (session, _):
            with pytest.raises(StartTimedOut, match=r"the start did not come within 0.2 s"):
                await session.start(OPTIONS)
            await until(double, lambda seen: seen.disconnections == 1)

    @pytest.mark.requirement("R5")
    async def test_a_token_that_is_not_taken_ends_the_session_and_nobody_dials_again(self, tmp_path: Path) -> None:
        async with (
            platform(tokens=("another",)) as double,
            serving(double, tmp_path, join_timeout=30.0) as (session, heard),
        ):
            with pytest.raises(AuthRefused, match="the token is not known") as raised:
                await session.start(OPTIONS)
            assert TOKEN not in str(raised.value)
            assert session.outcome is Outcome.REFUSED
            counters = await until(double, lambda seen: seen.disconnections == 1)
            assert (counters.connections, counters.starts) == (1, [])
            assert not any("next attempt" in event.message for event in heard.of(What.NOTICE))

    async def test_a_token_that_is_no_longer_taken_ends_the_session_too(self, tmp_path: Path) -> None:
        rules: dict[str, Any] = {"tokens": (TOKEN,), "count": 3, "interval": 3600.0}
        async with platform(**rules) as double, serving(double, tmp_path) as (session, heard):
            await session.start(OPTIONS)
            memory = double._server.memory
            memory.rules = msgspec.structs.replace(memory.rules, tokens=("another",))
            await asyncio.to_thread(double.drop, "transport")
            assert await session.wait() is Outcome.REFUSED
            assert double.counters().refused_tokens == 1
            assert "the token is not known" in heard.of(What.ENDED)[0].message

    @pytest.mark.requirement("R21", "R22")
    @pytest.mark.parametrize("joins", [True, False], ids=["joined unasked", "asked"])
    async def test_a_session_that_is_active_is_joined_and_served(self, tmp_path: Path, *, joins: bool) -> None:
        async with platform(count=4, interval=0.25, joins=joins) as double:
            async with serving(double, tmp_path / "a") as (first, heard):
                await first.start(OPTIONS)
                await heard.until(lambda: heard.of(What.ACKNOWLEDGED))
            wait = 30.0 if joins else 0.15
            async with serving(double, tmp_path / "b", join_timeout=wait) as (session, heard):
                await session.start(OPTIONS)
                assert heard.of(What.JOINED)
                assert not heard.of(What.STARTED)
                assert session.id == "1001"
                assert await session.wait() is Outcome.FINISH
            counters = double.counters()
            # Where the platform joins without being asked, nobody asks it to start another.
            assert len(counters.starts) == (1 if joins else 2)
            assert counters.answered == 4
            assert counters.closed == ["finish"]

    @pytest.mark.requirement("R16")
    async def test_reconnecting_from_another_process_goes_on_where_the_first_was(self, tmp_path: Path) -> None:
        store = f"sqlite:///{tmp_path / 'exchange.db'}"
        begun = asyncio.Event()

        async def hang(epicrisis: Epicrisis) -> None:
            begun.set()
            await asyncio.Event().wait()

        async with platform(count=2, away="lost") as double:
            async with serving(double, tmp_path, hang, store=store, drain_timeout=0.1) as (first, heard):
                await first.start(OPTIONS)
                await heard.until(lambda: len(heard.of(What.SAVED)) == 2)
                await begun.wait()
                await first.stop()
                assert await first.wait() is Outcome.STOPPED
            assert double.counters().answered == 0
            # The platform sends nothing twice here: both files come out of the journal.
            async with serving(double, tmp_path, store=store) as (session, heard):
                await session.reconnect()
                assert await session.wait() is Outcome.FINISH
                assert not heard.of(What.RECEIVED)
            assert (double.counters().answered, len(double.counters().starts)) == (2, 1)

    @pytest.mark.requirement("R16")
    async def test_reconnecting_to_no_session(self, tmp_path: Path) -> None:
        async with platform() as double, serving(double, tmp_path) as (session, _):
            with pytest.raises(SessionNotExistError, match="no session is active"):
                await session.reconnect()
            assert session.outcome is Outcome.REFUSED


class TestFiles:
    @pytest.mark.requirement("R20", "R34", "R29", "R33")
    async def test_each_answer_belongs_to_its_file_whatever_their_order(self, tmp_path: Path) -> None:
        all_here, waiting = asyncio.Event(), 0

        async def backwards(epicrisis: Epicrisis) -> dict[str, Any]:
            nonlocal waiting
            waiting += 1
            if waiting == 6:
                all_here.set()
            await all_here.wait()
            await asyncio.sleep(0.05 * (7 - int(epicrisis.file_id)))
            return {"file": epicrisis.file_id}

        faults = PlatformFaults(refuse_every=3, swap_every=4)
        async with platform(faults, count=6) as double:
            async with serving(double, tmp_path, backwards, concurrency=6) as (session, heard):
                assert await session.run(OPTIONS) is Outcome.FINISH
                assert len(heard.of(What.ACKNOWLEDGED)) == 6
            counters = double.counters()
        assert [file.answer for file in counters.files] == [f'{{"file":"{number:06}"}}' for number in range(1, 7)]
        assert counters.violations == []
        assert sum(file.refused for file in counters.files) == 2

    @pytest.mark.requirement("R19")
    async def test_while_one_file_is_solved_others_are_served_and_the_end_is_heard(self, tmp_path: Path) -> None:
        async def first_hangs(epicrisis: Epicrisis) -> dict[str, Any]:
            if epicrisis.file_id == "000001":
                await asyncio.Event().wait()
            return {"file": epicrisis.file_id}

        async with platform(count=3) as double:
            async with serving(double, tmp_path, first_hangs) as (session, heard):
                await session.start(OPTIONS)
                await heard.until(lambda: len(heard.of(What.ACKNOWLEDGED)) == 2)
                await asyncio.to_thread(double.abort)
                assert await session.wait() is Outcome.SESSION_ABORT
            assert [file.answers for file in double.counters().files] == [0, 1, 1]

    @pytest.mark.requirement("R17")
    async def test_a_solution_is_sent_in_the_course_of_the_session(self, tmp_path: Path) -> None:
        async with platform(count=2) as double:
            async with serving(double, tmp_path, None, only_save=True) as (session, heard):
                await session.start(OPTIONS)
                await heard.until(lambda: len(heard.of(What.SAVED)) == 2)
                for event in heard.of(What.SAVED):
                    await session.send_file(event.file_id, f"by hand {event.file_id}")
                with pytest.raises(SessionEssayNotCorrectError):
                    await session.send_file("000009", "x")
                assert await session.wait() is Outcome.FINISH
            assert [file.answer for file in double.counters().files] == ["by hand 000001", "by hand 000002"]

    @pytest.mark.requirement("R23")
    @pytest.mark.parametrize("spelling", ["avaiable", "available"])
    @pytest.mark.parametrize("content", ["string", "object", "xml"])
    async def test_both_spellings_and_every_form_of_content(self, tmp_path: Path, spelling: str, content: str) -> None:
        async with platform(spelling=spelling, content=content, session_ids="number") as double:
            async with serving(double, tmp_path) as (session, _):
                assert await session.run(OPTIONS) is Outcome.FINISH
                assert session.id == 1001
            assert double.counters().answered == 3
            assert double.counters().violations == []

    @pytest.mark.requirement("R35")
    async def test_a_file_of_another_session_is_refused_and_reported(self, tmp_path: Path) -> None:
        async with platform(PlatformFaults(foreign_every=1)) as double:
            async with serving(double, tmp_path) as (session, heard):
                assert await session.run(OPTIONS) is Outcome.FINISH
                reported = [event for event in heard.of(What.REPORTED) if "another session" in event.message]
                assert len(reported) == 3
            assert (double.counters().foreign, double.counters().results) == (3, 3)
            assert double.counters().violations == []

    @pytest.mark.requirement("R35")
    async def test_files_that_name_no_session(self, tmp_path: Path) -> None:
        async with platform(names_session=False) as double, serving(double, tmp_path) as (session, _):
            assert await session.run(OPTIONS) is Outcome.FINISH
            assert double.counters().answered == 3
            assert double.counters().violations == []

    async def test_a_platform_that_repeats_the_token_is_quoted_without_it(self, tmp_path: Path) -> None:
        faults = PlatformFaults(refuse_start=f"{TOKEN} may start nothing")
        async with platform(faults) as double, serving(double, tmp_path) as (session, heard):
            with pytest.raises(StartSessionError) as raised:
                await session.start(OPTIONS)
        assert raised.value.message == "*** may start nothing"
        assert TOKEN not in repr(heard.events)

    async def test_ids_that_no_file_can_have_harm_nothing(self, tmp_path: Path) -> None:
        files = (
            PlatformFile(id="../../../../evil", content="a"),
            PlatformFile(id="x" * 10_000, content="b"),
            PlatformFile(id=7, content="c"),
            PlatformFile(id="", content="d"),
        )
        async with platform(files=files, patience=0.6) as double:
            async with serving(double, tmp_path) as (session, heard):
                assert await session.run(OPTIONS) is Outcome.TIMEOUT_CLOSE
                assert any("fileId: is empty" in event.message for event in heard.of(What.REPORTED))
            counters = double.counters()
        assert [file.answers for file in counters.files] == [1, 1, 1, 0]
        assert counters.violations == []
        below = tmp_path / "files" / "sessions" / "1001" / "input"
        assert len(list(below.iterdir())) == 3
        assert not list(tmp_path.parent.rglob("evil*"))

    @pytest.mark.parametrize("resend", ["always", "never"])
    async def test_an_acknowledgement_that_does_not_come(self, tmp_path: Path, resend: str) -> None:
        faults = PlatformFaults(lose_acknowledgement_every=2)
        options = {"resend": resend, "result_timeout": 0.4}
        async with platform(faults, count=4, ending="time", patience=1.5) as double:
            async with serving(double, tmp_path, **options) as (session, heard):
                assert await session.run(OPTIONS) is Outcome.FINISH
                late = {event.file_id for event in heard.of(What.REPORTED) if "a result did not come" in event.message}
                # On a busy machine others may be late as well.
                assert late >= {"000002", "000004"}
                acknowledged = {event.file_id for event in heard.of(What.ACKNOWLEDGED)}
                assert ({"000002", "000004"} <= acknowledged) is (resend == "always")
            counters = double.counters()
        assert counters.answered == 4
        assert all(file.equal for file in counters.files)
        assert (counters.repeats >= 2) is (resend == "always")
        assert (counters.repeats == 0) is (resend == "never")

    async def test_an_answer_above_the_servers_limit_is_reported_once_and_cuts_no_line(self, tmp_path: Path) -> None:
        async def large(epicrisis: Epicrisis) -> str:
            return "x" * (2_000_000 if epicrisis.file_id == "000002" else 10)

        async with platform(patience=0.6) as double:
            async with serving(double, tmp_path, large) as (session, heard):
                assert await session.run(OPTIONS) is Outcome.TIMEOUT_CLOSE
                told = [event for event in heard.events if "the server takes" in event.message]
                assert [(event.file_id, event.what) for event in told] == [("000002", What.REFUSED)]
            assert double.counters().connections == 1
            assert [file.answers for file in double.counters().files] == [1, 0, 1]

    async def test_what_the_platform_refuses_thrice_is_refused(self, tmp_path: Path) -> None:
        faults = PlatformFaults(refuse_every=2, refuse_times=9)
        async with platform(faults, patience=0.6) as double:
            async with serving(double, tmp_path) as (session, heard):
                assert await session.run(OPTIONS) is Outcome.TIMEOUT_CLOSE
                refused = heard.of(What.REFUSED)
                assert [(event.file_id, event.message) for event in refused] == [
                    ("000002", "the result could not be saved")
                ]
            assert [file.refused for file in double.counters().files] == [0, 3, 0]


class TestEnd:
    @pytest.mark.requirement("R30")
    async def test_after_the_last_file_the_client_leaves_by_itself(self, tmp_path: Path) -> None:
        async with platform() as double, serving(double, tmp_path) as (session, heard):
            await session.start(OPTIONS)
            assert await session.wait() is Outcome.FINISH
            assert session.outcome is Outcome.FINISH
            assert Outcome.FINISH.exit_code == 0
            assert (await until(double, lambda seen: seen.disconnections == 1)).connections == 1
            assert heard.events[-1].what is What.ENDED

    @pytest.mark.requirement("R31")
    def test_outcomes_have_exit_codes_of_their_own(self) -> None:
        assert set(EXIT_CODES) == set(Outcome)
        assert len(set(EXIT_CODES.values())) == len(Outcome)
        assert [outcome for outcome in Outcome if outcome.exit_code == 0] == [Outcome.FINISH]

    @pytest.mark.requirement("R31")
    async def test_the_platform_closes_when_its_time_is_over(self, tmp_path: Path) -> None:
        async with platform(patience=0.3) as double:
            async with serving(double, tmp_path, None, only_save=True) as (session, _):
                assert await session.run(OPTIONS) is Outcome.TIMEOUT_CLOSE
            assert double.counters().closed == ["timeout-close"]

    @pytest.mark.requirement("R31")
    async def test_the_platform_aborts(self, tmp_path: Path) -> None:
        async with platform(interval=3600.0) as double, serving(double, tmp_path) as (session, heard):
            await session.start(OPTIONS)
            await asyncio.to_thread(double.abort, "maintenance")
            assert await session.wait() is Outcome.SESSION_ABORT
            assert heard.of(What.ENDED)[0].message == "maintenance"

    @pytest.mark.requirement("R15", "R31", "R32")
    @pytest.mark.parametrize("spelling", ["cliend", "client"])
    async def test_an_abort_that_is_confirmed(self, tmp_path: Path, spelling: str) -> None:
        async with (
            platform(interval=3600.0) as double,
            serving(double, tmp_path, abort_spelling=spelling) as (session, heard),
        ):
            await session.start(OPTIONS)
            await session.abort("enough")
            assert await session.wait() is Outcome.CLIENT_ABORT
            counters = double.counters()
            said = heard.said("out", f"session-{spelling}-abort")
            assert said == ([{"sessionId": "1001", "message": "enough"}] if spelling == "cliend" else [None])
            assert (len(counters.aborts), counters.closed) == (1, ["client-abort"])

    @pytest.mark.requirement("R15")
    async def test_an_abort_that_is_refused_lets_the_session_go_on(self, tmp_path: Path) -> None:
        faults = PlatformFaults(refuse_abort="not now")
        async with platform(faults, interval=0.3) as double, serving(double, tmp_path) as (session, _):
            await session.start(OPTIONS)
            with pytest.raises(AbortRefused, match="not now"):
                await session.abort()
            assert await session.wait() is Outcome.FINISH
            assert double.counters().answered == 3

    async def test_an_abort_that_is_not_answered(self, tmp_path: Path) -> None:
        faults = PlatformFaults(silent_abort=True)
        async with (
            platform(faults, interval=3600.0) as double,
            serving(double, tmp_path, abort_timeout=0.2) as (session, _),
        ):
            await session.start(OPTIONS)
            with pytest.raises(AbortTimedOut):
                await session.abort()
            assert session.outcome is None

    @pytest.mark.requirement("R15")
    async def test_an_abort_from_another_process_ends_the_session_there(self, tmp_path: Path) -> None:
        async with platform(interval=3600.0) as double, serving(double, tmp_path / "a") as (first, _):
            await first.start(OPTIONS)
            async with serving(double, tmp_path / "b") as (session, _):
                await session.abort()
                assert session.outcome is Outcome.CLIENT_ABORT
            assert double.counters().closed == ["client-abort"]
            await asyncio.to_thread(double.drop, "transport")
            assert await first.wait() is Outcome.LOST

    async def test_a_session_that_ends_while_the_line_is_down_is_lost(self, tmp_path: Path) -> None:
        rules: dict[str, Any] = {"interval": 3600.0, "away": "lost"}
        async with platform(**rules) as double, serving(double, tmp_path) as (session, heard):
            await session.start(OPTIONS)
            memory = double._server.memory
            held = memory.active(TOKEN)
            assert held is not None
            double._loop.call_soon_threadsafe(held.end, "finish")
            await asyncio.to_thread(double.drop, "transport")
            assert await session.wait() is Outcome.LOST
            assert "ended while the line was down" in heard.of(What.ENDED)[0].message

    async def test_a_session_that_does_not_end_in_time(self, tmp_path: Path) -> None:
        async with (
            platform(interval=3600.0) as double,
            serving(double, tmp_path, session_timeout=0.3) as (session, heard),
        ):
            assert await session.run(OPTIONS) is Outcome.LOST
            assert str(SessionTimedOut(0.3)) == heard.of(What.ENDED)[0].message

    async def test_work_in_hand_is_finished_when_it_is_stopped(self, tmp_path: Path) -> None:
        begun, may_go = asyncio.Event(), asyncio.Event()

        async def solve(epicrisis: Epicrisis) -> str:
            begun.set()
            await may_go.wait()
            return "[]"

        async with platform(count=1) as double, serving(double, tmp_path, solve) as (session, heard):
            await session.start(OPTIONS)
            await begun.wait()
            stopping = asyncio.create_task(session.stop())
            await asyncio.sleep(0)
            may_go.set()
            await stopping
            assert heard.of(What.ACKNOWLEDGED)
            assert double.counters().answered == 1
            assert await session.wait() in {Outcome.STOPPED, Outcome.FINISH}


class TestDialectOf2023:
    async def test_files_are_fetched_and_answers_are_lists(self, tmp_path: Path) -> None:
        async def solve(epicrisis: Epicrisis) -> list[dict[str, Any]]:
            return [{"code": epicrisis.epicrisis_id, "task": epicrisis.task_id}]

        faults = PlatformFaults(fail_download_every=2, download_status=503)
        async with platform(faults, dialect="2023") as double:
            options = {"dialect": "2023", "namespace": "/baseline", "download_host": double.download_url}
            async with serving(double, tmp_path, solve, **options) as (session, heard):
                assert await session.run(ContestStarterOptions(file_count=3, file_timeout=10)) is Outcome.FINISH
                assert len(heard.of(What.ACKNOWLEDGED)) == 3
            counters = double.counters()
        assert (counters.answered, counters.downloads, counters.violations) == (3, 4, [])
        assert counters.files[0].answer == '[{"code": 50001, "task": 950001}]'
        below = tmp_path / "files" / "sessions" / "1001" / "input"
        assert sorted(path.name for path in below.iterdir()) == [f"5000{n}_1_95000{n}.xml" for n in (1, 2, 3)]

    async def test_a_page_that_is_no_file_is_not_saved(self, tmp_path: Path) -> None:
        async def solve(epicrisis: Epicrisis) -> list[str]:
            return []

        faults = PlatformFaults(fail_download_every=2, download_status=404)
        async with platform(faults, dialect="2023", patience=0.6) as double:
            options = {"dialect": "2023", "namespace": "/baseline", "download_host": double.download_url}
            async with serving(double, tmp_path, solve, **options) as (session, heard):
                assert await session.run() is Outcome.TIMEOUT_CLOSE
                failed = [event for event in heard.events if "answered 404" in event.message]
                assert failed
                assert not any(TOKEN in event.message for event in heard.events)
            assert [file.answers for file in double.counters().files] == [1, 0, 1]
        below = tmp_path / "files" / "sessions" / "1001" / "input"
        assert sorted(path.name for path in below.iterdir()) == ["50001_1_950001.xml", "50003_1_950003.xml"]

"""Contexts: what begins and ends with them, and which session a request goes to."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from blockbuster import blockbuster_ctx

from insession.errors import CalledFromEventLoop
from insession.remote.sankhya import (
    AsyncSankhyaContext,
    AsyncSimpleCRUDRequestWrapper,
    Partner,
    SankhyaClosed,
    SankhyaContext,
    SankhyaException,
    SankhyaHandoverRefused,
    SankhyaInputError,
    SankhyaSettingsError,
    SankhyaUnknownToken,
    ServiceRequest,
    ServiceRequestTooManySessionsException,
    SimpleCRUDRequestWrapper,
)
from insession.testing import SankhyaDouble, SankhyaDoubleProcess
from tests.remote.waiting import happens

from .conftest import Opened, settings_for


def ended(double: SankhyaDouble, sessions: int) -> None:
    counters = double.counters
    assert (counters.logins_ok, counters.logouts, counters.live_sessions) == (sessions, sessions, 0)
    assert (counters.overlaps, counters.violations) == (0, ())


@pytest.mark.requirement("S1", "S79", "S80")
def test_it_is_logged_in_when_it_is_made(double: SankhyaDouble) -> None:
    with SankhyaContext(settings_for(double)) as context:
        assert double.counters.logins_ok == 1
        assert context.is_authenticated
        assert context.user_code == 0
        assert isinstance(context.session_token, UUID)
        stats = context.get_session_stats()
        assert (stats["active_sessions"], stats["total_created"]) == (1, 1)
    ended(double, 1)


@pytest.mark.requirement("S1", "S80")
async def test_the_async_one_logs_in_where_its_block_begins(double: SankhyaDouble) -> None:
    context = AsyncSankhyaContext.from_settings(settings_for(double))
    assert double.counters.logins_attempted == 0
    async with context as same:
        assert same is context
        assert double.counters.logins_ok == 1
        assert context.get_session_stats()["active_sessions"] == 1
    ended(double, 1)


@pytest.mark.requirement("S2")
def test_an_exception_goes_through_and_the_session_is_logged_out(double: SankhyaDouble) -> None:
    error = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt) as caught, SankhyaContext(settings_for(double)) as context:
        context.acquire_session()
        raise error
    assert caught.value is error
    ended(double, 2)


@pytest.mark.requirement("S2")
async def test_a_cancelled_block_logs_out(double: SankhyaDouble) -> None:
    inside = asyncio.Event()

    async def work() -> None:
        async with AsyncSankhyaContext(settings_for(double)) as context:
            await context.acquire_session_async()
            inside.set()
            await asyncio.Event().wait()

    task = asyncio.ensure_future(work())
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    ended(double, 2)


@pytest.mark.requirement("S3")
def test_contexts_of_the_same_user_leave_each_other_alone(double: SankhyaDouble, tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'sessions.db'}"
    one = SankhyaContext(settings_for(double), store=store)
    two = SankhyaContext(settings_for(double), store=store)
    one.dispose()
    threads = [threading.Thread(target=one.dispose) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    del one
    gc.collect()
    assert double.counters.live_sessions == 1
    assert len(two.wrapper.find(Partner)) == 3
    assert double.counters.logins_ok == 2
    two.dispose()
    two.dispose()
    ended(double, 2)


@pytest.mark.requirement("S4")
def test_after_the_end_nothing_is_sent(double: SankhyaDouble) -> None:
    context = SankhyaContext(settings_for(double))
    token = context.acquire_session()
    wrapper = context.wrapper
    context.dispose()
    before = len(double.log)
    for work in (
        lambda: wrapper.find(Partner),
        lambda: wrapper.insert(Partner(name="x")),
        context.acquire_session,
        lambda: context.invoke_with_token(token, "Own.service"),
        lambda: context.finalize_session(token),
        lambda: context.detach_session(token),
        context.get_session_stats,
    ):
        with pytest.raises(SankhyaClosed, match="closed"):
            work()
    assert len(double.log) == before
    assert not context.is_authenticated


@pytest.mark.requirement("S4")
async def test_neither_is_it_by_an_async_one(opened: Opened, double: SankhyaDouble) -> None:
    context = await opened()
    wrapper = context.wrapper
    await context.dispose_async()
    before = len(double.log)
    with pytest.raises(SankhyaClosed):
        await wrapper.find_async(Partner)
    with pytest.raises(SankhyaClosed):
        await context.acquire_session_async()
    assert len(double.log) == before


@pytest.mark.requirement("S6", "S7", "S8", "S9")
def test_a_token_is_one_session(double: SankhyaDouble) -> None:
    with SankhyaContext(settings_for(double)) as context:
        tokens = [context.acquire_session() for _ in range(3)]
        assert len({*tokens, context.session_token}) == 4
        for token in (*tokens, *tokens):
            assert context.invoke_with_token(token, "Own.service").body == {"resultado": {"$": "1"}}
        asked = [one.session for one in double.requests("Own.service")]
        assert len(set(asked)) == 3
        assert asked[:3] == asked[3:]
        context.finalize_session(tokens[0])
        context.finalize_session(str(tokens[0]))
        assert double.counters.logouts == 1
        before = len(double.log)
        for unknown in (tokens[0], uuid4(), "no token"):
            with pytest.raises(SankhyaUnknownToken):
                context.invoke_with_token(unknown, "Own.service")
        main = context.session_token
        assert main is not None
        with pytest.raises(SankhyaInputError, match="main session"):
            context.finalize_session(main)
        assert len(double.log) == before
        assert len(context.wrapper.find(Partner)) == 3
    ended(double, 4)


@pytest.mark.requirement("S10")
@pytest.mark.parametrize("wrong", [{"password": "wrong"}, {"base_url": "http://127.0.0.1:9", "max_retries": 0}])
def test_a_login_that_fails_leaves_nothing(double: SankhyaDouble, wrong: dict[str, object]) -> None:
    threads = threading.active_count()
    with pytest.raises(SankhyaException):
        SankhyaContext(settings_for(double, **wrong))
    deadline = time.monotonic() + 10
    while threading.active_count() > threads and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() == threads
    assert double.counters.live_sessions == 0
    assert double.counters.logins_attempted <= 1


@pytest.mark.requirement("S13", "S80")
async def test_nothing_blocks_the_loop(tmp_path: Path) -> None:
    with SankhyaDoubleProcess() as double:
        lines = [f"SANKHYA_BASE_URL={double.url}", "SANKHYA_USERNAME=SUP", "SANKHYA_PASSWORD=secret"]
        (tmp_path / ".env").write_text("\n".join(lines), "utf-8")
        with blockbuster_ctx() as watch:
            for function in watch.functions.values():
                # Once for each engine, of /proc, which is memory.
                function.can_block_in("insession/kernel/processes.py", {"_seen", "_home"})
            async with AsyncSankhyaContext.from_settings() as context:
                assert len(await context.wrapper.find_async(Partner)) == 3
                key = await context.wrapper.open_file_async("Sistema/manual.txt")
                await context.wrapper.get_file_async(key, to=tmp_path / "copy.txt")
        assert (tmp_path / "copy.txt").read_text("utf-8") == "Instruções"


@pytest.mark.requirement("S13")
@pytest.mark.parametrize("service", ["login", "loadRecords", "logout"])
async def test_the_loop_goes_on_while_the_service_is_slow(double: SankhyaDouble, service: str) -> None:
    """Whoever waits for the service lets others work: the service answers when one of them says so."""

    async def work() -> None:
        async with AsyncSankhyaContext(settings_for(double)) as context:
            await context.wrapper.find_async(Partner)

    double.inject("hold", service=service)
    working = asyncio.ensure_future(work())
    await happens(lambda: double.requests(service))
    double.release()
    await working


@pytest.mark.requirement("S14", "S74")
async def test_finds_side_by_side_borrow_sessions(double: SankhyaDouble, opened: Opened) -> None:
    double.change(overlap="competition")
    context = await opened(max_sessions=3)
    await asyncio.gather(*[context.wrapper.find_async(Partner, "CODPARC = 1") for _ in range(3)])
    before = len(double.requests("loadRecords"))
    double.inject("hold", service="loadRecords", times=3)
    finding = asyncio.gather(
        *[context.wrapper.find_async(Partner, "CODPARC = ?", [1 + number % 3]) for number in range(9)]
    )
    await happens(lambda: len(double.requests("loadRecords")) == before + 3)
    double.release()
    assert [rows[0].code for rows in await finding] == [1, 2, 3] * 3
    assert double.counters.overlaps == 0
    assert double.counters.peak_live_sessions == 3


@pytest.mark.requirement("S14")
async def test_without_a_limit_one_session_serves_them_all(double: SankhyaDouble, opened: Opened) -> None:
    double.change(overlap="competition")
    context = await opened()
    found = await asyncio.gather(*[context.wrapper.find_async(Partner, f"CODPARC = {one}") for one in (3, 1, 2)])
    assert [rows[0].code for rows in found] == [3, 1, 2]
    assert (double.counters.overlaps, double.counters.logins_ok) == (0, 1)


@pytest.mark.requirement("S58")
async def test_the_limit_of_the_service_is_told_apart_from_bad_credentials(
    double: SankhyaDouble, opened: Opened
) -> None:
    double.change(max_sessions=1)
    context = await opened(acquire_timeout=0.5)
    with pytest.raises(ServiceRequestTooManySessionsException):
        await context.acquire_session_async()
    assert len(await context.wrapper.find_async(Partner)) == 3


@pytest.mark.requirement("S73")
async def test_any_service_takes_any_form_of_a_request(double: SankhyaDouble, opened: Opened) -> None:
    context = await opened()
    token = await context.acquire_session_async()
    for request in (None, {}, {"a": {"$": 1}}, "<a>1</a>", ServiceRequest.of("X.y", "<a/>")):
        response = await context.invoke_with_token_async(token, "Own.service", request)
        assert (response.service, response.status) == ("Own.service", 1)
        assert response.element.findtext("resultado") == "1"
    assert (await context.wrapper.invoke_service_async("mgecom:CACSP.incluirNota")).status == 1
    assert double.requests("CACSP.incluirNota")[0].path == "/mgecom/service.sbr"
    assert double.counters.violations == ()


def test_a_loop_is_not_blocked_by_mistake(double: SankhyaDouble) -> None:
    async def wrong() -> None:
        with pytest.raises(CalledFromEventLoop):
            SankhyaContext(settings_for(double))

    asyncio.run(wrong())
    assert double.counters.logins_attempted == 0


async def test_settings_that_are_missing_are_named_where_the_block_begins() -> None:
    context = AsyncSankhyaContext.from_settings()
    with pytest.raises(SankhyaSettingsError, match="SANKHYA_USERNAME"):
        async with context:
            pass
    with pytest.raises(SankhyaClosed):
        _ = context.wrapper


@pytest.mark.requirement("S71")
def test_the_documents_wrapper(double: SankhyaDouble) -> None:
    with SankhyaContext(settings_for(double)) as context:
        crud = SimpleCRUDRequestWrapper(context.wrapper)
        assert len(crud.find(Partner, "CODPARC > 0")) == 3
        assert len(crud.find(Partner, "CODPARC > 0", 2)) == 2
        row = crud.insert(Partner(name="Novo"))
        assert crud.update(Partner(code=row.code, name="Outro")).name == "Outro"
        crud.remove(row)
        assert crud.find(Partner, "CODPARC = ?", parameters=[row.code]) == []


@pytest.mark.requirement("S71")
async def test_the_documents_wrapper_is_async_too(opened: Opened) -> None:
    crud = AsyncSimpleCRUDRequestWrapper((await opened()).wrapper)
    row = await crud.insert(Partner(name="Novo"))
    assert (await crud.find(Partner, "NOMEPARC = ?", parameters=["Novo"]))[0].code == row.code
    assert (await crud.update(Partner(code=row.code, name="B"))).name == "B"
    await crud.remove(row)


@pytest.mark.requirement("S50", "S52", "S78")
def test_a_session_goes_to_another_context(double: SankhyaDouble, tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'sessions.db'}"
    with (
        SankhyaContext(settings_for(double), store=store) as one,
        SankhyaContext(settings_for(double), store=store) as two,
    ):
        token = one.acquire_session()
        one.invoke_with_token(token, "Own.service")
        blob = one.detach_session(token)
        assert "secret" not in blob
        with pytest.raises(SankhyaUnknownToken):
            one.invoke_with_token(token, "Own.service")
        two.attach_session(token, blob)
        two.invoke_with_token(token, "Own.service")
        assert len({request.session for request in double.requests("Own.service")}) == 1
        assert double.counters.logins_ok == 3
        main = one.session_token
        assert main is not None
        with pytest.raises(SankhyaInputError, match="main session"):
            one.detach_session(main)
    ended(double, 3)


@pytest.mark.requirement("S42")
async def test_options_that_cannot_be_are_errors_of_this_face(opened: Opened, double: SankhyaDouble) -> None:
    with pytest.raises(SankhyaSettingsError, match="did you mean 'store'"):
        AsyncSankhyaContext(stor="memory:")
    with pytest.raises(SankhyaSettingsError, match="unknown store"):
        await opened(store="nothing:")
    context = await opened()
    token = await context.acquire_session_async()
    with pytest.raises(SankhyaInputError, match="lifetime"):
        await context.detach_session_async(token, lifetime=-1)
    with pytest.raises(SankhyaHandoverRefused) as caught:
        await context.attach_session_async(uuid4(), "no blob")
    assert caught.value.why == "tampered"


def test_the_wrapper_knows_its_context(double: SankhyaDouble) -> None:
    with SankhyaContext(settings_for(double)) as context:
        wrapper = context.wrapper
        wrapper.login()
        assert (wrapper.user_code, wrapper.is_authenticated) == (0, True)
        assert wrapper.session_token == context.session_token
        assert double.counters.logins_ok == 1
        wrapper.logout()
        assert not wrapper.is_authenticated
        with pytest.raises(SankhyaClosed):
            wrapper.login()
    ended(double, 1)

"""Sessions that are dead at the service: recognised in every form, renewed once, or told."""

from __future__ import annotations

import asyncio
import threading

import pytest

from insession.remote.sankhya import (
    Partner,
    SankhyaContext,
    ServiceRequestException,
    ServiceRequestFileNotFoundException,
    ServiceRequestInvalidAuthorizationException,
    ServiceRequestInvalidCredentialsException,
    ServiceRequestPermissionDeniedException,
    ServiceRequestSessionExpiredException,
    ServiceRequestSessionStateException,
)
from insession.testing import SankhyaDouble

from .conftest import Opened, settings_for

FORMS = ["http500", "status3", "status0", "http401"]


@pytest.mark.requirement("S16")
@pytest.mark.parametrize("dialect", ["xml", "json"])
@pytest.mark.parametrize("message", ["base64", "plain"])
@pytest.mark.parametrize("form", FORMS)
async def test_every_form_is_recognised(
    form: str, message: str, dialect: str, double: SankhyaDouble, opened: Opened
) -> None:
    double.change(expiry=form, status_message=message)
    context = await opened(dialect=dialect)
    double.expire()
    assert len(await context.wrapper.find_async(Partner)) == 3
    assert double.counters.logins_ok == 2
    assert double.counters.received["CRUDServiceProvider.loadRecords"] == 2
    stats = context.get_session_stats()
    assert (stats["token_renewals"], stats["active_sessions"]) == (1, 1)


@pytest.mark.requirement("S17")
async def test_a_dead_session_is_never_no_rows(double: SankhyaDouble, opened: Opened) -> None:
    double.change(expiry="status3")
    context = await opened(auto_renew_session=False)
    double.expire()
    with pytest.raises(ServiceRequestException):
        await context.wrapper.find_async(Partner)


@pytest.mark.requirement("S30")
@pytest.mark.parametrize("form", FORMS)
async def test_a_save_that_did_not_run_is_sent_again_once(form: str, double: SankhyaDouble, opened: Opened) -> None:
    double.change(expiry=form)
    context = await opened()
    double.expire()
    assert (await context.wrapper.insert_async(Partner(name="Novo"))).code == 4
    assert (double.counters.saves_executed, double.counters.duplicate_saves) == (1, 0)


@pytest.mark.requirement("S25", "S77")
@pytest.mark.parametrize("form", FORMS)
async def test_without_renewal_the_expiry_is_told(form: str, double: SankhyaDouble, opened: Opened) -> None:
    double.change(expiry=form)
    context = await opened(auto_renew_session=False)
    token = await context.acquire_session_async()
    double.expire()
    with pytest.raises(ServiceRequestSessionExpiredException, match="session expired") as caught:
        await context.invoke_with_token_async(token, "Own.service")
    assert not isinstance(caught.value, ServiceRequestInvalidAuthorizationException)
    assert caught.value.token == token
    assert double.counters.logins_attempted == 2


@pytest.mark.requirement("S77")
async def test_a_renewal_that_fails_is_an_expired_session(double: SankhyaDouble, opened: Opened) -> None:
    context = await opened(max_retries=0)
    double.expire()
    double.inject("http500", service="login", times=None)
    with pytest.raises(ServiceRequestException, match="session expired") as caught:
        await context.wrapper.find_async(Partner)
    assert not isinstance(caught.value, ServiceRequestInvalidAuthorizationException)
    double.clear_faults()
    assert len(await context.wrapper.find_async(Partner)) == 3


@pytest.mark.requirement("S23", "S77")
async def test_a_renewal_that_is_refused_latches(double: SankhyaDouble, opened: Opened) -> None:
    context = await opened()
    double.change(password="changed")
    double.expire()
    attempted = double.counters.logins_attempted
    found = await asyncio.gather(*[context.wrapper.find_async(Partner) for _ in range(5)], return_exceptions=True)
    assert all(isinstance(one, ServiceRequestInvalidCredentialsException) for one in found), found
    before = len(double.log)
    with pytest.raises(ServiceRequestInvalidAuthorizationException):
        await context.wrapper.find_async(Partner)
    assert double.counters.logins_attempted == attempted + 1
    assert len(double.log) == before


@pytest.mark.requirement("S22")
async def test_a_denial_does_not_loop(double: SankhyaDouble, opened: Opened) -> None:
    context = await opened()
    double.inject("not_authorized", service="Own.service", times=None)
    for _ in range(5):
        with pytest.raises(ServiceRequestPermissionDeniedException) as caught:
            await context.wrapper.invoke_service_async("Own.service")
        assert (caught.value.status, caught.value.message) == (0, "Não autorizado.")
    assert double.counters.logins_ok <= 2
    assert len(await context.wrapper.find_async(Partner)) == 3


@pytest.mark.requirement("S31")
def test_a_pager_that_died_with_its_session_is_told() -> None:
    with SankhyaDouble(seed=997) as double, SankhyaContext(settings_for(double)) as context:
        double.inject("expired", service="CRUDServiceProvider.loadRecords", nth=3)
        with pytest.raises(ServiceRequestSessionStateException):
            context.wrapper.find(Partner)
        assert len(context.wrapper.find(Partner)) == 1000


@pytest.mark.requirement("S31")
def test_pages_in_json_need_no_pager() -> None:
    with SankhyaDouble(seed=97) as double:
        double.inject("expired", service="CRUDServiceProvider.loadRecords", nth=2)
        with SankhyaContext(settings_for(double, dialect="json")) as context:
            assert len(context.wrapper.find(Partner)) == 100
            assert double.counters.logins_ok == 2


@pytest.mark.requirement("S31")
async def test_a_file_key_that_died_with_its_session_is_told(double: SankhyaDouble, opened: Opened) -> None:
    context = await opened()
    key = await context.wrapper.open_file_async("Sistema/manual.txt")
    double.expire()
    await context.wrapper.find_async(Partner)
    before = len(double.log)
    with pytest.raises(ServiceRequestSessionStateException):
        await context.wrapper.get_file_async(key)
    assert len(double.log) == before
    with pytest.raises(ServiceRequestFileNotFoundException):
        await context.wrapper.get_file_async("0123")


@pytest.mark.requirement("S18", "S19", "S20")
def test_threads_on_an_expired_session_log_in_once(double: SankhyaDouble) -> None:
    with SankhyaContext(settings_for(double)) as context:
        double.change(login_latency=0.3)
        double.expire()
        found: list[int] = []
        threads = [threading.Thread(target=lambda: found.append(len(context.wrapper.find(Partner)))) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == [3] * 16
        assert (double.counters.logins_ok, double.counters.peak_concurrent_logins) == (2, 1)

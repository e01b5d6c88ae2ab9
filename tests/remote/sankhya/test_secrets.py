"""What the log says, what it never says, and finding sessions whose login was never answered."""

from __future__ import annotations

import logging
import pickle
from typing import Any

import pytest

from insession import aliases
from insession.remote.sankhya import (
    AsyncSankhyaContext,
    Partner,
    SankhyaException,
    ServiceRequestInvalidCredentialsException,
)
from insession.remote.sankhya.dialect import XML
from insession.remote.sankhya.login import DirectAuthenticator
from insession.remote.sankhya.wire import Wire
from insession.testing import SankhyaDouble

from .conftest import Opened, gateway_settings, settings_for


def everything(records: list[logging.LogRecord]) -> str:
    return "\n".join(f"{one.getMessage()} {one.args!r} {one.exc_info!r}" for one in records)


@pytest.mark.requirement("S65")
async def test_the_documents_logger_tells_of_sessions_and_never_of_secrets(
    double: SankhyaDouble, caplog: pytest.LogCaptureFixture
) -> None:
    with aliases.install("sankhya_sdk"), caplog.at_level(logging.DEBUG):
        double.change(password="pa55word")
        async with AsyncSankhyaContext(settings_for(double, password="pa55word")) as context:
            ids = set(double.sessions())
            token = await context.acquire_session_async()
            ids |= set(double.sessions())
            double.expire()
            await context.wrapper.find_async(Partner)
            ids |= set(double.sessions())
            await context.finalize_session_async(token)
        with pytest.raises(ServiceRequestInvalidCredentialsException):
            async with AsyncSankhyaContext(settings_for(double, password="wr0ng")):
                pass
    names = {one.name for one in caplog.records if "insession" in one.name or "sankhya" in one.name}
    assert "sankhya_sdk.session" in names
    said = everything([one for one in caplog.records if one.name == "sankhya_sdk.session"])
    for word in ("logged in", "logged out", "created", "finalized", "renewed", "refused"):
        assert word in said
    all_said = everything(caplog.records)
    for secret in ("pa55word", "wr0ng", *ids):
        assert secret not in all_said


@pytest.mark.requirement("S65")
async def test_no_bearer_is_logged(double: SankhyaDouble, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        async with AsyncSankhyaContext(gateway_settings(double)) as context:
            double.expire_bearers()
            await context.wrapper.find_async(Partner)
            grant = context._authenticator.gateway._grant  # type: ignore[union-attr]
    assert grant is not None
    assert grant.refresh is not None
    said = everything(caplog.records)
    for secret in (grant.access, grant.refresh, "client-secret", "x-token"):
        assert secret not in said


@pytest.mark.requirement("S66")
async def test_no_secret_in_a_repr_or_an_exception(double: SankhyaDouble, opened: Opened) -> None:
    context = await opened()
    token = await context.acquire_session_async()
    secrets = ["secret", *double.sessions()]
    shown: list[Any] = [context, context.wrapper, context.pool, context._authenticator, context._options]
    for kind in ("html", "http500", "not_authorized", "deadlock", "reset", "empty", "truncate"):
        double.inject(kind, service="Own.service", times=2)
        with pytest.raises(SankhyaException) as caught:
            await context.invoke_with_token_async(token, "Own.service", {"a": {"$": "secret"}})
        shown += [caught.value, str(caught.value), vars(caught.value), pickle.dumps(caught.value)]
        double.clear_faults()
    for one in shown:
        for secret in (*secrets, *double.sessions()):
            assert secret not in repr(one)


@pytest.mark.requirement("S67")
async def test_credentials_are_in_no_url_and_cookies_do_not_mix(double: SankhyaDouble, opened: Opened) -> None:
    context = await opened(max_sessions=3)
    tokens = [await context.acquire_session_async() for _ in range(2)]
    for token in tokens:
        await context.invoke_with_token_async(token, "Own.service")
    await context.wrapper.find_async(Partner)
    assert double.counters.violations == ()
    assert not [one for one in double.log if "dwr" in one.path.lower()]
    assert all("secret" not in one.path and one.user_agent for one in double.log)
    assert len({one.session for one in double.requests("Own.service")}) == 2


@pytest.mark.requirement("S45")
async def test_a_lost_session_is_found_by_its_tag(double: SankhyaDouble) -> None:
    settings = settings_for(double, find_lost_sessions=True)
    async with Wire(settings) as wire:
        authenticator = DirectAuthenticator(wire, XML, settings)
        one = await authenticator.login("tag-1")
        two = await authenticator.login("tag-2")
        found = await authenticator.find_lost("tag-1")
        assert [ticket.ref for ticket in found] == [one.ref]
        await authenticator.logout(found[0])
        assert double.sessions() == [two.ref]
        assert list(await authenticator.find_lost("tag-1")) == []
        assert list(await authenticator.find_lost("")) == []
        await authenticator.logout(two)
        await authenticator.logout(two)  # a dead one is fine
        double.change(logout_unknown="expired", expiry="http500")
        for form in ("http500", "status3", "status0", "http401"):
            double.change(expiry=form)
            await authenticator.logout(two)
    assert double.counters.live_sessions == 0


@pytest.mark.requirement("S45")
async def test_nothing_is_looked_for_unless_one_asks(double: SankhyaDouble) -> None:
    settings = settings_for(double)
    async with Wire(settings) as wire:
        authenticator = DirectAuthenticator(wire, XML, settings)
        assert list(await authenticator.find_lost("tag")) == []
        assert double.log == []
        assert (
            authenticator.credentials_digest()
            != DirectAuthenticator(wire, XML, settings_for(double, password="other")).credentials_digest()
        )

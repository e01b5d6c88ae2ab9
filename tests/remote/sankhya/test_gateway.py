"""The OAuth gateway: one bearer for everybody, renewed in time and once."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import anyio.to_thread
import pytest

from insession import connect
from insession.remote.sankhya import (
    AsyncSankhyaContext,
    Partner,
    SankhyaContext,
    SankhyaInputError,
    ServiceRequestException,
    ServiceRequestInvalidCredentialsException,
)
from insession.testing import ManualClock, SankhyaDouble

from .conftest import gateway_settings


def grants(double: SankhyaDouble) -> tuple[int, int, int]:
    counters = double.counters
    return counters.authentications, counters.refreshes, counters.refresh_reuse


@pytest.mark.requirement("S70")
@pytest.mark.parametrize("status", [200, 401])
def test_threads_renew_a_dead_bearer_once(status: int, double: SankhyaDouble, tmp_path: Path) -> None:
    double.change(dead_bearer_status=status)
    store = f"sqlite:///{tmp_path / 'sessions.db'}"
    with SankhyaContext(gateway_settings(double, max_sessions=8), store=store) as context:
        double.change(login_latency=0.1)
        double.expire_bearers()
        found: list[int] = []
        threads = [threading.Thread(target=lambda: found.append(len(context.wrapper.find(Partner)))) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == [3] * 8
        assert grants(double) == (1, 1, 0)


@pytest.mark.requirement("S70")
async def test_contexts_on_one_store_share_a_bearer(double: SankhyaDouble, tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'sessions.db'}"
    async with (
        AsyncSankhyaContext(gateway_settings(double), store=store) as one,
        AsyncSankhyaContext(gateway_settings(double), store=store) as two,
    ):
        assert grants(double) == (1, 0, 0)
        double.expire_bearers()
        await asyncio.gather(*[context.wrapper.find_async(Partner) for context in (one, two) for _ in range(4)])
        assert grants(double) == (1, 1, 0)
        double.expire_bearers()
        await two.wrapper.find_async(Partner)
        await one.wrapper.find_async(Partner)
        assert grants(double) == (1, 2, 0)


@pytest.mark.requirement("S70")
async def test_a_bearer_is_renewed_before_it_dies(double: SankhyaDouble) -> None:
    double.change(token_ttl=60)
    clock = ManualClock()
    async with AsyncSankhyaContext(gateway_settings(double, session_timeout=0), clock=clock) as context:
        for passed in (0, 47, 0):
            await clock.advance(passed)
            await context.wrapper.find_async(Partner)
        assert grants(double) == (1, 0, 0)
        await clock.advance(2)  # 49 of 60 s: within the last 20 %
        for _ in range(3):
            await context.wrapper.find_async(Partner)
        assert grants(double) == (1, 1, 0)


@pytest.mark.requirement("S70")
async def test_a_long_bearer_is_renewed_a_minute_before(double: SankhyaDouble) -> None:
    double.change(token_ttl=3600)
    clock = ManualClock()
    async with AsyncSankhyaContext(gateway_settings(double, session_timeout=0), clock=clock) as context:
        await clock.advance(3600 - 61)
        await context.wrapper.find_async(Partner)
        assert grants(double) == (1, 0, 0)
        await clock.advance(2)
        await context.wrapper.find_async(Partner)
        assert grants(double) == (1, 1, 0)


@pytest.mark.requirement("S70")
async def test_without_a_refresh_token_it_authenticates_again(double: SankhyaDouble) -> None:
    double.change(refresh_tokens=False)
    async with AsyncSankhyaContext(gateway_settings(double)) as context:
        double.expire_bearers()
        assert len(await context.wrapper.find_async(Partner)) == 3
    assert grants(double) == (2, 0, 0)


@pytest.mark.requirement("S70")
@pytest.mark.parametrize("kind", ["reset_after", "http500_before", "html", "truncate"])
async def test_a_refresh_that_fails_is_never_tried_again_with_its_token(kind: str, double: SankhyaDouble) -> None:
    async with AsyncSankhyaContext(gateway_settings(double)) as context:
        double.expire_bearers()
        double.inject(kind, service="refresh", times=1)
        assert len(await context.wrapper.find_async(Partner)) == 3
        double.expire_bearers()
        assert len(await context.wrapper.find_async(Partner)) == 3
    assert (double.counters.refresh_reuse, double.counters.authentications) == (0, 2)


@pytest.mark.requirement("S70")
async def test_a_session_that_died_behind_a_live_bearer(double: SankhyaDouble) -> None:
    async with AsyncSankhyaContext(gateway_settings(double)) as context:
        double.expire()
        assert len(await context.wrapper.find_async(Partner)) == 3
        assert context.get_session_stats()["token_renewals"] == 1


@pytest.mark.requirement("S70")
async def test_a_refusal_through_the_gateway_is_raised(double: SankhyaDouble) -> None:
    async with AsyncSankhyaContext(gateway_settings(double)) as context:
        with pytest.raises(ServiceRequestException) as caught:
            await context.wrapper.invoke_service_async("Nothing.known")
        assert caught.value.status == 0
        with pytest.raises(SankhyaInputError, match="gateway"):
            await context.wrapper.get_image_async("Parceiro", CODPARC=1)


@pytest.mark.requirement("S70", "S47")
async def test_what_lies_in_the_store_is_sealed(double: SankhyaDouble, tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'sessions.db'}"
    async with AsyncSankhyaContext(gateway_settings(double), store=store) as context:
        grant = context._authenticator.gateway._grant  # type: ignore[union-attr]
        assert grant is not None
        assert grant.refresh is not None
        bearer, refresh = grant.access, grant.refresh
        assert repr(grant) == "<Grant>"
    content = await anyio.to_thread.run_sync(
        lambda: b"".join(path.read_bytes() for path in tmp_path.glob("sessions.db*"))
    )
    for secret in (bearer, refresh, "client-secret", "x-token"):
        assert secret.encode() not in content
    async with connect(store) as engine:
        entries, _ = await engine.items.find("sankhya.gateway/")
        assert len(entries) == 1
        await engine.items.put(entries[0].key, {"sealed": b"foreign"})
    async with AsyncSankhyaContext(gateway_settings(double), store=store) as context:
        assert len(await context.wrapper.find_async(Partner)) == 3
    assert double.counters.authentications == 2


@pytest.mark.requirement("S23", "S32")
async def test_credentials_that_are_refused_at_a_renewal(double: SankhyaDouble) -> None:
    async with AsyncSankhyaContext(gateway_settings(double)) as context:
        double.change(client_secret="changed", x_token="changed")
        double.expire_bearers()
        for _ in range(3):
            with pytest.raises(ServiceRequestInvalidCredentialsException):
                await context.wrapper.find_async(Partner)
        assert double.counters.authentications == 2

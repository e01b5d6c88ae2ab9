"""Detach and attach: sealed, once, for the same service and user."""

from __future__ import annotations

import asyncio
import base64
import json
import pickle
from typing import Any
from uuid import uuid4

import pytest

from insession import InvalidInput
from insession.remote import HandoverRefused, SessionLimit, UnknownToken
from insession.stores.memory import MemoryStore
from insession.testing import ManualClock

from .conftest import Make
from .tiny import PASSWORD, Client, Tiny, find
from .waiting import happens


@pytest.mark.requirement("S50")
async def test_the_blob_is_text_without_a_secret(make: Make, tiny: Tiny) -> None:
    async with make() as pool:
        token = await pool.acquire()
        (ref,) = tiny.sessions
        blob = await pool.detach(token)
        assert json.loads(json.dumps(blob)) == pickle.loads(pickle.dumps(blob)) == blob  # noqa: S301 - what was just made
        raw = base64.urlsafe_b64decode(blob)
        for secret in (PASSWORD, ref):
            forms = [secret.encode(), base64.b64encode(secret.encode()), secret.encode().hex().encode()]
            forms += [secret.encode("utf-16-le"), secret.encode("utf-16-be")]
            for form in forms:
                assert form not in raw
                assert form not in blob.encode()
        await pool.attach(token, blob)


@pytest.mark.requirement("S51", "S64")
async def test_the_source_has_it_no_more(make: Make, tiny: Tiny) -> None:
    async with make() as pool:
        token = await pool.acquire()
        blob = await pool.detach(token)
        for use in (pool.invoke(token, find()), pool.finalize(token), pool.detach(token)):
            with pytest.raises(UnknownToken):
                await use
        stats = pool.stats()
        assert (stats["active_sessions"], stats["detached"], stats["total_created"]) == (0, 1, 1)
    assert (len(tiny.sessions), tiny.counts["logout"]) == (1, 0)
    async with make() as other:
        await other.attach(token, blob)
        assert await other.invoke(token, find()) == "x"
        stats = other.stats()
        assert (stats["active_sessions"], stats["attached"], stats["total_created"]) == (1, 1, 0)
        assert tiny.counts["logins_ok"] == 1
    assert (tiny.sessions, tiny.counts["logouts_ok"]) == ({}, 1)


@pytest.mark.requirement("S53", "S78")
async def test_what_is_refused(make: Make, tiny: Tiny, client: Client, store: MemoryStore) -> None:
    async def refused(pool: Any, blob: Any, *, who: Any = None, key: str | None = None) -> str:
        with pytest.raises(HandoverRefused) as caught:
            await pool.attach(who or token, blob, key=key)
        return caught.value.why

    async with make() as pool, make() as other:
        token = await pool.acquire()
        blob = await pool.detach(token)
        changed = blob[:-8] + ("A" if blob[-8] != "A" else "B") + blob[-7:]
        assert [await refused(other, wrong) for wrong in (changed, blob[:-4], "", "…", 7, blob[:40])] == [
            "tampered"
        ] * 6
        assert await refused(other, blob, who=uuid4()) == "token"
        assert await refused(other, blob, key="another key") == "tampered"
        async with make(Client(client.port, account="bob")) as bob:
            assert await refused(bob, blob) == "user"
        async with make(Client(client.port, service="elsewhere")) as elsewhere:
            assert await refused(elsewhere, blob) == "service"
        async with make(Client(client.port, password="since changed")) as changed_password:
            assert await refused(changed_password, blob) == "tampered"
        async with make(store=MemoryStore()) as far:
            assert await refused(far, blob) == "store"
        answers = await asyncio.gather(*[one.attach(token, blob) for one in (pool, other)], return_exceptions=True)
        assert [type(answer) for answer in answers if answer is not None] == [HandoverRefused]
        assert await refused(other if token in pool._holding.held else pool, blob) == "used"
        assert (len(tiny.sessions), tiny.counts["logout"]) == (1, 0)


@pytest.mark.requirement("S53", "S54")
async def test_a_blob_that_nobody_attaches_is_logged_out(make: Make, tiny: Tiny) -> None:
    clock = ManualClock()
    async with make(clock=clock) as pool:
        token = await pool.acquire()
        blob = await pool.detach(token, lifetime=60.0)
        await clock.advance(59.0)
        assert len(tiny.sessions) == 1
        async with asyncio.timeout(10):
            while tiny.sessions:
                await clock.advance(1.0)
                await asyncio.sleep(0.001)
        with pytest.raises(HandoverRefused) as caught:
            await pool.attach(token, blob)
        assert caught.value.why == "expired"


@pytest.mark.requirement("S55")
async def test_after_attach_it_is_renewed_with_the_credentials_that_are_there(
    make: Make, tiny: Tiny, client: Client
) -> None:
    async with make() as pool, make(Client(client.port, password="new")) as other:
        token = await pool.acquire()
        blob = await pool.detach(token, key="shared")
        tiny.password = "new"
        await other.attach(token, blob, key="shared")
        assert await other.invoke(token, find()) == "x"
        tiny.expire()
        assert await other.invoke(token, find()) == "x"
        assert (other.generation(token), other.stats()["token_renewals"]) == (2, 1)


@pytest.mark.requirement("S82")
async def test_its_place_goes_along(make: Make, tiny: Tiny) -> None:
    clock = ManualClock()
    async with make(clock=clock, max_sessions=1) as pool:
        token = await pool.acquire()
        blob = await pool.detach(token, lifetime=600.0)
        await clock.advance(500.0)
        with pytest.raises(SessionLimit):
            await pool._holding.cap.take(0.0)
        async with make(clock=clock, max_sessions=1) as other:
            await other.attach(token, blob)
            await clock.advance(500.0)
            with pytest.raises(SessionLimit):
                await pool._holding.cap.take(0.0)
            await other.finalize(token)
            await pool.acquire()
        assert tiny.counts["peak_sessions"] == 1


async def test_a_dead_session_is_renewed_before_it_leaves(make: Make, tiny: Tiny) -> None:
    clock = ManualClock()
    async with make(clock=clock, idle=10.0) as pool:
        token = await pool.acquire()
        await clock.advance(11.0)
        blob = await pool.detach(token)
        await pool.attach(token, blob)
        assert pool.generation(token) == 2
        assert len(tiny.sessions) == 1


async def test_bad_input(make: Make) -> None:
    async with make() as pool:
        token = await pool.acquire()
        with pytest.raises(InvalidInput, match="lifetime"):
            await pool.detach(token, lifetime=0)
        with pytest.raises(InvalidInput, match="key"):
            await pool.detach(token, key="")
        assert await pool.invoke(token, find()) == "x"
        blob = await pool.detach(token, key=b"bytes")
        await pool.attach(token, blob, key="bytes")
        with pytest.raises(HandoverRefused):
            await pool.attach(token, blob, key="bytes")
        await happens(lambda: pool.stats()["active_sessions"] == 1)

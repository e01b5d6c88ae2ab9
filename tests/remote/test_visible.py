"""What can be seen: numbers, states, records, and never a secret."""

from __future__ import annotations

import asyncio
import copy
import inspect
import logging
import pickle
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest

import insession.remote
from insession.remote import (
    TRANSITIONS,
    Call,
    CredentialsRefused,
    HandoverRefused,
    OutcomeUnknown,
    RemoteError,
    SessionPool,
    SessionState,
    Ticket,
    logs,
)
from insession.remote.blob import Handover
from insession.remote.held import Held
from insession.remote.register import Entry

from .conftest import Make
from .tiny import PASSWORD, Client, Fault, Tiny, find, save
from .waiting import happens

NUMBERS = ("active_sessions", "total_created", "total_finalized", "token_renewals")


@pytest.mark.requirement("S64")
async def test_the_numbers_add_up_at_any_moment(make: Make, tiny: Tiny) -> None:
    async with make() as pool, make() as other:
        looking = True

        async def look() -> None:
            while looking:
                for one in (pool, other):
                    stats = one.stats()
                    came = stats["total_created"] + stats["attached"]
                    assert (
                        stats["active_sessions"] == came - stats["total_finalized"] - stats["lost"] - stats["detached"]
                    )
                await asyncio.sleep(0)

        watching = asyncio.ensure_future(look())
        tokens = [await pool.acquire() for _ in range(4)]
        tiny.expire()
        await asyncio.gather(*[pool.invoke(token, find()) for token in tokens])
        await pool.finalize(tokens[0])
        await other.attach(tokens[1], await pool.detach(tokens[1]))
        looking = False
        await watching
        assert [pool.stats()[name] for name in NUMBERS] == [2, 4, 1, 4]
        assert [other.stats()[name] for name in NUMBERS] == [1, 0, 0, 0]


@pytest.mark.requirement("S68", "S76")
async def test_no_other_transition_can_happen() -> None:
    drawn = {
        ("disconnected", "authenticating"),
        ("authenticating", "connected"),
        ("authenticating", "error"),
        ("error", "authenticating"),
        ("error", "disconnected"),
        ("connected", "executing"),
        ("executing", "connected"),
        ("executing", "reconnecting"),
        ("reconnecting", "connected"),
        ("connected", "disconnected"),
        ("executing", "disconnected"),
        ("reconnecting", "disconnected"),
        ("reconnecting", "error"),
    }
    assert {(str(before), str(after)) for before, there in TRANSITIONS.items() for after in there} == drawn
    for before in SessionState:
        for after in SessionState:
            held = Held(uuid4(), lambda *_: None, shared=False)
            held.state = before
            if before is after or (before, after) in drawn:
                held.move(after)
                assert held.state is after
            else:
                with pytest.raises(AssertionError, match="does not go"):
                    held.move(after)


@pytest.mark.requirement("S76")
async def test_every_transition_of_a_hard_life_is_drawn(make: Make, tiny: Tiny) -> None:
    seen: dict[UUID, list[SessionState]] = {}

    def note(token: UUID, before: SessionState, after: SessionState) -> None:
        states = seen.setdefault(token, [SessionState.DISCONNECTED])
        assert states[-1] is before
        assert after in TRANSITIONS[before]
        states.append(after)
        if len(states) == 3:
            raise RuntimeError("a hook that fails reaches nobody")

    async with make(on_state=note, max_retries=0) as pool:
        token = await pool.acquire()
        tiny.expire()
        tiny.fail("login", Fault(say="busy"))
        with pytest.raises(RemoteError):
            await pool.invoke(token, find())
        assert await pool.invoke(token, find()) == "x"
        tiny.fail("save", Fault(say="error"), Fault(before=True))
        for _ in range(2):
            with pytest.raises(Exception, match=r"error|may have run"):
                await pool.invoke(token, save())
        tiny.always["login"] = Fault(say="error")
        with pytest.raises(Exception, match="error"):
            await pool.acquire()
    assert [states[-1] for states in seen.values()] == [SessionState.DISCONNECTED] * 2


@pytest.mark.requirement("S65")
async def test_what_is_logged_and_what_is_not(
    make: Make, tiny: Tiny, caplog: pytest.LogCaptureFixture, client: Client
) -> None:
    caplog.set_level(logging.DEBUG)
    async with make() as pool:
        token = await pool.acquire()
        refs = set(tiny.sessions)
        tiny.expire()
        await pool.invoke(token, find())
        refs |= set(tiny.sessions)
        tiny.fail("find", Fault(after=True))
        await pool.invoke(token, find())
        other = await pool.acquire()
        refs |= set(tiny.sessions)
        await pool.finalize(other)
        blob = await pool.detach(token)
        await pool.attach(token, blob)
    async with make(Client(client.port, account="bob", password="a wrong guess")) as pool:
        with pytest.raises(CredentialsRefused):
            await pool.acquire()
    mine = [record for record in caplog.records if record.name == "insession.remote"]
    said = "\n".join(record.getMessage() for record in mine)
    for word in ("logged in", "logged out", "created", "finalized", "renewed", "refused", "sent again", "detached"):
        assert word in said
    everything = "\n".join(logging.Formatter().format(record) for record in caplog.records)
    assert len(refs) == 3
    for secret in (*refs, PASSWORD, "a wrong guess", blob, client.credentials_digest().hex()):
        assert secret not in everything


@pytest.mark.requirement("S65", "S66")
async def test_what_others_raise_is_named_and_not_quoted(
    make: Make, tiny: Tiny, caplog: pytest.LogCaptureFixture
) -> None:
    class Talks(Client):
        async def logout(self, ticket: Ticket) -> None:
            raise RuntimeError(f"cannot end {ticket.ref}")

    caplog.set_level(logging.DEBUG)
    async with make(Talks(tiny.port), logout_timeout=0.2) as pool:
        token = await pool.acquire()
        tiny.fail("find", Fault(say="denied"))
        await pool.invoke(token, find())
        await pool.finalize(token)
        refs = list(tiny.sessions)
    everything = "\n".join(logging.Formatter().format(record) for record in caplog.records)
    assert "RuntimeError" in everything
    assert len(refs) == 2
    for ref in refs:
        assert ref not in everything


def test_the_logger_s_name_may_be_another(caplog: pytest.LogCaptureFixture) -> None:
    logs.use("elsewhere.session")
    try:
        assert logs.logger().name == "elsewhere.session"
    finally:
        logs.use(logs.NAME)


@pytest.mark.requirement("S66")
async def test_no_secret_in_what_python_shows(make: Make, tiny: Tiny) -> None:
    ticket = Ticket(ref="the-secret-id", user="ann", extra={"bearer": "the-secret-bearer"})
    shown: list[Any] = [
        ticket,
        Entry("tiny", "token", "live", None, ticket),
        Call(service="save", request="the-secret-request"),
    ]
    shown.append(Handover("tiny", "ann", "token", ticket, 1, "id", 1, None, 0.0))
    async with make() as pool:
        token = await pool.acquire()
        (ref,) = tiny.sessions
        held = pool._holding.find(token)
        shown += [pool, held, held.row, pool._holding, pool._holding.latch]
        tiny.fail("save", Fault(after=True))
        with pytest.raises(OutcomeUnknown) as caught:
            await pool.invoke(token, save("the-secret-request"))
        error = copy.copy(pickle.loads(pickle.dumps(caught.value)))  # noqa: S301 - what was just made
        assert error.request is None
        assert (error.call, error.token, str(error)) == ("save", token, str(caught.value))
        said = [pickle.dumps(caught.value), repr(caught.value).encode(), str(caught.value).encode()]
        said += [form(one).encode() for one in shown for form in (repr, str, lambda one: f"{one}")]
        for text in said:
            for secret in (ref, PASSWORD, "the-secret"):
                assert secret.encode() not in text
    for one in (ticket, held):
        with pytest.raises((TypeError, pickle.PicklingError, AttributeError)):
            pickle.dumps(one)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(ticket), type=Ticket) == ticket


def test_every_error_is_of_the_tree_and_survives_a_pickle() -> None:
    made = [
        OutcomeUnknown("tiny", "save", "request", uuid4(), 1.0),
        CredentialsRefused("no", error=ValueError("own"), latched=True),
        HandoverRefused("used", "it was attached before"),
    ]
    for error in made:
        again = pickle.loads(pickle.dumps(error))  # noqa: S301 - what was just made
        assert (type(again), str(again), again.error) == (type(error), str(error), None)
    errors = [one for one in vars(insession.remote).values() if inspect.isclass(one) and issubclass(one, Exception)]
    assert len(errors) == 17
    assert all(issubclass(one, RemoteError) and one.__doc__ for one in errors)


async def test_a_pool_says_what_it_is(pool: SessionPool[Any, Any], tiny: Tiny) -> None:
    await pool.acquire()
    assert repr(pool) == "<SessionPool tiny 1 sessions>"
    await happens(lambda: tiny.sessions)

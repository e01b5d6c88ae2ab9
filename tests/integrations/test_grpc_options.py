"""What is told of a client, who is refused, and what the server says when it goes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from insession.errors import ConfigurationError, InvalidInput
from insession.integrations.grpc import INFRASTRUCTURE, REASON_KEY, STATUS_KEY, SessionInterceptor, current_session
from insession.kernel.operations import Commit
from insession.stores.memory import MemoryStore
from insession.testing.clock import ManualClock, settle
from insession.testing.faulty import FaultyStore
from insession.tracking import LiveSession, SessionManager
from tests.tracking.waiting import until

from .serving import DEVICE, LIMIT, Managers, failing, method, only_session, served, told

CODE = grpc.StatusCode
TRACKED = {"track_ip_addresses": True}


async def described(request: bytes, context: Any) -> bytes:
    """Everything that the call's session says, for a test to look at."""
    session = current_session()
    SEEN.append({**session.snapshot(), "live": session})
    return request


async def wait(request: bytes, context: Any) -> bytes:
    SEEN.append({"live": current_session()})
    await asyncio.get_running_loop().create_future()
    return b""


SEEN: list[dict[str, Any]] = []


@pytest.fixture(autouse=True)
def nothing_seen() -> None:
    SEEN.clear()


async def called(interceptor: SessionInterceptor, metadata: Any = DEVICE, *, tcp: bool = False) -> dict[str, Any]:
    """What the session of one call says."""
    async with served(interceptor, tcp=tcp, Call=method("unary_unary", described)) as there:
        await there.call("unary_unary")(b"", metadata=metadata, timeout=LIMIT)
    return SEEN[-1]


async def refused(interceptor: SessionInterceptor, metadata: Any = DEVICE) -> tuple[CODE, str | None]:
    """Code and details of one call that is refused."""
    async with served(interceptor, Call=method("unary_unary", described)) as there:
        error = await failing(there.call("unary_unary")(b"", metadata=metadata, timeout=LIMIT))
    assert SEEN == []
    return told(error)[:2]


async def test_too_many_sessions(managers: Managers) -> None:
    manager = await managers({"max_concurrent_sessions": 1})
    await manager.create_session()
    code, details = await refused(SessionInterceptor(manager))
    assert (code, details) == (
        CODE.RESOURCE_EXHAUSTED,
        "Maximum concurrent sessions reached (1); end one first, or raise max_concurrent_sessions",
    )


async def test_a_call_without_a_hardware_id_is_refused(manager: SessionManager) -> None:
    assert await refused(SessionInterceptor(manager), ()) == (
        CODE.INVALID_ARGUMENT,
        "x-hardware-id: is required (require_hardware_id)",
    )


async def test_a_call_without_a_hardware_id_is_taken_where_none_is_required(managers: Managers) -> None:
    manager = await managers({"require_hardware_id": False})
    session = await called(SessionInterceptor(manager), ())
    assert session["hardware_id"] is None
    assert session["status"] == "active"


async def test_a_call_without_a_hardware_id_may_be_this_machines(manager: SessionManager) -> None:
    session = await called(SessionInterceptor(manager, own_hardware_id=True), ())
    assert session["hardware_id"] == await manager.get_hardware_id()
    session = await called(SessionInterceptor(manager, own_hardware_id=True))
    assert session["hardware_id"] == "one device"


@pytest.mark.parametrize(
    ("metadata", "details"),
    [
        ((*DEVICE, *DEVICE), "x-hardware-id: is given more than once"),
        ((("x-hardware-id", ""),), "x-hardware-id: has 1 to 512 characters, not 0"),
        ((("x-hardware-id", "x" * 1001),), "x-hardware-id: has 1 to 512 characters, not 1001"),
    ],
)
async def test_malformed_metadata(manager: SessionManager, metadata: Any, details: str) -> None:
    code, said = await refused(SessionInterceptor(manager), metadata)
    assert code is CODE.INVALID_ARGUMENT
    assert said is not None
    assert said == details


async def test_a_malformed_address(managers: Managers) -> None:
    manager = await managers(TRACKED)
    interceptor = SessionInterceptor(manager, ip_from="x-forwarded-for")
    code, details = await refused(interceptor, (*DEVICE, ("x-forwarded-for", "secret")))
    assert code is CODE.INVALID_ARGUMENT
    assert details is not None
    assert details.startswith("x-forwarded-for: is no IP address")
    assert "secret" not in details


async def test_the_hardware_id_of_the_request(manager: SessionManager) -> None:
    async def from_request(request: bytes, context: Any) -> str:
        return f"{request.decode()}{context.method}"

    interceptor = SessionInterceptor(
        manager,
        hardware_id_from=from_request,
        context_from=lambda request, context: {"size": len(request), "agent": str(context.user_agent)[:4]},
    )
    async with served(interceptor, Call=method("unary_unary", described)) as there:
        await there.call("unary_unary")(b"device", timeout=LIMIT)
    assert SEEN[-1]["hardware_id"] == "device/test.Calls/Call"
    assert SEEN[-1]["context"] == {"size": 6, "agent": "grpc"}


async def test_a_function_may_refuse(manager: SessionManager) -> None:
    def refuse(request: bytes, context: Any) -> str:
        raise InvalidInput("token", "is no token of ours")

    assert await refused(SessionInterceptor(manager, hardware_id_from=refuse)) == (
        CODE.INVALID_ARGUMENT,
        "token: is no token of ours",
    )


@pytest.mark.parametrize(("tcp", "address"), [(True, "127.0.0.1"), (False, "unix")])
async def test_the_peers_address(managers: Managers, tcp: bool, address: str) -> None:
    manager = await managers(TRACKED)
    session = await called(SessionInterceptor(manager), tcp=tcp)
    assert session["ip_address"] == address


@pytest.mark.parametrize(
    ("proxies", "entries", "address"),
    [
        (1, ["1.1.1.1, 2.2.2.2,3.3.3.3"], "3.3.3.3"),
        (2, ["1.1.1.1, 2.2.2.2,3.3.3.3"], "2.2.2.2"),
        (1, ["[::1]:567"], "::1"),
        (2, ["1.1.1.1"], None),
        (1, [], None),
    ],
)
async def test_the_address_that_a_proxy_tells(
    managers: Managers, proxies: int, entries: list[str], address: str | None
) -> None:
    manager = await managers(TRACKED)
    interceptor = SessionInterceptor(manager, ip_from="x-forwarded-for", trusted_proxies=proxies)
    session = await called(interceptor, (*DEVICE, *(("x-forwarded-for", entry) for entry in entries)))
    assert session["ip_address"] == address


async def test_an_address_that_comes_in_two_parts(managers: Managers) -> None:
    manager = await managers(TRACKED)
    interceptor = SessionInterceptor(manager, ip_from="x-forwarded-for", trusted_proxies=2)
    parts = (("x-forwarded-for", "1.1.1.1, 2.2.2.2"), ("x-forwarded-for", "3.3.3.3"))
    session = await called(interceptor, (*DEVICE, *parts))
    # Of a repeated key of this name newer releases of grpc keep the last value only.
    assert session["ip_address"] in {None, "2.2.2.2"}


async def test_the_user_agent_of_another_key(manager: SessionManager) -> None:
    session = await called(SessionInterceptor(manager, user_agent_from="x-app"), (*DEVICE, ("x-app", "radio/2")))
    assert session["user_agent"] == "radio/2"


async def test_another_hardware_ids_session(manager: SessionManager) -> None:
    other = await manager.create_session(hardware_id="another device")

    async def interrupt(request: bytes, context: Any) -> bytes:
        await manager.interrupt_session(request.decode(), hardware_id=current_session()["hardware_id"])
        return b""

    async with served(SessionInterceptor(manager), Call=method("unary_unary", interrupt)) as there:
        error = await failing(there.call("unary_unary")(other.id.encode(), metadata=DEVICE, timeout=LIMIT))
    assert error.code() is CODE.PERMISSION_DENIED
    assert not other["interrupt_flag"]


async def test_a_manager_that_does_not_run(caplog: pytest.LogCaptureFixture) -> None:
    interceptor = SessionInterceptor(SessionManager())
    assert await refused(interceptor) == (CODE.UNAVAILABLE, "sessions are not available at the moment")
    assert "not initialized" in caplog.text


async def test_a_store_that_fails(managers: Managers, caplog: pytest.LogCaptureFixture) -> None:
    store = FaultyStore(MemoryStore())
    manager = await managers(store=store)
    store.down = True
    assert (await refused(SessionInterceptor(manager)))[0] is CODE.UNAVAILABLE
    store.down = False
    assert "is refused" in caplog.text


async def test_a_store_that_fails_at_the_end_costs_no_answer(
    managers: Managers, caplog: pytest.LogCaptureFixture
) -> None:
    store = FaultyStore(MemoryStore())
    manager = await managers(store=store)

    async def fails(request: bytes, context: Any) -> bytes:
        store.down = True
        return b"done"

    async with served(SessionInterceptor(manager), Call=method("unary_unary", fails)) as there:
        assert await there.call("unary_unary")(b"", metadata=DEVICE, timeout=LIMIT) == b"done"
    store.down = False
    assert "could not be ended" in caplog.text


async def test_a_client_that_goes_while_the_store_fails(managers: Managers) -> None:
    store = FaultyStore(MemoryStore())
    manager = await managers(store=store)
    stopped = asyncio.Event()

    async def fails(request: bytes, context: Any) -> bytes:
        store.down = True
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            stopped.set()
        return b""

    async with served(SessionInterceptor(manager), Call=method("unary_unary", fails)) as there:
        call = there.call("unary_unary")(b"", metadata=DEVICE, timeout=LIMIT)
        await until(lambda: store.down)
        call.cancel()
        await asyncio.wait_for(stopped.wait(), LIMIT)
    store.down = False


async def test_an_expired_session(managers: Managers) -> None:
    clock = ManualClock()
    manager = await managers({"session_timeout": 60}, clock=clock)
    async with served(SessionInterceptor(manager), Call=method("unary_unary", wait)) as there:
        task = asyncio.create_task(failing(there.call("unary_unary")(b"", metadata=DEVICE, timeout=LIMIT)))
        await until(lambda: SEEN)
        await clock.advance(120)
        code, _, metadata = told(await task)
    assert code is CODE.DEADLINE_EXCEEDED
    assert metadata[STATUS_KEY] == "expired"


async def test_a_stream_that_flows_does_not_expire(managers: Managers) -> None:
    clock = ManualClock()
    manager = await managers({"session_timeout": 60}, clock=clock)

    async def echo(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        async for request in requests:
            yield request

    async with served(SessionInterceptor(manager), Call=method("stream_stream", echo)) as there:
        call = there.call("stream_stream")(metadata=DEVICE, timeout=LIMIT)
        for _ in range(10):
            await call.write(b"x")
            assert await call.read() == b"x"
            await settle()
            await clock.advance(40)
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF
        assert await call.code() is CODE.OK


async def test_statuses_by_reason_and_by_status(manager: SessionManager) -> None:
    interceptor = SessionInterceptor(
        manager, statuses={"quota": CODE.RESOURCE_EXHAUSTED, "interrupted": CODE.CANCELLED}
    )
    codes = []
    async with served(interceptor, Call=method("unary_unary", wait)) as there:
        for reason in ("quota", "other"):
            call = there.call("unary_unary")(b"", metadata=DEVICE, timeout=LIMIT)
            await until(manager.sessions)
            await manager.interrupt_session((await only_session(manager))["session_id"], reason)
            codes.append(await call.code())
    assert codes == [CODE.RESOURCE_EXHAUSTED, CODE.CANCELLED]


async def test_what_is_skipped_has_no_session(manager: SessionManager) -> None:
    def plain(request: bytes, context: Any) -> bytes:
        return b"plain"

    async with served(SessionInterceptor(manager, skip=["/test.Calls/Call"]), Call=method("unary_unary", plain)) as it:
        assert await it.call("unary_unary")(b"", timeout=LIMIT) == b"plain"
        assert (await failing(it.call("unary_unary", "Other")(b"", timeout=LIMIT))).code() is CODE.UNIMPLEMENTED
    health = INFRASTRUCTURE[0].strip("/")
    async with served(SessionInterceptor(manager), service=health, Check=method("unary_unary", plain)) as it:
        assert await it.call("unary_unary", "Check", health)(b"", timeout=LIMIT) == b"plain"
    assert manager.get_session_statistics()["total_sessions"] == 0


async def test_a_handler_that_is_not_async_is_refused(
    manager: SessionManager, caplog: pytest.LogCaptureFixture
) -> None:
    def plain(request: bytes, context: Any) -> bytes:
        return b"plain"

    with caplog.at_level(logging.CRITICAL, "grpc._cython.cygrpc"):
        async with served(SessionInterceptor(manager), Call=method("unary_unary", plain)) as there:
            error = await failing(there.call("unary_unary")(b"", metadata=DEVICE, timeout=LIMIT))
    assert error.code() is CODE.UNKNOWN
    assert "the handler of /test.Calls/Call is not async" in str(error.details())


async def test_headers_and_trailers_of_the_handler_reach_the_client(manager: SessionManager) -> None:
    async def labelled(request: bytes, context: Any) -> AsyncIterator[bytes]:
        await context.send_initial_metadata((("head", "1"),))
        context.set_trailing_metadata((("tail", "2"),))
        yield b"x"
        await asyncio.get_running_loop().create_future()

    async with served(SessionInterceptor(manager), Call=method("unary_stream", labelled)) as there:
        call = there.call("unary_stream")(b"", metadata=DEVICE, timeout=LIMIT)
        assert await call.read() == b"x"
        await manager.interrupt_session((await only_session(manager))["session_id"], " stop ")
        error = await failing(call.read())
    assert ("head", "1") in tuple(await call.initial_metadata())
    metadata = dict(tuple(error.trailing_metadata() or ()))
    assert (metadata["tail"], metadata[REASON_KEY]) == ("2", "%20stop%20")


async def test_shutting_down_ends_the_calls_of_this_server_only(managers: Managers, sqlite_url: str) -> None:
    manager = await managers(store=sqlite_url)
    first, second = SessionInterceptor(manager), SessionInterceptor(manager)
    handlers = {"Call": method("unary_unary", wait)}
    async with served(first, **handlers) as one, served(second, **handlers) as two:
        calls = [there.call("unary_unary")(b"", metadata=DEVICE, timeout=LIMIT) for there in (one, one, two)]
        await until(lambda: len(SEEN) == 3)
        assert await first.shutdown() == 2
        for call in calls[:2]:
            assert told(await failing(call))[:2] == (CODE.UNAVAILABLE, "server_shutdown")
        assert not calls[2].done()
        late = await failing(one.call("unary_unary")(b"", metadata=DEVICE, timeout=LIMIT))
        assert told(late)[:2] == (CODE.UNAVAILABLE, "server_shutdown")
        assert await first.shutdown() == 0
        assert await manager.cleanup()
        assert told(await failing(calls[2]))[:2] == (CODE.UNAVAILABLE, "cleanup")


async def test_a_session_that_somebody_else_completes(manager: SessionManager) -> None:
    async with served(SessionInterceptor(manager), Call=method("unary_unary", wait)) as there:
        call = there.call("unary_unary")(b"", metadata=DEVICE, timeout=LIMIT)
        await until(lambda: SEEN)
        live: LiveSession = SEEN[0]["live"]
        await manager.interrupt_session(live.id, "completed")
        assert told(await failing(call))[:2] == (CODE.ABORTED, "completed")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"hardware_id_from": "X-Hardware-Id"}, "hardware_id_from"),
        ({"hardware_id_from": "id-bin"}, "hardware_id_from"),
        ({"hardware_id_from": None}, "hardware_id_from"),
        ({"ip_from": ""}, "ip_from"),
        ({"user_agent_from": len}, "user_agent_from"),
        ({"context_from": "x"}, "context_from"),
        ({"trusted_proxies": 0}, "trusted_proxies"),
        ({"skip": "/test.Calls/"}, "skip"),
        ({"own_sessions": ["Call"]}, "own_sessions"),
        ({"statuses": {"x": CODE.OK}}, "statuses"),
        ({"statuses": {"x": 3}}, "statuses"),
    ],
)
def test_what_cannot_work_is_refused_at_once(options: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^{named}"):
        SessionInterceptor(SessionManager(), **options)


async def test_an_address_that_a_function_tells(managers: Managers) -> None:
    manager = await managers(TRACKED)
    session = await called(SessionInterceptor(manager, ip_from=lambda request, context: "10.0.0.1"))
    assert session["ip_address"] == "10.0.0.1"


async def test_shutting_down_while_a_session_is_made(managers: Managers) -> None:
    store = FaultyStore(MemoryStore())
    interceptor = SessionInterceptor(await managers(store=store))
    async with served(interceptor, Call=method("unary_unary", described)) as there:
        store.hold()
        call = there.call("unary_unary")(b"", metadata=DEVICE, timeout=LIMIT)
        await until(lambda: store.operations[Commit])
        assert await interceptor.shutdown("going") == 0
        store.release()
        assert told(await failing(call))[:2] == (CODE.UNAVAILABLE, "going")
    assert SEEN == []

"""The line to the platform: how it is made, what goes over it, and what is said where it cannot be made."""

from __future__ import annotations

import asyncio
import functools
import logging
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from insession.exchange.connection import Target, Websocket
from insession.exchange.errors import (
    AnswerTooLarge,
    ConnectFailed,
    ConnectTimedOut,
    NotConnectedError,
    UnsupportedServer,
)
from insession.exchange.settings import ExchangeSettings
from tests.stores.test_redis_tls import certified

from .servers import OPEN, OPEN_LEGACY, Plain, listening, raw

TOKEN = "s3cret-token"


def target(url: str, **options: Any) -> Target:
    return Target(host=url, token=TOKEN, **({"connect": 10.0, "first_retry": 0.05} | options))


@asynccontextmanager
async def connected(url: str, **options: Any) -> AsyncIterator[Websocket]:
    connection = Websocket(target(url, **options))
    try:
        await connection.connect()
        yield connection
    finally:
        await connection.disconnect()


def closed_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


@pytest.mark.requirement("R5")
async def test_the_token_goes_into_the_handshakes_query_and_nowhere_else() -> None:
    server = Plain()
    async with server.listening() as url, connected(url, version=2) as connection:
        await connection.emit("something", {"a": 1})
        await server.until(1)
        assert "token=s3cret-token&version=2" in server.queries[0]
        assert TOKEN not in str(server.headers) + str(server.auth) + str(server.heard)
        assert TOKEN not in repr(connection._target) + str(connection._target)


@pytest.mark.requirement("R3")
async def test_it_is_a_websocket_from_the_first_request_on() -> None:
    server = Plain()
    async with server.listening() as url, connected(url):
        assert "transport=websocket" in server.queries[0]
        assert server.headers[0]["Upgrade"] == "websocket"


async def test_events_come_in_their_order_and_every_callable_is_awaited() -> None:
    server = Plain()
    heard: list[Any] = []

    async def keep(name: str, payload: Any) -> None:
        await asyncio.sleep(0)
        heard.append((name, payload))

    async with server.listening() as url:
        connection = Websocket(target(url))
        connection.on("one", functools.partial(keep, "one")).on("two", lambda payload: keep("two", payload))
        connection.on("*", lambda event, payload: heard.append((event, payload)))
        done = asyncio.Event()
        connection.on("done", lambda _: done.set())
        await connection.connect()
        try:
            for number in range(20):
                await server.emit(("one", "two", "three")[number % 3], number)
            await server.emit("done", 1)
            async with asyncio.timeout(30):
                await done.wait()
        finally:
            await connection.disconnect()
    assert heard == [(("one", "two", "three")[number % 3], number) for number in range(20)]


async def test_a_handler_that_fails_keeps_nobody_from_hearing(caplog: pytest.LogCaptureFixture) -> None:
    server, heard = Plain(), asyncio.Event()
    async with server.listening() as url, connected(url) as connection:
        connection.on("bad", lambda _: 1 / 0).on("good", lambda _: heard.set())
        await server.emit("bad", 1)
        await server.emit("good", 1)
        async with asyncio.timeout(30):
            await heard.wait()
    assert "the handler of 'bad' failed" in caplog.text


async def test_an_acknowledgement_of_socket_io_is_heard() -> None:
    server, heard = Plain(), asyncio.Queue[str]()
    async with server.listening() as url, connected(url) as connection:
        await connection.emit("something", None, callback=heard.put)
        async with asyncio.timeout(30):
            assert await heard.get() == "thanks"


async def test_what_was_handed_over_leaves_before_the_line_is_closed() -> None:
    server = Plain()
    async with server.listening() as url:
        for number in range(20):
            async with connected(url) as connection:
                await connection.emit("last", {"number": number, "text": "x" * 10_000})
        await server.until(20)
    assert sorted(payload["number"] for _, payload in server.heard) == list(range(20))


@pytest.mark.requirement("R23")
async def test_thirty_two_mebibytes_arrive() -> None:
    content, heard = "ё\n" * (32 * 1024 * 1024 // 3), asyncio.Queue[dict[str, str]]()
    server = Plain()
    async with server.listening() as url, connected(url) as connection:
        connection.on("session-file-avaiable", heard.put)
        await server.emit("session-file-avaiable", {"fileId": "1", "content": content})
        async with asyncio.timeout(40):
            assert (await heard.get())["content"] == content
        assert connection.lines == 1


async def test_a_message_above_the_servers_limit_is_not_sent() -> None:
    server = Plain(max_http_buffer_size=100_000)
    async with server.listening() as url, connected(url) as connection:
        with pytest.raises(AnswerTooLarge) as raised:
            await connection.emit("big", {"content": "ё" * 60_000})
        assert raised.value.size > raised.value.most == 100_000
        await connection.emit("small", {"content": "ё" * 40_000})
        await server.until(1)
        assert connection.lines == 1


async def test_half_a_surrogate_pair_in_an_id_goes_back_as_it_came() -> None:
    server = Plain()
    async with server.listening() as url, connected(url) as connection:
        await connection.emit("echo", {"fileId": "\ud800"})
        await server.until(1)
    assert server.heard == [("echo", {"fileId": "\ud800"})]


async def test_a_server_that_takes_its_time_is_waited_for() -> None:
    server, asked = Plain(), asyncio.Event()

    async def slow() -> None:
        # Longer than the library's own patience of a second.
        await asyncio.sleep(1.2)
        asked.set()

    server.connected = slow
    async with server.listening() as url, connected(url) as connection:
        assert asked.is_set()
        assert connection.is_connected()


async def test_without_a_line_nothing_is_taken() -> None:
    connection = Websocket(target("http://127.0.0.1:1"))
    assert not connection.is_connected()
    with pytest.raises(NotConnectedError):
        await connection.emit("something")
    await connection.disconnect()
    await connection.wait()
    await connection.disconnect()


async def test_a_server_that_is_not_there_is_tried_until_the_deadline() -> None:
    with pytest.raises(ConnectTimedOut, match=r"within 0.4 s \(") as raised:
        async with connected(f"http://127.0.0.1:{closed_port()}", connect=0.4):
            pass
    assert TOKEN not in str(raised.value)


async def test_a_server_that_comes_late_is_found() -> None:
    server, port = Plain(), closed_port()
    connecting = asyncio.create_task(Websocket(target(f"http://127.0.0.1:{port}")).connect())
    await asyncio.sleep(0.2)
    runner = web.AppRunner(server.app, handle_signals=False, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        connection = await connecting
        assert connection.is_connected()
        await connection.disconnect()
    finally:
        await runner.cleanup()
        await server.sio.shutdown()


async def test_a_server_that_speaks_no_socket_io_is_named_at_once() -> None:
    async with listening(web.Application()) as url:
        with pytest.raises(ConnectFailed, match="answered 404 to the handshake") as raised:
            async with connected(url):
                pass
    error: BaseException | None = raised.value
    while error is not None:
        assert TOKEN not in str(error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


async def test_a_namespace_that_the_server_does_not_have_is_named_at_once() -> None:
    server = Plain("/other")
    async with server.listening() as url:
        with pytest.raises(ConnectFailed, match="refused the namespace /pku: "):
            async with connected(url):
                pass
        async with connected(url, namespace="/other") as connection:
            assert connection.is_connected()


@pytest.mark.requirement("R38")
@pytest.mark.parametrize("hello", ["40", "40/pku", "40/pku,"])
async def test_a_server_of_socket_io_2_is_named_at_its_first_packet(hello: str) -> None:
    async def talk(ws: web.WebSocketResponse) -> None:
        await ws.send_str(OPEN_LEGACY)
        await ws.send_str(hello)
        async for _ in ws:
            pass

    async with raw(talk) as url:
        with pytest.raises(UnsupportedServer, match=r"speaks socket.io 2 \(Engine.IO 3\).*allowEIO3"):
            async with connected(url):
                pass


async def test_a_server_that_hangs_up_while_we_connect_is_tried_again() -> None:
    tried = 0

    async def talk(ws: web.WebSocketResponse) -> None:
        nonlocal tried
        tried += 1
        await ws.send_str(OPEN)
        await ws.receive()
        if tried < 3:
            # The namespace is there, and gone in the same breath: the library would take it for connected.
            await ws.send_str('40/pku,{"sid":"y"}')
            await ws.send_str("41/pku,")
            return
        await ws.send_str('40/pku,{"sid":"y"}')
        async for _ in ws:
            pass

    async with raw(talk) as url:
        connection = Websocket(target(url))
        stood = asyncio.Event()
        connection.on("connect", lambda: stood.set() if tried == 3 else None)
        try:
            await connection.connect()
            async with asyncio.timeout(30):
                await stood.wait()
        finally:
            await connection.disconnect()
    assert tried == 3


@pytest.mark.parametrize("verified", [True, False])
async def test_the_certificate_is_verified_unless_that_is_switched_off(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, *, verified: bool
) -> None:
    server = Plain()
    async with server.listening(certified(tmp_path)) as url:
        if verified:
            with pytest.raises(ConnectFailed, match="certificate cannot be verified"):
                async with connected(url):
                    pass
            context = ssl.create_default_context(cafile=tmp_path / "both.pem")
            async with connected(url, ssl_context=context) as connection:
                assert connection.is_connected()
            assert not caplog.records
        else:
            async with connected(url, tls_verify=False) as connection:
                assert connection.is_connected()
            assert "is not verified (tls_verify is off)" in caplog.text


async def test_no_log_of_the_libraries_shows_the_token(caplog: pytest.LogCaptureFixture) -> None:
    server = Plain()
    with caplog.at_level(logging.DEBUG):
        async with server.listening() as url, connected(url) as connection:
            await connection.emit("something", {"content": "the text of a file"})
            await server.until(1)
    assert TOKEN not in caplog.text
    assert "the text of a file" not in caplog.text


@pytest.mark.parametrize(
    ("host", "options", "namespace"),
    [
        ("https://a.example", {}, "/pku"),
        ("https://a.example/baseline", {}, "/baseline"),
        ("https://a.example/baseline", {"namespace": "/mine"}, "/mine"),
    ],
)
@pytest.mark.requirement("R39")
def test_a_path_in_the_host_is_the_namespace(host: str, options: dict[str, str], namespace: str) -> None:
    given: dict[str, Any] = {"token": "t&?ё", "host": host, **options}
    made = Target.of(ExchangeSettings(**given))
    assert made.namespace == namespace
    assert made.url == "https://a.example/?token=t%26%3F%D1%91&version=2"


def test_a_retry_waits_at_most_five_seconds_and_not_in_step() -> None:
    made = Websocket(Target(host="http://a.example", token="t", first_retry=1.0))
    for attempt, most in enumerate((1.0, 2.0, 4.0, 5.0, 5.0)):
        delays = [made._delay(attempt) for _ in range(200)]
        assert max(delays) <= most
        assert max(delays) - min(delays) > most / 2
    assert made._delay(10_000) <= 5.0

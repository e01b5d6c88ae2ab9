"""What leaves for the service, and in how many pieces."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from insession.remote.errors import NotSent, OutcomeLost
from insession.remote.sankhya import SankhyaSettings
from insession.remote.sankhya.errors import ServiceRequestResponseTooLargeException
from insession.remote.sankhya.wire import Wire
from tests.remote.waiting import happens

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
ANSWER = b"HTTP/1.1 %d Some\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"


@asynccontextmanager
async def served(serve: Serve) -> AsyncIterator[tuple[Wire, str]]:
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with Wire(SankhyaSettings(base_url=url, username="ann", password="x")) as wire:
            yield wire, url


async def test_a_request_leaves_in_one_piece() -> None:
    pieces: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pieces.append(await reader.read(1 << 20))
        writer.write(ANSWER % 200)
        writer.close()

    async with served(serve) as (wire, url):
        answer = await wire.send("X.y", "POST", url, content=b"body", headers={"Cookie": "a=b"})
        assert (answer.status, answer.content) == (200, b"ok")
    assert pieces[0].startswith(b"POST / HTTP/1.1\r\n")
    assert pieces[0].endswith(b"\r\n\r\nbody")
    assert b"Content-Length: 4" in pieces[0]


async def test_a_large_request_leaves_whole() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(1_000_000)
        writer.write(ANSWER % 200)
        writer.close()

    async with served(serve) as (wire, url):
        assert (await wire.send("X.y", "POST", url, content=b"x" * 1_000_000, headers={})).content == b"ok"


async def test_an_answer_before_the_end_of_a_request_is_read() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(ANSWER % 413)
        await writer.drain()
        await reader.read()
        writer.close()

    async with served(serve) as (wire, url):
        assert (await wire.send("X.y", "POST", url, content=b"x" * 1_000, headers={})).status == 413


@pytest.mark.requirement("S40")
@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        (gzip.compress(b"ok"), b"ok"),
        (gzip.compress(bytes(5_000_000)), ServiceRequestResponseTooLargeException),
        (gzip.compress(b"ok" * 1_000)[:-9], OutcomeLost),
        (b"not packed", OutcomeLost),
        (b"", b""),
    ],
    # Not the bytes, in which is the time: workers have to agree on a test's name.
    ids=["whole", "too large", "cut short", "not packed", "empty"],
)
async def test_a_packed_answer_is_unpacked_within_bounds(body: bytes, outcome: bytes | type[Exception]) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        writer.close()

    async with served(serve) as (wire, url):
        wire.most = 1_000_000
        if isinstance(outcome, bytes):
            assert (await wire.send("X.y", "GET", url, headers={})).content == outcome
        else:
            with pytest.raises(outcome):
                await wire.send("X.y", "GET", url, headers={})


async def test_a_connection_is_used_again_until_the_service_closes_it() -> None:
    connections: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(0)
        for _ in range(2):
            await reader.readuntil(b"\r\n\r\n")
            connections[-1] += 1
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        writer.close()

    async with served(serve) as (wire, url):
        for number in range(4):
            assert (await wire.send("X.y", "GET", url, headers={})).content == b"ok"
            if number == 1:
                await happens(wire._idle[0].has_expired)
    assert connections == [2, 2]


async def test_redirects_are_not_followed() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async with served(serve) as (wire, url):
        assert (await wire.send("X.y", "GET", url, headers={})).status == 302


@pytest.mark.requirement("S34")
async def test_what_left_and_what_did_not_are_told_apart() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    async with served(serve) as (wire, url):
        with pytest.raises(OutcomeLost):
            await wire.send("X.y", "POST", url, content=b"x", headers={})
        with pytest.raises(NotSent):
            await wire.send("X.y", "POST", "http://127.0.0.1:9/", content=b"x", headers={})
        with pytest.raises(NotSent):
            await wire.send("X.y", "POST", "http://nothing.invalid/", content=b"x", headers={})
    with pytest.raises(NotSent, match="closed"):
        await wire.send("X.y", "POST", url, headers={})

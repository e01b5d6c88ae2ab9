"""The event log as server-sent events."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from insession import Engine, connect
from insession.stores.memory import MemoryStore
from tests.programs import INSESSION, started

from .conftest import served

Block = dict[str, str]


async def blocks(answer: httpx2.Response) -> AsyncIterator[Block]:
    """The blocks of a stream, read as the format says; a comment is the field ''."""
    block: Block = {}
    async for line in answer.aiter_lines():
        if line:
            name, _, value = line.partition(":")
            block[name] = value.removeprefix(" ")
        else:
            yield block
            block = {}


async def events(
    http: httpx2.AsyncClient, number: int, headers: dict[str, str] | None = None, **query: Any
) -> list[Block]:
    """So many blocks with data."""
    found: list[Block] = []
    async with asyncio.timeout(10.0), http.stream("GET", "/v1/events", params=query, headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        async for block in blocks(answer):
            if "data" in block:
                found.append(block)
            if len(found) == number:
                return found
    return found


async def test_events_arrive_as_they_happen() -> None:
    async with connect("memory:") as engine, served(engine) as http:
        await engine.open(owner="before")
        async with asyncio.timeout(10.0), http.stream("GET", "/v1/events") as answer:
            stream = blocks(answer)
            begin = await anext(stream)
            assert begin[""] == "listening"
            session = await engine.open(owner="ann")
            first = await anext(stream)
            await engine.interrupt(session.id, "enough")
            second = await anext(stream)
        assert (first["event"], second["event"]) == ("opened", "interrupted")
        assert json.loads(first["data"])["id"] == session.id
        assert json.loads(first["data"])["owner"] == "ann"
        assert json.loads(second["data"])["reason"] == "enough"


async def test_a_reader_resumes_after_the_last_id_it_saw() -> None:
    async with connect("memory:") as engine, served(engine) as http:
        ids = [(await engine.open()).id for _ in range(5)]
        seen = await events(http, 2, after="0")
        rest = await events(http, 3, {"Last-Event-ID": seen[-1]["id"]})
        assert [json.loads(block["data"])["id"] for block in [*seen, *rest]] == ids
        # The header of a reconnect wins over the query that the address still has.
        again = await events(http, 3, {"Last-Event-ID": seen[-1]["id"]}, after="0")
        assert again == rest


async def test_only_the_types_that_are_asked_for() -> None:
    async with connect("memory:") as engine, served(engine) as http:
        for reason in ("one", "two"):
            await engine.interrupt((await engine.open()).id, reason)
        await engine.close((await engine.open()).id)
        found = await events(http, 3, after="0", types="interrupted,closed")
        assert [block["event"] for block in found] == ["interrupted", "interrupted", "closed"]


async def test_without_following_the_stream_ends_where_the_log_ends() -> None:
    async with connect("memory:") as engine, served(engine) as http:
        for _ in range(1_200):
            await engine.open()
        found = await events(http, 2_000, after="0", follow="false")
        assert len(found) == 1_200
        assert len({block["id"] for block in found}) == 1_200
        rest = await events(http, 2_000, after=found[1_000]["id"], follow="false")
        assert rest == found[1_001:]
        assert await events(http, 1, follow="false") == []


@pytest.mark.parametrize("follow", ["true", "false"])
async def test_a_gap_is_told_with_the_cursor_where_the_log_goes_on(follow: str) -> None:
    async with Engine(MemoryStore(retention=10)) as engine, served(engine) as http:
        await engine.open()
        old = (await events(http, 1, after="0"))[0]["id"]
        opened = [(await engine.open()).id for _ in range(50)]
        first = (await events(http, 1, after=old, follow=follow))[0]
        assert first["event"] == "trimmed"
        assert json.loads(first["data"]) == {"cursor": first["id"]}
        after = await events(http, 5, after=first["id"], follow=follow)
        goes_on = await events(http, 6, after=old, follow=follow)
        assert goes_on[1:] == after
        assert json.loads(after[0]["data"])["id"] in opened
        # The first that is kept is not a gap.
        assert (await events(http, 1, after="0", follow=follow))[0] == after[0]


async def test_a_stream_that_has_nothing_to_say_keeps_alive_and_tells_its_cursor() -> None:
    async with connect("memory:") as engine, served(engine, keep_alive=0.02) as http:
        async with asyncio.timeout(10.0), http.stream("GET", "/v1/events", params={"types": "closed"}) as answer:
            stream = blocks(answer)
            begin = await anext(stream)
            await engine.open()
            while (block := await anext(stream))["id"] == begin["id"]:
                assert block[""] == "keep-alive"
                assert "data" not in block
        # What the types left out is behind the cursor all the same.
        assert await events(http, 1, after=block["id"], follow="false") == []


async def test_a_reader_that_leaves_leaves_nothing_behind() -> None:
    async with connect("memory:") as engine, served(engine, keep_alive=0.02) as http:
        tasks = len(asyncio.all_tasks())
        for _ in range(5):
            async with http.stream("GET", "/v1/events") as answer:
                await anext(blocks(answer))
        async with asyncio.timeout(10.0):
            while len(asyncio.all_tasks()) > tasks:  # noqa: ASYNC110 - nothing says when the server noticed
                await asyncio.sleep(0)


@pytest.mark.processes
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
async def test_streams_end_at_once_when_the_service_stops(tmp_path: Path, how: int) -> None:
    with started(*INSESSION, "serve", "--store", "memory:", "--port", "0", cwd=tmp_path) as service:
        async with (
            asyncio.timeout(10.0),
            httpx2.AsyncClient(base_url=service.url, trust_env=False) as http,
            http.stream("GET", "/v1/events") as answer,
        ):
            stream = blocks(answer)
            begin = await anext(stream)
            service.popen.send_signal(how)
            # Ends as a complete answer, not as a broken one, and says where another one may begin.
            (last,) = [block async for block in stream]
            assert last == {
                "id": begin["id"],
                "event": "goodbye",
                "data": json.dumps({"cursor": begin["id"]}).replace(" ", ""),
            }
        assert service.popen.wait(5.0) == 0

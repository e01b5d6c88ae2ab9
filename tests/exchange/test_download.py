"""Files of the dialect of 2023: fetched whole, or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from insession.exchange.dialects.download import Downloads
from insession.exchange.errors import DownloadFailed, DownloadTimedOut

from .servers import listening

TOKEN = "s3cret-token"
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def served(*answers: Answer, seconds: float = 30.0) -> AsyncIterator[tuple[Downloads, list[str]]]:
    """Answers, one for each request; the last again and again."""
    asked: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        asked.append(request.query_string)
        return await answers[min(len(asked), len(answers)) - 1](request)

    app = web.Application()
    app.router.add_get("/download", answer)
    async with listening(app) as url:
        downloads = Downloads(f"{url}/download", TOKEN, seconds=seconds, retry=0.01)
        try:
            yield downloads, asked
        finally:
            await downloads.close()


async def whole(_: web.Request) -> web.StreamResponse:
    return web.Response(body=b"<x/>")


async def half(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse(headers={"Content-Length": "4"})
    await answer.prepare(request)
    await answer.write(b"<x")
    assert request.transport is not None
    request.transport.close()
    return answer


async def busy(_: web.Request) -> web.StreamResponse:
    return web.Response(status=503, text="later")


async def missing(_: web.Request) -> web.StreamResponse:
    return web.Response(status=404, text="<html>no such file</html>")


async def empty(_: web.Request) -> web.StreamResponse:
    return web.Response(body=b"")


async def never(_: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError


async def test_a_file_is_asked_for_by_its_epicrisis() -> None:
    async with served(whole) as (downloads, asked):
        assert await downloads.fetch(5) == b"<x/>"
        assert asked == [f"baselineToken={TOKEN}&epicrisisId=5"]


async def test_what_may_pass_is_tried_again() -> None:
    async with served(busy, half, whole) as (downloads, asked):
        assert await downloads.fetch("5") == b"<x/>"
        assert len(asked) == 3


@pytest.mark.parametrize(("answer", "problem"), [(missing, "answered 404"), (empty, "is empty")])
async def test_what_will_not_pass_is_no_file(answer: Answer, problem: str) -> None:
    async with served(answer) as (downloads, asked):
        with pytest.raises(DownloadFailed, match=problem) as raised:
            await downloads.fetch(5)
        assert not raised.value.retryable
        assert TOKEN not in str(raised.value)
        assert len(asked) == 1


async def test_a_download_has_a_deadline() -> None:
    async with served(never, seconds=0.2) as (downloads, _):
        with pytest.raises(DownloadTimedOut, match=r"within 0.2 s"):
            await downloads.fetch(5)


async def test_a_server_that_is_not_there_is_tried_until_the_deadline() -> None:
    downloads = Downloads("http://127.0.0.1:1/download", TOKEN, seconds=0.2, retry=0.01)
    with pytest.raises(DownloadTimedOut):
        await downloads.fetch(5)
    await downloads.close()

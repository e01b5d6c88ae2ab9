"""Sankhya: `find` through the pool beside the same HTTP client alone, with the double in a process of its own."""

from __future__ import annotations

import asyncio
import functools
import gc
import os
import socket
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree as ET

import httpx2

from insession.remote.sankhya import AsyncSankhyaContext, Partner, SankhyaContext, SankhyaSettings
from insession.testing import SankhyaDoubleProcess

from .measuring import TIMES, Figure, Run, interleaved
from .reporting import main

QUESTION = "Sankhya: find of 10 rows through the pool, beside httpx2 alone that reads and parses the same answers"
ROWS: Final = 10
CRITERIA: Final = "CODPARC <= ?"
SERVICE: Final = "CRUDServiceProvider.loadRecords"
THREADS: Final = 8
CALLS: Final = 1_000
"""Of one caller in a round, and of all threads together."""
Double = SankhyaDoubleProcess
Measure = Callable[[], Awaitable[float]]


class Floor:
    """What somebody writes who has no library: a session's id, a prepared request, a parser."""

    def __init__(self, double: Double, session: str) -> None:
        fields = ",".join(column.name for column in Partner.columns.values())
        body = (
            f'<?xml version="1.0" encoding="UTF-8"?><serviceRequest serviceName="{SERVICE}"><requestBody>'
            '<dataSet rootEntity="Parceiro" includePresentationFields="N" parallelLoader="true" datasetid="1_1">'
            f'<criteria><expression>CODPARC &lt;= ?</expression><parameter type="I">{ROWS}</parameter></criteria>'
            f'<entity path=""><fieldset list="{fields}"/></entity></dataSet></requestBody></serviceRequest>'
        )
        self.url: str = f"{double.url}/mge/service.sbr?serviceName={SERVICE}&mgeSession={session}"
        self.content: bytes = body.encode()
        self.headers: dict[str, str] = {
            "Content-Type": "text/xml;charset=UTF-8",
            "Cookie": f"JSESSIONID={session}",
            "User-Agent": "floor/1",
        }

    async def find(self, client: httpx2.AsyncClient) -> list[dict[str, str | None]]:
        """One request."""
        answer = await client.post(self.url, content=self.content, headers=self.headers)
        return parsed(answer.content)

    def find_blocking(self, client: httpx2.Client) -> list[dict[str, str | None]]:
        """One request."""
        return parsed(client.post(self.url, content=self.content, headers=self.headers).content)


def parsed(content: bytes) -> list[dict[str, str | None]]:
    """The rows of an answer, by name, as text."""
    root = ET.fromstring(content)  # noqa: S314 - the double's own
    assert root.get("status") == "1"
    entities = root.find("responseBody/entities")
    assert entities is not None
    names = [one.get("name", "") for one in entities.iterfind("metadata/fields/field")]
    return [dict(zip(names, (value.text for value in row), strict=True)) for row in entities.iterfind("entity")]


def logged_in(double: Double) -> str:
    """A session for the floor."""
    name = "MobileLoginSP.login"
    body = "<requestBody><NOMUSU>SUP</NOMUSU><INTERNO>secret</INTERNO></requestBody>"
    content = f'<serviceRequest serviceName="{name}">{body}</serviceRequest>'
    answer = httpx2.post(f"{double.url}/mge/service.sbr?serviceName={name}", content=content.encode())
    found = ET.fromstring(answer.content).findtext("responseBody/jsessionid")  # noqa: S314 - the double's own
    assert found
    return found


async def _one_caller(run: Run, double: Double, folder: Path) -> list[Figure]:
    number, floor = run.count(CALLS), Floor(double, logged_in(double))
    busy: list[float] = []
    async with (
        AsyncSankhyaContext(settings(double), store=f"sqlite:///{folder / 'async.db'}") as context,
        httpx2.AsyncClient(limits=httpx2.Limits(max_connections=1)) as client,
    ):

        async def alone() -> float:
            return await _rate(double, number, lambda: floor.find(client), busy)

        async def ours() -> float:
            find = context.wrapper.find_async
            return await _rate(double, number, lambda: find(Partner, CRITERIA, [ROWS]))

        values = await interleaved(run.rounds, {"ours": ours, "httpx2": alone})
    return _figures("one caller", values, 0.85, f"the double's CPU meanwhile: {_percent(busy)}")


async def _rate(
    double: Double, number: int, find: Callable[[], Awaitable[list[Any]]], busy: list[float] | None = None
) -> float:
    gc.collect()
    before, begin = double.counters.cpu_seconds, time.perf_counter()
    for _ in range(number):
        assert len(await find()) == ROWS
    seconds = time.perf_counter() - begin
    if busy is not None:
        busy.append((double.counters.cpu_seconds - before) / seconds)
    return number / seconds


def _threads(run: Run, double: Double, folder: Path) -> list[Figure]:
    each = run.count(CALLS) // THREADS
    floors = [Floor(double, logged_in(double)) for _ in range(THREADS)]
    busy: list[float] = []
    clients = [httpx2.Client() for _ in floors]
    # As many sessions as the other threads have.
    with SankhyaContext(settings(double, max_sessions=THREADS), store=f"sqlite:///{folder / 'blocking.db'}") as context:

        async def alone() -> float:
            finds = [
                functools.partial(floor.find_blocking, client) for floor, client in zip(floors, clients, strict=True)
            ]
            return await asyncio.to_thread(_crowd, double, each, finds, busy)

        async def ours() -> float:
            find = context.wrapper.find
            return await asyncio.to_thread(
                _crowd, double, each, [lambda: find(Partner, CRITERIA, [ROWS])] * THREADS, []
            )

        values = asyncio.run(interleaved(run.rounds, {"ours": ours, "httpx2": alone}))
    for client in clients:
        client.close()
    return _figures(f"{THREADS} threads", values, 0.7, f"the double's CPU meanwhile: {_percent(busy)}")


def _crowd(double: Double, each: int, finds: Sequence[Callable[[], list[Any]]], busy: list[float]) -> float:
    def work(find: Callable[[], list[Any]]) -> None:
        done.extend(len(find()) for _ in range(each))

    done: list[int] = []
    gc.collect()
    workers = [threading.Thread(target=work, args=[find]) for find in finds]
    before, begin = double.counters.cpu_seconds, time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    seconds = time.perf_counter() - begin
    busy.append((double.counters.cpu_seconds - before) / seconds)
    assert done == [ROWS] * (each * len(finds))
    return len(done) / seconds


def _figures(who: str, values: dict[str, list[float]], bar: float, note: str) -> list[Figure]:
    ratios = [ours / alone for ours, alone in zip(values["ours"], values["httpx2"], strict=True)]
    return [
        Figure(
            name=f"{who}: requests a second ÷ those of httpx2", unit=TIMES, values=ratios, bar=bar, sense="at least"
        ),
        Figure(name=f"{who}: find", unit="/s", values=values["ours"]),
        Figure(name=f"{who}: httpx2 alone", unit="/s", values=values["httpx2"], note=note),
    ]


def _capacity(run: Run, double: Double) -> Figure:
    """What the double answers to bare sockets that parse nothing: how far it is from being what is measured."""
    floor, number = Floor(double, logged_in(double)), run.count(CALLS)
    host, port = double.url.removeprefix("http://").split(":")
    path = floor.url.removeprefix(double.url)
    headers = "".join(f"{name}: {value}\r\n" for name, value in floor.headers.items())
    head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\n{headers}Content-Length: {len(floor.content)}\r\n\r\n"
    rates = []
    with socket.create_connection((host, int(port))) as link:
        for _ in range(run.rounds + 1):
            begin = time.perf_counter()
            for _ in range(number):
                _exchange(link, head.encode() + floor.content)
            rates.append(number / (time.perf_counter() - begin))
    return Figure(name="the double to a bare socket, one request after the other", unit="/s", values=rates[1:])


def _exchange(link: socket.socket, request: bytes) -> None:
    link.sendall(request)
    head, _, body = link.recv(65_536).partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    while len(body) < length:
        body += link.recv(65_536)


def _percent(shares: list[float]) -> str:
    return f"{100 * sorted(shares)[len(shares) // 2]:.0f} % of a core"


def settings(double: Double, **options: Any) -> SankhyaSettings:
    """How a context reaches the double; no variable of the environment counts."""
    given = {"username": "SUP", "password": "secret", "_env_file": None}
    return SankhyaSettings(base_url=double.url, **given, **options)


def measure(run: Run) -> list[Figure]:
    with Double(seed=100) as double, tempfile.TemporaryDirectory() as folder:
        os.sched_setaffinity(double.pid, {max(os.sched_getaffinity(0))})
        one = asyncio.run(_one_caller(run, double, Path(folder)))
        return [*one, *_threads(run, double, Path(folder)), _capacity(run, double)]


if __name__ == "__main__":
    raise SystemExit(main([("remote", QUESTION, measure)]))

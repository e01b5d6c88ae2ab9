"""Stopping in good order: what was begun is finished, and what was promised is kept."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import httpx2
import pytest

from insession import connect
from insession.kernel.operations import Mark, Standing
from insession.service import create_app
from tests.programs import INSESSION, started

from .conftest import served
from .test_problems import check


async def test_it_is_not_ready_while_it_stops() -> None:
    app = create_app(connect("memory:"))
    async with served("memory:", app=app) as http:
        ready = await http.get("/readyz")
        assert ready.json()["status"] == "ready"
        app.state.stopping = True
        stopping = await http.get("/readyz")
        check(stopping, 503, "stopping")
        assert stopping.headers["retry-after"] == "1"
        assert (await http.get("/healthz")).json() == {"status": "ok"}
        assert (await http.get("/v1/stats")).status_code == 200


async def test_it_is_not_ready_once_its_store_has_moved() -> None:
    async with connect("memory:") as engine, served(engine) as http:
        assert (await http.get("/readyz")).status_code == 200
        await engine.store.apply([Mark(Standing.MOVED, "elsewhere")])
        check(await http.get("/readyz"), 503, "store-unavailable")


@pytest.mark.processes
async def test_while_it_drains_it_serves_and_says_that_it_is_not_ready(tmp_path: Path) -> None:
    program = "from insession.service import serve; serve(port=0, drain=60.0)"
    with started(sys.executable, "-W", "error", "-c", program, cwd=tmp_path) as service:
        async with httpx2.AsyncClient(base_url=service.url, trust_env=False) as http, asyncio.timeout(20.0):
            assert (await http.get("/readyz")).status_code == 200
            service.popen.send_signal(signal.SIGTERM)
            while (await http.get("/readyz")).status_code == 200:
                pass
            assert (await http.post("/v1/sessions")).status_code == 201
            # Whoever insists does not wait for the rest of the minute.
            assert service.stop() == (0, "")


@pytest.mark.processes
async def test_what_was_acknowledged_is_in_the_store_and_nothing_is_left_half_answered(tmp_path: Path) -> None:
    acknowledged: list[str] = []
    cut: list[Exception] = []

    async def opens(http: httpx2.AsyncClient) -> None:
        while True:
            try:
                answer = await http.post("/v1/sessions", json={"owner": "ann", "data": "x" * 1_000})
            except httpx2.HTTPError as error:
                cut.append(error)
                return
            assert answer.status_code == 201
            acknowledged.append(answer.json()["id"])

    with started(*INSESSION, "serve", "--port", "0", cwd=tmp_path) as service:
        async with httpx2.AsyncClient(base_url=service.url, trust_env=False, timeout=20.0) as http:
            writers = [asyncio.create_task(opens(http)) for _ in range(20)]
            async with asyncio.timeout(20.0):
                while len(acknowledged) < 200:  # noqa: ASYNC110 - they come from many tasks
                    await asyncio.sleep(0.01)
                service.popen.send_signal(signal.SIGTERM)
                await asyncio.gather(*writers)
        assert await asyncio.to_thread(service.popen.wait, 20.0) == 0
        assert service.stop() == (0, "")
    # Refused, or closed before an answer began: no answer breaks off in its middle.
    assert not [error for error in cut if isinstance(error, httpx2.DecodingError | httpx2.ReadTimeout)]
    async with connect(f"sqlite:///{tmp_path / 'insession.db'}") as engine:
        for session_id in acknowledged:
            assert (await engine.get(session_id)).owner == "ann"

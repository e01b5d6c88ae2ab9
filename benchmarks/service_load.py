"""The service under load, beside the same Litestar application that answers from a dict; and idle event streams."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tests.programs import Process, started

from .measuring import TIMES, Figure, Run
from .reporting import main
from .servers import cpu_seconds

QUESTION = "The service on SQLite: 50 keep-alive clients with mixed operations, and 200 idle event streams"
HERE: Final = Path(__file__).parent
WORKER: Final = (sys.executable, "-m", "benchmarks.service_worker")
WRK: Final = shutil.which("wrk") or ""
CLIENTS: Final = 50
SECONDS, QUICK = 6.0, 2.0
STREAMS: Final = 200
IDLE: Final = 60.0
"""Four keep-alives of each stream."""


@contextlib.contextmanager
def _serving(store: str) -> Iterator[Process]:
    """A server on one core: the last one, with the load generator on the first."""
    cores = sorted(os.sched_getaffinity(0))
    with started(*WORKER, store, cwd=HERE.parent) as process:
        for task in Path(f"/proc/{process.popen.pid}/task").iterdir():
            os.sched_setaffinity(int(task.name), {cores[-1]})
        yield process


def _load(process: Process, seconds: float) -> dict[str, float]:
    """What wrk counted, with the server's CPU for each request in ms."""
    core = min(os.sched_getaffinity(0))
    script = str(HERE / "service_load.lua")
    before = cpu_seconds(process.popen.pid)
    done = subprocess.run(
        (WRK, "-t1", f"-c{CLIENTS}", f"-d{seconds:g}s", "-s", script, process.url),
        check=True,
        capture_output=True,
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),
    )
    busy = cpu_seconds(process.popen.pid) - before
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert found["refused"] == 0, found
    return {**found, "rate": found["requests"] / found["seconds"], "cpu": busy / found["requests"] * 1e3}


def _mixed(run: Run) -> list[Figure]:
    seconds = QUICK if run.quick else SECONDS
    values: dict[str, list[dict[str, float]]] = {"service": [], "dict": []}
    with (
        tempfile.TemporaryDirectory() as folder,
        _serving(f"sqlite:///{Path(folder) / 'load.db'}") as service,
        _serving("dict") as beside,
    ):
        for server in (service, beside):
            _load(server, QUICK)  # warm up
        for _ in range(run.rounds):
            values["service"].append(_load(service, seconds))
            values["dict"].append(_load(beside, seconds))
    pairs = list(zip(values["service"], values["dict"], strict=True))
    note = f"{CLIENTS} clients; open, read, touch, update over the version, read, close"
    figures = [
        Figure(
            name="requests a second ÷ those from a dict",
            unit=TIMES,
            values=[ours["rate"] / theirs["rate"] for ours, theirs in pairs],
            bar=0.5,
            sense="at least",
            note=note,
        ),
        Figure(
            name="server's CPU of a request from a dict ÷ the service's",
            unit=TIMES,
            values=[theirs["cpu"] / ours["cpu"] for ours, theirs in pairs],
            bar=0.5,
            sense="at least",
        ),
    ]
    for name, what in (("service", "the service"), ("dict", "a dict")):
        some = values[name]
        figures += [
            Figure(name=f"{what}: requests a second", unit="/s", values=[one["rate"] for one in some]),
            Figure(name=f"{what}: server's CPU of a request", unit="ms", values=[one["cpu"] for one in some]),
            Figure(name=f"{what}: p99 of an answer", unit="ms", values=[one["p99"] for one in some]),
        ]
    return figures


def _idle_streams(run: Run) -> Figure:
    """Streams with nothing to say but that they live, every 15 s."""
    seconds = IDLE / 4 if run.quick else IDLE
    with (
        tempfile.TemporaryDirectory() as folder,
        _serving(f"sqlite:///{Path(folder) / 'idle.db'}") as service,
        contextlib.ExitStack() as lines,
    ):
        port = int(service.url.rpartition(":")[2])
        for _ in range(STREAMS):
            line = lines.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10.0))
            line.sendall(b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert line.recv(4096).startswith(b"HTTP/1.1 200")
        time.sleep(1.0)  # what their beginning left behind is over
        before = cpu_seconds(service.popen.pid), time.monotonic()
        time.sleep(seconds)
        busy, wall = cpu_seconds(service.popen.pid) - before[0], time.monotonic() - before[1]
    return Figure(
        name=f"{STREAMS} idle event streams",
        unit="% of a core",
        values=[busy / wall * 100],
        bar=1.0,
        note=f"over {seconds:g} s, keep-alive every 15 s, on SQLite",
    )


def measure(run: Run) -> list[Figure]:
    if WRK == "":
        raise RuntimeError("wrk is not installed; on Debian and Ubuntu: apt install wrk")
    return [*_mixed(run), _idle_streams(run)]


if __name__ == "__main__":
    raise SystemExit(main([("service_load", QUESTION, measure)]))

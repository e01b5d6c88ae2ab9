"""How long it takes from one process's interrupt until the client of another process's gRPC server is told."""

from __future__ import annotations

import asyncio
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import grpc

import insession

from .measuring import SEED, Figure, Run
from .reporting import main

QUESTION = "Interrupt of a gRPC call from another process on one SQLite file: call to the client's status"
NUMBER = 200
WARM_UP = 5
LIMIT = 60.0


@asynccontextmanager
async def server(url: str, address: str) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.grpc_worker", url, address, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(LIMIT):
            assert await process.stdout.readline() == b"ready\n", "the server has died"
        yield
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _told(call: grpc.aio.UnaryStreamCall[bytes, bytes]) -> int:
    """When the client had its status."""
    with suppress(grpc.aio.AioRpcError):
        await call.read()
    told = time.monotonic_ns()
    assert (await call.code(), await call.details()) == (grpc.StatusCode.ABORTED, "measured")
    return told


async def _delay(engine: insession.Engine, channel: grpc.aio.Channel, pause: float) -> float:
    """Milliseconds from the interrupt's call to the client's status, while the handler waits."""
    wait: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream("/bench.Calls/Wait")
    call = wait(b"", timeout=LIMIT)
    session_id = await call.read()
    assert isinstance(session_id, bytes)
    client = asyncio.create_task(_told(call))
    # So that the calls do not fall into step with anything.
    await asyncio.sleep(pause)
    called = time.monotonic_ns()
    await engine.interrupt(session_id.decode(), "measured")
    return (await client - called) / 1e6


async def _delays(folder: Path, mode: str, number: int) -> list[float]:
    chance = random.Random(SEED)
    url, address = f"sqlite:///{folder / 'sessions.db'}?synchronous={mode}", f"unix:{folder / 'socket'}"
    async with server(url, address), insession.connect(url) as engine, grpc.aio.insecure_channel(address) as channel:
        delays = [await _delay(engine, channel, chance.uniform(0.005, 0.03)) for _ in range(WARM_UP + number)]
    return sorted(delays[WARM_UP:])


async def _measured(run: Run) -> list[Figure]:
    figures = []
    for mode in ("normal", "full"):
        with tempfile.TemporaryDirectory() as folder:
            delays = await _delays(Path(folder), mode, run.count(NUMBER))
        middle, late = delays[len(delays) // 2], delays[int(len(delays) * 0.99)]
        note = f"{len(delays)} interrupts, longest {delays[-1]:.1f} ms"
        figures += [
            Figure(name=f"{mode.upper()}: p50", unit="ms", values=[middle], bar=5.0, scale=run.scale),
            Figure(name=f"{mode.upper()}: p99", unit="ms", values=[late], bar=25.0, scale=run.scale, note=note),
        ]
    return figures


def measure(run: Run) -> list[Figure]:
    return asyncio.run(_measured(run))


if __name__ == "__main__":
    raise SystemExit(main([("grpc_interrupts", QUESTION, measure)]))

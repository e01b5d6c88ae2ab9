"""What tracking costs on memory: creating beside 100 to 100,000 live sessions, interrupting all, bytes of a session."""

from __future__ import annotations

import asyncio
import gc
import logging
import statistics
import sys
import time
import tracemalloc
from typing import Any, Final

import insession
from insession.kernel.codec import encode
from insession.tracking import LiveSession, SessionManager, logs

from .measuring import TIMES, Figure, Run, collector_pauses
from .reporting import main

QUESTION = "Tracking: creates, interrupt_all_sessions, and bytes of a session, on memory"
SIZES: Final = (100, 10_000, 100_000)
ROOM: Final = {"max_concurrent_sessions": 1_000_000, "hardware_id_cache_file": None}
SILENT: Final = ROOM | {"log_sessions": False, "log_interrupts": False}
AGENT: Final = "Mozilla/5.0 (X11; Linux x86_64)"
CONTEXT: Final = {"user_preferences": {"language": "en"}}


async def _create(manager: SessionManager, number: int, first: int = 0) -> list[LiveSession]:
    """So many sessions, each of a hardware id of its own."""
    return [
        await manager.create_session(AGENT, "192.168.1.1", CONTEXT, hardware_id=f"device-{n:025d}")
        for n in range(first, first + number)
    ]


async def _each(manager: SessionManager, number: int) -> list[float]:
    """Microseconds of each of so many creates; what they created is ended again."""
    times, created = [], []
    for n in range(number):
        hardware_id = f"device-{n:025d}"
        begin = time.perf_counter()
        live = await manager.create_session(AGENT, "192.168.1.1", CONTEXT, hardware_id=hardware_id)
        times.append((time.perf_counter() - begin) * 1e6)
        created.append(live)
    for live in created:
        await manager.interrupt_session(live.id, "completed")
    return times


async def _creates(run: Run) -> list[Figure]:
    medians: dict[str, list[float]] = {f"{size:,}": [] for size in SIZES}
    listened: list[float] = []
    for _ in range(run.rounds):
        for size in SIZES:
            async with SessionManager(SILENT) as manager:
                await _create(manager, run.count(size))
                medians[f"{size:,}"].append(statistics.median(await _each(manager, 1_000)))
        # With a level given its records are made; nobody listens to them.
        async with SessionManager(ROOM | {"log_level": "INFO"}) as manager:
            await _create(manager, SIZES[0])
            listened.append(statistics.median(await _each(manager, 1_000)))
        logs.logger().setLevel(logging.NOTSET)
    few, many = medians[f"{SIZES[0]:,}"], medians[f"{SIZES[-1]:,}"]
    return [
        *(
            Figure(
                name=f"create_session beside {size} live, records off",
                unit="µs",
                values=values,
                bar=20.0,
                scale=run.scale,
            )
            for size, values in medians.items()
        ),
        Figure(
            name="create_session, records on, nobody listening", unit="µs", values=listened, bar=35.0, scale=run.scale
        ),
        Figure(
            name=f"create_session beside {SIZES[-1]:,} live ÷ beside {SIZES[0]:,}",
            unit=TIMES,
            values=[one / other for one, other in zip(many, few, strict=True)],
            bar=1.5,
        ),
    ]


async def _from_empty(run: Run) -> Figure:
    number, values = 50_000, []
    for _ in range(run.rounds):
        async with SessionManager(SILENT) as manager:
            gc.collect()
            begin = time.perf_counter()
            kept = await _create(manager, number)
            values.append(time.perf_counter() - begin)
            assert len(kept) == len(manager.session_tracker.active_sessions)  # type: ignore[union-attr]
    return Figure(
        name=f"{number:,} creates, one after another, records off", unit="s", values=values, bar=1.5, scale=run.scale
    )


async def _of_manager(number: int) -> float:
    async with SessionManager(SILENT) as manager:
        kept = await _create(manager, number)
        gc.collect()
        with collector_pauses() as pauses:
            begin = time.perf_counter()
            assert await manager.interrupt_all_sessions("shutdown") == number
            seconds = time.perf_counter() - begin - pauses.total
        assert all(live["interrupt_flag"] for live in kept)
        return seconds * 1e3


async def _of_engine(number: int) -> float:
    async with insession.connect("memory:") as engine:
        kept = [await engine.open(kind="device", owner=f"device-{n:025d}", data=CONTEXT) for n in range(number)]
        assert not any(session.interrupted for session in kept)
        gc.collect()
        with collector_pauses() as pauses:
            begin = time.perf_counter()
            assert await engine.interrupt_all("shutdown", kind="device") == number
            return (time.perf_counter() - begin - pauses.total) * 1e3


async def _interrupts(run: Run) -> list[Figure]:
    number = run.count(10_000)
    values: dict[str, list[float]] = {"engine": [], "manager": []}
    for _ in range(run.rounds):
        values["engine"].append(await _of_engine(number))
        values["manager"].append(await _of_manager(number))
    return [
        Figure(
            name=f"interrupt_all_sessions of {number:,} ÷ engine.interrupt_all",
            unit=TIMES,
            values=[one / other for one, other in zip(values["manager"], values["engine"], strict=True)],
            bar=1.1,
            note="as the engine's, within a tenth: both are noisy",
        ),
        Figure(name=f"interrupt_all_sessions of {number:,}", unit="ms", values=values["manager"]),
        Figure(name=f"engine.interrupt_all of {number:,}", unit="ms", values=values["engine"]),
    ]


async def _bytes(number: int) -> float:
    """Bytes of a tracked session beside its data, its event and its live mapping included."""
    owners = [f"device-{n:025d}" for n in range(number)]
    content: dict[str, Any] = {"hardware_id": owners[0], "user_agent": AGENT, "context": CONTEXT}
    data = sys.getsizeof(encode(content))
    async with SessionManager(SILENT) as manager:
        gc.collect()
        tracemalloc.start()
        kept = [await manager.create_session(AGENT, None, CONTEXT, hardware_id=owner) for owner in owners]
        gc.collect()
        taken = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        taken -= sys.getsizeof(kept)
    return taken / number - data


async def _memory(run: Run) -> Figure:
    return Figure(
        name="bytes of a tracked session beside its data",
        unit="B",
        values=[await _bytes(run.count(100_000))],
        bar=700,
        note="100,000 sessions, each its own hardware id; live mapping, and the log's 10,000 newest events, included",
    )


def measure(run: Run) -> list[Figure]:
    return [
        *asyncio.run(_creates(run)),
        asyncio.run(_from_empty(run)),
        *asyncio.run(_interrupts(run)),
        asyncio.run(_memory(run)),
    ]


if __name__ == "__main__":
    raise SystemExit(main([("tracking", QUESTION, measure)]))

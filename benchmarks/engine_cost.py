"""What the engine costs above `apply`: every verb over a store that does nothing."""

from __future__ import annotations

import asyncio
import cProfile
import gc
import pstats
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import insession
from insession.kernel.operations import Operation

from .measuring import Figure, Run, interleaved
from .null_stores import NullStore
from .reporting import main

QUESTION = "The engine's own cost above apply, over stores that do nothing"
INLINE_BAR, BATCHED_BAR = 3.0, 10.0
CALLERS = 32
# Without a window, so that every touch is an operation.
DEVICE = insession.Kind("device", idle=3600.0, window=0.0)
ID = "0123456789abcdef0123456789abcdef"
Verb = Callable[[], Awaitable[object]]


async def _lock_once(engine: insession.Engine) -> None:
    async with engine.lock("report"):
        pass


async def verbs(engine: insession.Engine, store: NullStore) -> dict[str, tuple[Verb, int]]:
    """Every verb with the number of operations that it sends."""
    session = await engine.open(kind="device", owner="ann")
    store.hold(session.record)
    data = {"step": 1}
    items = engine.items
    return {
        "get": (lambda: engine.get(ID), 1),
        "touch": (session.touch, 1),
        "update": (lambda: session.update(data), 1),
        "update by function": (lambda: session.update(lambda _: data), 1),
        "open": (lambda: engine.open(kind="device", owner="ann", data=data), 1),
        "end": (lambda: engine.close(ID), 1),
        "item get": (lambda: items.get("notes/one"), 1),
        "item put": (lambda: items.put("notes/one", data), 1),
        "lock and release": (lambda: _lock_once(engine), 2),
    }


async def applied(store: NullStore, todo: dict[str, tuple[Verb, int]]) -> dict[str, Sequence[Operation]]:
    """The operations that these verbs send: what `apply` alone costs is taken off."""
    for _ in range(20):  # what the engine does at its start is not looked for
        await asyncio.sleep(0)
    sent: dict[str, Sequence[Operation]] = {}
    for name, (verb, _) in todo.items():
        store.seen = seen = list[Operation]()
        await verb()
        await asyncio.sleep(0)
        sent[name] = seen
    store.seen = None
    return sent


def _inline(verb: Verb, number: int) -> Callable[[], Awaitable[float]]:
    async def once() -> float:
        gc.collect()
        begin = time.perf_counter()
        for _ in range(number):
            await verb()
        return (time.perf_counter() - begin) / number * 1e6

    return once


def _batched(verb: Verb, number: int) -> Callable[[], Awaitable[float]]:
    async def caller() -> None:
        for _ in range(number // CALLERS):
            await verb()

    async def once() -> float:
        gc.collect()
        begin = time.perf_counter()
        await asyncio.gather(*(caller() for _ in range(CALLERS)))
        return (time.perf_counter() - begin) / (number // CALLERS * CALLERS) * 1e6

    return once


def _alone(store: NullStore, operations: Sequence[Operation], number: int) -> Callable[[], Awaitable[float]]:
    batch = list(operations) * CALLERS

    async def once() -> float:
        begin = time.perf_counter()
        if store.immediate:
            for _ in range(number):
                for operation in operations:
                    store.apply_now(operation)
            return (time.perf_counter() - begin) / number * 1e6
        for _ in range(number // CALLERS):
            await store.apply(batch)
        return (time.perf_counter() - begin) / (number // CALLERS * CALLERS) * 1e6

    return once


async def _costs(run: Run, *, immediate: bool) -> list[Figure]:
    store = NullStore(immediate=immediate)
    number = run.count(20_000)
    async with insession.connect(store, kinds=[DEVICE]) as engine:
        todo = await verbs(engine, store)
        sent = await applied(store, todo)
        wrap = _inline if immediate else _batched
        variants = {name: wrap(verb, number) for name, (verb, _) in todo.items()}
        variants |= {f"{name} alone": _alone(store, ops, number) for name, ops in sent.items()}
        values = await interleaved(run.rounds, variants)
        size = store.operations / max(1, store.batches)
        if run.profile:
            await _profile(todo, wrap, number // 4)
    figures = []
    for name, (_, operations) in todo.items():
        above = [
            (whole - alone) / operations for whole, alone in zip(values[name], values[f"{name} alone"], strict=True)
        ]
        figures.append(_figure(run, name, above, operations=operations, immediate=immediate, size=size))
    return figures


def _figure(run: Run, name: str, above: list[float], *, operations: int, immediate: bool, size: float) -> Figure:
    note = f"for each of its {operations} operations" if operations > 1 else ""
    if not immediate and name == "get":
        note = f"{CALLERS} callers, {size:.0f} operations a batch on average"
    bar = INLINE_BAR if immediate else BATCHED_BAR
    where = "inline" if immediate else "batched"
    return Figure(name=f"{where}: {name}", unit="µs", values=above, bar=bar, scale=run.scale, note=note)


async def _profile(todo: dict[str, tuple[Verb, int]], wrap: Any, number: int) -> None:
    for name, (verb, _) in todo.items():
        profile = cProfile.Profile()
        once = wrap(verb, number)
        profile.enable()
        await once()
        profile.disable()
        print(f"--- {wrap.__name__.strip('_')}: {name} ({number} times; the profiler slows calls down)")
        pstats.Stats(profile).strip_dirs().sort_stats("tottime").print_stats(14)


def measure(run: Run) -> list[Figure]:
    return asyncio.run(_costs(run, immediate=True)) + asyncio.run(_costs(run, immediate=False))


if __name__ == "__main__":
    raise SystemExit(main([("engine_cost", QUESTION, measure)]))

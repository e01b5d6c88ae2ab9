"""Valkey: 32 callers through the engine, and one, beside redis-py's own asynchronous pool."""

from __future__ import annotations

import asyncio
import statistics
from functools import partial
from typing import Any, Final

import redis.asyncio

import insession

from .measuring import TIMES, Figure, Run
from .reporting import main
from .servers import Valkey, running_valkey
from .shared_phases import DEVICE, PLAIN, VALUE, VERBS, Counted, Phases, by_callers

QUESTION = "Valkey: the engine, 32 callers and one, beside redis-py's asyncio client (a SET of 500 bytes is 1)"
CALLERS: Final = 32
TOGETHER: Final = {"open": 1.6, "load": 2.2, "update": 2.0, "touch": 1.9, "end": 1.4, "mixed": 2.0}
ALONE: Final = {"open": 0.7, "load": 0.85, "update": 0.85, "touch": 0.85, "end": 0.7}
UPKEEP: Final = 100
Rates = dict[str, list[float]]


class Peer:
    """redis-py: a pool of its own, each caller a command and its answer."""

    def __init__(self, server: Valkey, callers: int) -> None:
        self._callers = callers
        self._client = redis.asyncio.Redis(port=server.port, password=server.password, max_connections=callers)

    async def _set(self, key: str) -> None:
        assert await self._client.set(key, VALUE)

    async def _get(self, key: str) -> None:
        assert await self._client.get(key) == VALUE

    async def rate(self, verb: str, number: int) -> float:
        command = {"SET": self._set, "GET": self._get}[verb]
        before = await self._client.info("commandstats")
        rate = await by_callers([partial(command, f"peer:{n}") for n in range(number)], self._callers)
        name = f"cmdstat_{verb.lower()}"
        after: Any = await self._client.info("commandstats")
        # Ours uses both too, but for the engine's own upkeep not meanwhile.
        assert number <= after[name]["calls"] - before.get(name, {"calls": 0})["calls"] <= number + UPKEEP
        return rate

    async def close(self) -> None:
        await self._client.aclose()


async def _round(phases: Phases, peer: Peer, number: int, rates: Rates) -> None:
    for verb in (*VERBS, "mixed"):
        rates.setdefault(verb, []).append(await phases.rate(verb, number))
        rates.setdefault(f"{verb} SET", []).append(await peer.rate("SET", number // 2))
        if verb == "load":
            rates.setdefault("GET", []).append(await peer.rate("GET", number // 2))


async def _rates(run: Run, server: Valkey, callers: int, number: int, kind: str) -> tuple[Rates, Phases]:
    store, peer, rates = Counted(server.url, f"bench{callers}{kind}"), Peer(server, callers), Rates()
    try:
        async with insession.connect(store, kinds=[DEVICE, PLAIN]) as engine:
            phases = Phases(engine, store, callers, kind)
            await _round(phases, peer, number, {})
            for _ in range(run.rounds):
                await _round(phases, peer, number, rates)
    finally:
        await peer.close()
    return rates, phases


async def _measured(run: Run) -> list[Figure]:
    number, few = run.count(6_400), run.count(1_600)
    with running_valkey() as server:
        together = await _rates(run, server, CALLERS, number, "device")
        plain = await _rates(run, server, CALLERS, number, "plain")
        alone = await _rates(run, server, 1, few, "device")
    figures = _figures("32 callers", *together, TOGETHER)
    figures.append(_figure("32 callers, open of a kind without a limit", "open", *plain, None))
    return figures + _figures("one caller", *alone, ALONE)


def _figures(who: str, rates: Rates, phases: Phases, bars: dict[str, float]) -> list[Figure]:
    figures = [_figure(f"{who}, {verb}", verb, rates, phases, bars.get(verb)) for verb in (*VERBS, "mixed")]
    ratios = [one / other for one, other in zip(rates["load"], rates["GET"], strict=True)]
    note = f"GET {statistics.median(rates['GET']):,.0f}/s"
    return [*figures, Figure(name=f"{who}, load ÷ GET", unit=TIMES, values=ratios, note=note)]


def _figure(name: str, verb: str, rates: Rates, phases: Phases, bar: float | None) -> Figure:
    ours, theirs = rates[verb], rates[f"{verb} SET"]
    note = f"{statistics.median(ours):,.0f}/s against {statistics.median(theirs):,.0f}/s"
    note += f", {statistics.median(phases.sizes[verb]):.0f} a batch"
    ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
    return Figure(name=f"{name} ÷ SET", unit=TIMES, values=ratios, bar=bar, sense="at least", note=note)


def measure(run: Run) -> list[Figure]:
    return asyncio.run(_measured(run))


if __name__ == "__main__":
    raise SystemExit(main([("valkey_batches", QUESTION, measure)]))

"""Interrupts on memory: 10,000 at once, and what it costs to ask whether a session was interrupted."""

from __future__ import annotations

import asyncio
import time
import timeit
from typing import Any

import insession
from insession.kernel.operations import Answer, End, Ends, Operation
from insession.stores.memory import MemoryStore

from .measuring import TIMES, Figure, Run, collector_pauses, interleaved
from .reporting import main

QUESTION = "Memory: interrupt_all of 10,000 with handles held, and reading the flag"
SESSIONS = 10_000


class _Watched(MemoryStore):
    """A memory store that notes when endings arrive, and when the last of them was committed."""

    def __init__(self) -> None:
        super().__init__()
        self.first = self.last = 0.0
        self.ends = 0

    def apply_now(self, operation: Operation) -> Answer:
        picked = isinstance(operation, End) and operation.pick.index not in {"id", "due"}
        if picked and not self.first:
            self.first = time.perf_counter()
        answer = super().apply_now(operation)
        if picked and isinstance(answer, Ends):
            self.last = time.perf_counter()
            self.ends += len(answer.ids)
        return answer


async def _all_at_once(sessions: int) -> dict[str, float]:
    store = _Watched()
    async with insession.connect(store) as engine:
        handles = [await engine.open(kind="device", owner=f"d{n}", data={"n": n}) for n in range(sessions)]
        assert not any(handle.interrupted for handle in handles)  # from here on every flag is watched
        with collector_pauses() as pauses:
            begin = time.perf_counter()
            number = await engine.interrupt_all("shutdown")
            returned = time.perf_counter()
            assert all(handle.interrupted for handle in handles)
            while handles[-1].reason is None or any(one.reason is None for one in handles):  # noqa: ASYNC110 - no turn may be missed
                await asyncio.sleep(0)
            known = time.perf_counter()
        assert number == store.ends == sessions
        assert {handle.reason for handle in handles} == {"shutdown"}
        return {
            "flags": (store.first - begin) * 1e3,
            "commits": (store.last - begin) * 1e3,
            "returned": (returned - begin) * 1e3,
            "known": (known - begin) * 1e3,
            "pauses": pauses.total * 1e3,
        }


async def _rounds(run: Run) -> list[Figure]:
    sessions = run.count(SESSIONS)
    await _all_at_once(sessions)
    rounds = [await _all_at_once(sessions) for _ in range(run.rounds)]
    values = {name: [one[name] for one in rounds] for name in rounds[0]}
    return [
        Figure(
            name=f"interrupt_all of {sessions:,}: all local flags set",
            unit="ms",
            values=values["flags"],
            bar=2.0,
            scale=run.scale,
            note="call to the first ending's arrival at the store, handles held and watched",
        ),
        Figure(
            name=f"interrupt_all of {sessions:,}: all ends committed",
            unit="ms",
            values=values["commits"],
            bar=25.0,
            scale=run.scale,
            note="call to the last slice's answer",
        ),
        Figure(name="the same, until the call returns", unit="ms", values=values["returned"]),
        Figure(name="the same, until every handle knows its reason", unit="ms", values=values["known"]),
        Figure(name="collector pauses within it", unit="ms", values=values["pauses"]),
    ]


class _Plain:
    """What the flag is compared with: an attribute in a slot."""

    __slots__ = ("interrupted",)

    def __init__(self) -> None:
        self.interrupted = False


async def _flag(run: Run) -> list[Figure]:
    number = run.count(1_000_000)
    async with insession.connect("memory:") as engine:
        session = await engine.open()
        assert not session.interrupted
        plain = _Plain()
        # 20 reads a turn, so that the loop around them hardly counts.
        statement = ";".join(["one.interrupted"] * 20)

        def reader(one: object) -> Any:
            timer = timeit.Timer(statement, globals={"one": one})

            async def read() -> float:
                return timer.timeit(number // 20) / number * 1e9

            return read

        values = await interleaved(run.rounds, {"session": reader(session), "plain": reader(plain)})
    ratios = [one / other for one, other in zip(values["session"], values["plain"], strict=True)]
    return [
        Figure(name="session.interrupted ÷ an attribute in a slot", unit=TIMES, values=ratios, bar=3.0),
        Figure(name="reading session.interrupted", unit="ns", values=values["session"]),
    ]


def measure(run: Run) -> list[Figure]:
    return [*asyncio.run(_rounds(run)), *asyncio.run(_flag(run))]


if __name__ == "__main__":
    raise SystemExit(main([("memory_interrupts", QUESTION, measure)]))

"""Protocol sessions beside mtpylon's own, on memory: cycles through the subject, `has_session`, bytes of a session.

Both are measured in one run, so it needs an environment with mtpylon: ``make mtpylon`` makes it and runs this there.
"""

from __future__ import annotations

import asyncio
import gc
import random
import time
import tracemalloc
from collections.abc import Callable
from typing import Any, Final

from mtpylon.crypto import AuthKey
from mtpylon.sessions import InMemorySessionStorage as Theirs
from mtpylon.sessions import SessionSubject as TheirSubject

import insession
import insession.protocol
from insession.protocol import InMemorySessionStorage, SessionSubject, protocol_kind
from insession.stores.memory import MemoryStore

from .measuring import SEED, TIMES, Figure, Run, interleaved
from .reporting import main

QUESTION = "Protocol: sessions through the subject, beside mtpylon's own, on memory"
BARS: Final = {0: 1.0, 1: 2.0, 10: 1.2}
KEYS: Final = 1_000
ASKED: Final = 100_000
Make = Callable[[], Any]
MAKERS: Final[dict[str, Make]] = {
    "ours": lambda: SessionSubject(session_storage_factory=InMemorySessionStorage),
    "mtpylon": lambda: TheirSubject(session_storage_factory=Theirs),
}


class Observer:
    async def update(self, event: object) -> None:
        pass


def keys(number: int) -> list[AuthKey]:
    chance = random.Random(SEED)
    return [AuthKey(chance.getrandbits(2048)) for _ in range(number)]


def cycles(make: Make, observers: int, number: int) -> Callable[[], Any]:
    """Microseconds of a create, a has and a destroy through the subject."""

    async def measure() -> float:
        subject, (key,) = make(), keys(1)
        for _ in range(observers):
            subject.subscribe(Observer())
        await subject.create_session(key, -1)
        gc.collect()
        begin = time.perf_counter()
        for session_id in range(number):
            await subject.create_session(key, session_id)
            await subject.has_session(key, session_id)
            await subject.destroy_session(key, session_id)
        taken = time.perf_counter() - begin
        if isinstance(subject, SessionSubject):
            await subject.close()
        return taken / number * 1e6

    return measure


async def _cycles(run: Run) -> list[Figure]:
    figures: list[Figure] = []
    for observers, bar in BARS.items():
        number = run.count(20_000 if observers == 0 else 5_000)
        values = await interleaved(run.rounds, {name: cycles(make, observers, number) for name, make in MAKERS.items()})
        what = f"create, has, destroy with {observers} observer{'' if observers == 1 else 's'}"
        ratios = [theirs / ours for ours, theirs in zip(values["ours"], values["mtpylon"], strict=True)]
        figures += [
            Figure(name=f"{what}: speed {TIMES} mtpylon's", unit=TIMES, values=ratios, bar=bar, sense="at least"),
            *(Figure(name=f"{what}: {name}", unit="µs", values=values[name]) for name in MAKERS),
        ]
    return figures


async def _filled(make: Make, those: list[AuthKey], number: int) -> Any:
    subject = make()
    for session_id in range(number):
        await subject.create_session(those[session_id % len(those)], session_id)
    return subject


async def _known(run: Run) -> list[Figure]:
    number, those, chance = run.count(1_000_000), keys(KEYS), random.Random(SEED)
    subjects = {name: await _filled(make, those, number) for name, make in MAKERS.items()}
    picks = [chance.randrange(number) for _ in range(run.count(ASKED))]
    asked = [(those[pick % KEYS], pick) for pick in picks]

    def measured(subject: Any) -> Callable[[], Any]:
        async def measure() -> float:
            begin = time.perf_counter()
            for key, session_id in asked:
                await subject.has_session(key, session_id)
            return (time.perf_counter() - begin) / len(asked) * 1e6

        return measure

    async def hashing() -> float:
        begin = time.perf_counter()
        for key, _ in asked:
            hash(key)
        return (time.perf_counter() - begin) / len(asked) * 1e6

    gc.collect()
    gc.freeze()
    variants = {name: measured(subject) for name, subject in subjects.items()}
    values = await interleaved(run.rounds, {**variants, "hashing": hashing})
    gc.unfreeze()
    await subjects["ours"].close()
    pairs = list(zip(values["ours"], values["mtpylon"], values["hashing"], strict=True))
    what = f"has among {number:,} sessions of {KEYS:,} keys"
    return [
        Figure(
            name=f"{what}: speed {TIMES} mtpylon's",
            unit=TIMES,
            values=[theirs / ours for ours, theirs, _ in pairs],
            bar=1.0,
            sense="at least",
        ),
        *(Figure(name=f"{what}: {name}", unit="µs", values=values[name]) for name in MAKERS),
        Figure(name="hashing an AuthKey once, which mtpylon's has does", unit="µs", values=values["hashing"]),
        Figure(
            name=f"{what}: speed {TIMES} mtpylon's without that hashing",
            unit=TIMES,
            values=[(theirs - hashed) / ours for ours, theirs, hashed in pairs],
        ),
    ]


async def _bytes(number: int, *, through_face: bool) -> float:
    """Bytes of one of many sessions, as the face opens them or as the engine alone does; the log apart."""
    those, store = keys(KEYS), MemoryStore()
    owners = [f"{key.id:016x}" for key in those]
    async with insession.connect(store, kinds=[protocol_kind()]) as engine:
        subject = SessionSubject(lambda: insession.protocol.SessionStorage(engine))
        for key in those:  # what is kept once for a key
            await subject.create_session(key, -1)
        gc.collect()
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        for session_id in range(number):
            place = session_id % KEYS
            if through_face:
                await subject.create_session(those[place], session_id << 40)
            else:
                await engine.open(kind="protocol", owner=owners[place], name=str(session_id << 40))
        store._log.drop(len(store._log.entries))
        gc.collect()
        taken = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
    return taken / number


async def _memory(run: Run) -> list[Figure]:
    number = run.count(200_000)
    engine = await _bytes(number, through_face=False)
    face = await _bytes(number, through_face=True)
    return [
        Figure(
            name="bytes of a session beside those of the engine's own",
            unit="B",
            values=[face - engine],
            bar=50,
            note=f"{face:.0f} and {engine:.0f}; {number:,} sessions of {KEYS:,} keys, no key kept; the log apart",
        )
    ]


def measure(run: Run) -> list[Figure]:
    return [*asyncio.run(_cycles(run)), *asyncio.run(_memory(run)), *asyncio.run(_known(run))]


if __name__ == "__main__":
    raise SystemExit(main([("protocol", QUESTION, measure)]))

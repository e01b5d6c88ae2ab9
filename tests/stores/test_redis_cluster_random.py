"""Random batches over all partitions of a cluster, beside memory: the answers are the same."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from insession.kernel.events import Event
from insession.kernel.operations import (
    Acquire,
    Count,
    End,
    Ending,
    Ends,
    Find,
    Guard,
    Index,
    Load,
    Operation,
    Pick,
    Purge,
    Put,
    Touch,
)
from insession.kernel.record import State
from insession.stores.memory import MemoryStore
from insession.testing.clock import ManualClock
from insession.testing.contract.samples import (
    NODE,
    end,
    ending,
    fresh_change,
    limit,
    opening,
    session,
    sid,
    the_log,
    update,
    writing,
)
from tests.servers import cluster

from .clusters import NOW, OWNERS, made

NUMBERS = frozenset({"version", "versions", "token", "position", "partition"})
"""What every partition counts for itself."""


def plain(answer: Any) -> Any:
    """An answer without the numbers that are a store's own."""
    if isinstance(answer, Ends):
        # Partitions are asked one after the other.
        return (sorted(answer.ids), answer.more, answer.look)
    if isinstance(answer, msgspec.Struct):
        fields = [name for name in answer.__struct_fields__ if name not in NUMBERS]
        return (type(answer).__name__, *(plain(getattr(answer, name)) for name in fields))
    return [plain(one) for one in answer] if isinstance(answer, tuple) else answer


class Chance:
    """Random operations at a time."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.now = NOW

    def operation(self) -> Operation:
        owner, kind = self.random.choice(OWNERS[:9]), self.random.choice(("call", "chat"))
        name = f"s{self.random.randint(0, 3)}"
        makers: list[tuple[int, Callable[[str, str, str], Operation]]] = [
            (30, self._open), (20, self._change), (15, self._end), (15, self._find), (15, self._other),
        ]  # fmt: skip
        (make,) = self.random.choices([one for _, one in makers], [weight for weight, _ in makers])
        return make(name, owner, kind)

    def _open(self, name: str, owner: str, kind: str) -> Operation:
        choice = self.random.choice
        record = session(name, self.now, owner=owner, kind=kind, idle=choice((5.0, 500.0)), keep=choice((0.0, 50.0)))
        return opening(record, limits=[limit(2, choice(("deny", "oldest", "least recently used")))])

    def _change(self, name: str, owner: str, kind: str) -> Operation:
        one, number = sid(name, owner, kind=kind), self.random.randint(0, 20)
        put = Put(f"m/{number % 5}/{number}", b"y", owner=owner, expires=self.now + 9)
        return self.random.choice(
            (update(one, self.now, Put(f"{one}/x", b"1"), data=b"d"), Touch(one, self.now, 0.0), writing(self.now, put))
        )

    def _end(self, name: str, owner: str, kind: str) -> Operation:
        index, value = self._index(owner, kind)
        expiry = Ending(self.now, State.EXPIRED, "expired", Guard.DUE, fresh_change(), NODE)
        picked = End(Pick(index, value, most=100), ending(self.now))
        one = end(sid(name, owner, kind=kind), ending(self.now))
        return self.random.choice((one, one, one, picked, End(Pick("due", most=100), expiry)))

    def _index(self, owner: str, kind: str) -> tuple[Index, str | None]:
        indexes: tuple[tuple[Index, str | None], ...] = (("owner", owner), ("kind", kind), ("all", None))
        return self.random.choice(indexes)

    def _find(self, _: str, owner: str, kind: str) -> Operation:
        index, value = self._index(owner, kind)
        state, most = self.random.choice((None, State.ACTIVE, State.INTERRUPTED)), self.random.choice((1, 3, 50))
        return self.random.choice(
            (Find(index, value, state=state, most=most), Find("item", "", most=most), Find("item owner", owner),
             Find("lease", "", most=most), Count(index, value, state=state))
        )  # fmt: skip

    def _other(self, name: str, owner: str, kind: str) -> Operation:
        keys = (sid("s0", owner), "m/1/1", sid("s1", owner, kind="chat"), "m/2/2")
        return self.random.choice(
            (Acquire(f"lock/{owner}", name, self.now, 8.0, node=NODE), Load(keys, keys[0]),
             Purge(self.now, kind, self.random.choice((None, 0, 2)), most=1000))
        )  # fmt: skip


def place(event: Event) -> tuple[Any, ...]:
    return (event.time, event.id, event.type, event.reason or "", event.change)


@pytest.mark.parametrize("partitions", [2, 5, 12])
@pytest.mark.parametrize("seed", range(3))
async def test_a_cluster_answers_as_memory_does(seed: int, partitions: int) -> None:
    chance, clock = Chance(seed), ManualClock(NOW)
    memory = MemoryStore(clock=clock)
    store = made(cluster.shared(), f"random{seed}x{partitions}", clock=clock, partitions=partitions)
    await memory.open()
    await store.open()
    for _ in range(100):
        chance.now += chance.random.random() * 3
        clock.set(chance.now)
        batch = [chance.operation() for _ in range(chance.random.randint(1, 8))]
        # Memory comes last: it owns the records that it is handed.
        found, expected = await store.apply(batch), await memory.apply(batch)
        for operation, mine, theirs in zip(batch, found, expected, strict=True):
            assert plain(mine) == plain(theirs), operation
    log, other = await the_log(store, limit=17), await the_log(memory)
    assert sorted(map(place, log)) == sorted(map(place, other))
    await store.close()
    await memory.close()

"""A process that sends random batches about few sessions to a server, again where an answer was lost."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from typing import Any

from msgspec.structs import replace

from insession import OutcomeUnknown, StoreUnavailable
from insession.kernel.contract import Store
from insession.kernel.events import EventType
from insession.kernel.ids import named_id
from insession.kernel.limits import Limit
from insession.kernel.operations import (
    Acquire,
    Commit,
    End,
    Find,
    Guard,
    Index,
    Load,
    Operation,
    Patch,
    Pick,
    Purge,
    Put,
    Release,
    Touch,
)
from insession.kernel.record import NEVER, Record, State
from insession.kernel.rules import due_at, ending, expiry
from insession.kernel.urls import parse_url
from insession.stores.redis import RedisStore

IDS = [named_id("call", None, f"name-{place}", by_kind=False) for place in range(200)]
OWNERS = ("ann", "bob", "carl", None)
LIMIT = 3
NOW = 1_800_000_000.0


class Chance:
    """Random operations of one process."""

    def __init__(self, seed: int, *, purges: bool) -> None:
        self.random = random.Random(seed)
        self.purges = purges
        # Where every opening is counted, an id is opened by one process only: with several, one that lags behind may
        # open, and be ended, at a time before the opening whose answer was lost, which then looks like a new life.
        self.mine = IDS if purges else IDS[seed % 4 :: 4]
        self.name = f"worker-{seed}"
        self.number = 0

    def change(self) -> str:
        """An id for a change that no other change has."""
        self.number += 1
        return f"{self.name}-{self.number}"

    def operation(self, now: float) -> Operation:
        """Anything."""
        what, one = self.random.random(), self.random.choice(IDS)
        if what < 0.35:
            return self._open(self.random.choice(self.mine), now)
        if what < 0.5:
            return self._update(one, now)
        if what < 0.6:
            return Touch(one, now, 0.0)
        if what < 0.75:
            return End(Pick("id", one), ending(now, State.CLOSED, "asked", self.change(), self.name))
        return self._other(what, one, now)

    def _open(self, one: str, now: float) -> Commit:
        kind, owner = self.random.choice(("call", "chat")), self.random.choice(OWNERS)
        reach = self.random.choice((5.0, 60.0))
        record = Record(
            one, kind, owner, self.random.choice((None, "n1")), State.ACTIVE, 0, self.change(), now, now, 0.0, reach,
            NEVER, due_at(now, reach, NEVER), 0.0, None, self.random.choice((0.0, 100.0)), False, None, b"x" * 50,
        )  # fmt: skip
        patches: tuple[Patch | Put, ...] = (Patch(one, Guard.ABSENT, record=record, event=EventType.OPENED),)
        if self.random.random() < 0.3:
            patches += (Put(f"{one}/item", b"y", owner=owner, expires=now + 20),)
        limit = Limit(most=LIMIT, then=self.random.choice(("deny", "oldest", "least recently used")))
        return Commit(now, record.change, self.name, patches, (limit,))

    def _update(self, one: str, now: float) -> Commit:
        data = bytes(self.random.choice((10, 2000)))
        fields: dict[str, Any] = self.random.choice(({}, {"node": None}, {"touched": now}))
        patch = Patch(one, Guard.LIVE, fields=fields or None, data=data, event=EventType.UPDATED)
        return Commit(now, self.change(), self.name, (patch,))

    def _other(self, what: float, one: str, now: float) -> Operation:
        indexes: tuple[tuple[Index, str | None], ...] = (("owner", "ann"), ("node", "n1"), ("all", None))
        index, value = self.random.choice(indexes)
        if what < 0.8:
            how = ending(now, State.INTERRUPTED, "picked", self.change(), self.name)
            return End(Pick(index, value, most=5), how)
        if what < 0.85:
            return End(Pick("due", most=10), expiry(now, self.change(), self.name))
        if what < 0.9:
            return Find(index, value, state=None, most=20)
        if what < 0.95:
            return self.random.choice(
                (Acquire("l", self.name, now, 5.0), Release("l", self.name, now), Load((one,), one))
            )
        return Purge(now, self.random.choice(("call", "chat", None)), 20) if self.purges else Load((one,))


async def send(store: Store, batch: list[Operation]) -> None:
    """Send a batch until it is answered."""
    while True:
        try:
            await store.apply(batch)
        except (OutcomeUnknown, StoreUnavailable):
            batch = [replace(one, again=True) if isinstance(one, Commit) else one for one in batch]
            await asyncio.sleep(0.01)
        else:
            return


class Stepping:
    """A clock of the test: all processes show the same, a hundred times as fast as time."""

    def now(self) -> float:
        """Seconds since the epoch."""
        return NOW + (time.time() % 1e6) * 100


async def main(url: str, seed: int, seconds: float, *, purges: bool) -> None:
    chance, clock = Chance(seed, purges=purges), Stepping()
    store = RedisStore(parse_url(url), clock=clock)  # type: ignore[arg-type]
    while True:
        try:
            await store.open()
        except StoreUnavailable:
            await asyncio.sleep(0.01)
        else:
            break
    end = time.monotonic() + seconds
    sent = 0
    while time.monotonic() < end:
        batch = [chance.operation(clock.now()) for _ in range(chance.random.randint(1, 30))]
        await send(store, batch)
        sent += len(batch)
    await store.close()
    print(sent, flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), purges=sys.argv[4] == "purges"))

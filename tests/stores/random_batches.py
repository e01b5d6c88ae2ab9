"""A process that sends random batches: ``python -m tests.stores.random_batches URL SEED SECONDS``.

Few ids, owners, items and leases, so that processes are in each other's way all the time.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import Sequence
from typing import Final

from insession.kernel.contract import Store
from insession.kernel.limits import Limit
from insession.kernel.operations import Acquire, End, Guard, Load, Operation, Pick, Purge, Put, Release, Touch
from insession.kernel.record import State
from insession.kernel.urls import store_from
from insession.testing.contract.samples import ending, expire, opening, session, sid, update, writing

IDS: Final = 200
OWNERS: Final = 20
LIMIT: Final = (Limit(most=3, then="oldest"),)
CONNECTIONS: Final = 4


def owner_of(number: int) -> str:
    """Whose session the one of this number is."""
    return f"owner{number % OWNERS}"


def an_operation(chance: random.Random, at: float) -> Operation:
    """Any operation, over ids that everybody uses."""
    number = chance.randrange(IDS)
    owner = owner_of(number)
    name = sid(f"s{number}", owner)
    lease, ticket, key = f"l{chance.randrange(5)}", f"t{chance.randrange(4)}", f"k/{chance.randrange(20)}"
    record = session(f"s{number}", at, owner=owner, idle=chance.choice((0.05, 60.0)), data=bytes(200))
    several = Pick("owner", owner, most=3)
    choices: list[Operation] = [
        opening(record, limits=LIMIT),
        opening(record, Put(f"{name}/a", b"x"), limits=LIMIT),
        update(name, at, data=bytes(100), guard=Guard.LIVE),
        update(name, at, Put(key, b"x"), Put(f"{name}/b", b"y")),
        writing(at, Put(key, b"x"), Put(f"k/{chance.randrange(20, 40)}", b"x")),
        Touch(name, at, 0.0),
        End(Pick("id", name), ending(at, state=State.CLOSED)),
        Acquire(lease, ticket, at, 1.0),
        Release(lease, ticket, at),
        Load((name, key), name),
    ]
    if chance.random() < 0.1:
        choices += [End(several, ending(at)), expire(at), Purge(at, "call", count=20)]
    return chance.choice(choices)


async def sender(store: Store, chance: random.Random, until: float) -> int:
    """Send batches; how many operations it were."""
    sent = 0
    while time.monotonic() < until:
        at = await store.now()
        batch = [an_operation(chance, at) for _ in range(chance.randrange(4, 33))]
        answers: Sequence[object] = await store.apply(batch)
        assert len(answers) == len(batch)
        sent += len(batch)
    return sent


async def main(url: str, seed: int, seconds: float) -> None:
    """Send through several connections of one process."""
    store = store_from(url, namespace="default")
    await store.open()
    try:
        until = time.monotonic() + seconds
        sent = await asyncio.gather(
            *(sender(store, random.Random(f"{seed}-{place}"), until) for place in range(CONNECTIONS))
        )
    finally:
        await store.close()
    print(sum(sent))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))

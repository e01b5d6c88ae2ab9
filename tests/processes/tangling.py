"""Random batches over few sessions, owners, items and leases: processes are in each other's way all the time."""

from __future__ import annotations

import random
from typing import Final

from insession.kernel.commands import open_session
from insession.kernel.limits import Limit
from insession.kernel.operations import (
    Acquire,
    Commit,
    Count,
    End,
    Ending,
    Find,
    Guard,
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
from insession.kernel.rules import due_at
from insession.testing.contract.samples import sid

IDS: Final = 200
OWNERS: Final = 20
MOST: Final = 3
KIND: Final = "call"
_LIMIT: Final = (Limit(most=MOST, then="oldest"),)


class Tangle:
    """Operations of one process; its name and a number make its changes its own."""

    def __init__(self, name: str, seed: str) -> None:
        self._name = name
        self._chance = random.Random(seed)
        self._changes = 0

    def batch(self, at: float) -> list[Operation]:
        """Some operations in any order, as of a time."""
        return [self._operation(at) for _ in range(self._chance.randrange(4, 33))]

    def _change(self) -> str:
        self._changes += 1
        return f"{self._name}-{self._changes}"

    def _commit(self, at: float, *parts: Patch | Put, limits: tuple[Limit, ...] = ()) -> Commit:
        return Commit(at, self._change(), self._name, parts, limits)

    def _operation(self, at: float) -> Operation:
        chance = self._chance
        number, other = chance.sample(range(IDS), 2)
        owner = f"owner{number % OWNERS}"
        one, two = sid(f"s{number}", owner), sid(f"s{other}", f"owner{other % OWNERS}")
        lease, key = f"lease{chance.randrange(5)}", f"key/{chance.randrange(20)}"
        makers = (
            lambda: self._open(one, owner, at),
            lambda: self._open(one, owner, at),
            lambda: self._open(one, owner, at),
            lambda: self._commit(at, Patch(one, Guard.LIVE, data=chance.randbytes(100)), Put(key, b"x")),
            lambda: self._commit(at, Patch(two, Guard.LIVE, data=b"2"), Patch(one, Guard.LIVE, data=b"1")),
            lambda: self._commit(
                at, Put(key, b"x"), Put(f"{one}/a", b"y"), Put(f"key/{chance.randrange(20, 40)}", b"z")
            ),
            lambda: Touch(one, at, 0.0),
            lambda: End(Pick("id", one), self._ending(at, State.CLOSED)),
            lambda: Acquire(lease, f"ticket{chance.randrange(4)}", at, 1.0),
            lambda: Release(lease, f"ticket{chance.randrange(4)}", at),
            lambda: Load((one, two, key), one),
            lambda: Find("owner", owner, most=5),
            lambda: Count("all"),
            lambda: self._rare(owner, at),
        )
        return chance.choice(makers)()

    def _open(self, session_id: str, owner: str, at: float) -> Commit:
        due = due_at(at, 60.0, NEVER)
        change = self._change()
        record = Record(
            *(session_id, KIND, owner, None, State.ACTIVE, 0, change, at, at, 0.0, 60.0, NEVER, due, 0.0),
            *(None, 60.0, False, None, self._chance.randbytes(self._chance.randrange(400))),
        )
        return open_session(record, self._name, _LIMIT)

    def _ending(self, at: float, state: State, guard: Guard = Guard.LIVE) -> Ending:
        return Ending(at, state, None if state is State.EXPIRED else "tangled", guard, self._change(), self._name)

    def _rare(self, owner: str, at: float) -> Operation:
        """What looks at many at once."""
        return self._chance.choice(
            (
                End(Pick("owner", owner, most=MOST), self._ending(at, State.INTERRUPTED)),
                End(Pick("due", most=50), self._ending(at, State.EXPIRED, Guard.DUE)),
                Purge(at, KIND, count=40),
            )
        )

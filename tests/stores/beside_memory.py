"""A store beside memory: the same operations, the same answers, records and events."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, Final

from msgspec.structs import replace

from insession.kernel.contract import Store
from insession.kernel.events import EventType
from insession.kernel.limits import Limit
from insession.kernel.operations import Answer, Commit, Ends, Load, Loaded, Operation, Patch, Refused, Touch
from insession.kernel.record import Record, State
from insession.testing.clock import ManualClock
from insession.testing.contract.samples import (
    end,
    ending,
    everything,
    expiry,
    opening,
    record_of,
    replaced,
    session,
    sid,
    the_log,
    update,
)

CURRENT: Final = 1 << 40
"""Stands for the version that the record has."""


class Pair:
    """The same over a store and over memory."""

    def __init__(self, clock: ManualClock, stores: Sequence[Store]) -> None:
        self.clock = clock
        self.tested, self.reference = stores

    async def both(self, operations: Sequence[Operation]) -> Sequence[Answer]:
        """Apply a batch to both; the store's answers, which are those of memory."""
        here = await self.tested.apply([await _for(self.tested, one) for one in operations])
        there = await self.reference.apply([await _for(self.reference, one) for one in operations])
        for operation, mine, other in zip(operations, here, there, strict=True):
            assert _plain(mine) == _plain(other), operation
        return here

    async def compare(self) -> None:
        """All records and all events."""
        sessions, events = [], []
        for store in (self.tested, self.reference):
            sessions.append([_plain(one) for one in await everything(store, "all")])
            events.append([(one.type, one.id, one.owner, one.reason, one.change) for one in await the_log(store)])
        assert sessions[0] == sessions[1]
        assert events[0] == events[1]


async def _for(store: Store, operation: Operation) -> Operation:
    """A store owns the record that it is handed, and has versions of its own."""
    part = operation.patches[0] if isinstance(operation, Commit) else None
    if not isinstance(operation, Commit) or not isinstance(part, Patch):
        return operation
    if part.record is not None:
        return replace(operation, patches=(replace(part, record=replaced(part.record)),))
    if part.version != CURRENT:
        return operation
    there = await record_of(store, part.id)
    return replace(operation, patches=(replace(part, version=1 if there is None else there.version),))


def _plain(answer: Any) -> Any:
    """An answer without versions, which are any that never come twice."""
    if isinstance(answer, Record):
        return replaced(answer, version=0)
    if isinstance(answer, Refused):
        return answer.why, _plain(answer.current)
    if isinstance(answer, Loaded):
        return [_plain(one) for one in answer.found]
    if isinstance(answer, Ends):
        return answer.ids, answer.more, answer.look
    return getattr(answer, "due", type(answer))


def some_operation(chance: random.Random, number: int, at: float) -> Operation:
    """One of one session: about half of them are refused."""
    owner = f"o{number % 3}"
    name = sid(f"s{number}", owner)
    how = ending(at, state=chance.choice((State.CLOSED, State.INTERRUPTED)))
    choices: list[Operation] = [
        opening(
            session(f"s{number}", at, owner=owner, idle=chance.choice((2.0, 60.0)), finish=chance.random() < 0.1),
            limits=chance.choice(((), (Limit(most=6, then="oldest"),), (Limit(most=2),))),
        ),
        update(name, at, data=bytes([number]), event=chance.choice((None, EventType.UPDATED))),
        update(name, at, data=bytes([number]) * chance.choice((1, 2000)), version=CURRENT),
        update(name, at, data=bytes([number]), version=CURRENT + 1),
        Touch(name, at, chance.choice((0.0, 5.0))),
        end(name, how),
        end(name, expiry(at)),
        Load((name,)),
    ]
    return chance.choice(choices)

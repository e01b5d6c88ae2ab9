"""Batches that PostgreSQL does as sets of like operations, and timers that touches do not move: against memory."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from typing import Final

import pytest

from insession.kernel.limits import Limit
from insession.kernel.operations import End, Ends, Guard, Load, Operation, Pick, Touch
from insession.kernel.urls import store_from
from insession.stores.postgres.batch import Batch
from insession.testing.clock import ManualClock
from insession.testing.contract.samples import (
    ask,
    due_after,
    end,
    ending,
    expire,
    opened,
    opening,
    session,
    sid,
    update,
)
from tests.servers.postgres import fresh_schema, shared_server
from tests.stores.beside_memory import Pair, some_operation

NAMES: Final = 24
TOGETHER: Final = 2
"""Where the arguments of a call say that the order of its operations means nothing."""


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    clock = ManualClock()
    async with AsyncExitStack() as stack:
        stores = [
            store_from(url, namespace="default", clock=clock)
            for url in (shared_server().url(fresh_schema()), "memory:")
        ]
        for store in stores:
            await store.open()
            stack.push_async_callback(store.close)
        yield Pair(clock, stores)


def is_together(operations: Sequence[Operation]) -> bool:
    """Whether PostgreSQL is told that they stand in nobody's way."""
    return bool(Batch(operations, 0, 0.0).arguments()[TOGETHER])


@pytest.mark.parametrize("seed", range(3))
async def test_means_what_it_means_one_after_another(pair: Pair, seed: int) -> None:
    chance, together = random.Random(seed), 0
    for _ in range(40):
        pair.clock.set(pair.clock.now() + chance.choice((0.0, 1.0, 3.0)))
        numbers = chance.sample(range(NAMES), chance.randrange(2, NAMES))
        batch = [some_operation(chance, number, pair.clock.now()) for number in numbers]
        together += is_together(batch)
        await pair.both(batch)
    assert together > 20
    await pair.compare()


async def test_a_limit_takes_the_order_into_account(pair: Pair) -> None:
    at, limit = pair.clock.now(), (Limit(most=2),)
    first = [opening(session(f"s{n}", at, owner="ann"), limits=limit) for n in range(2)]
    await pair.both(first)
    # One leaves in the same batch: before the opening there is room then, after it there is none.
    for place, number in ((0, 2), (1, 3)):
        batch: list[Operation] = [opening(session(f"s{number}", at, owner="ann"), limits=limit)]
        batch.insert(place, end(sid(f"s{place}", "ann"), ending(at)))
        assert is_together(batch)
        await pair.both(batch)
    await pair.compare()


def test_order_matters_where_a_session_is_named_twice() -> None:
    one, other = session("one", 1.0), session("other", 1.0)
    assert is_together([opening(one), opening(other), Load((sid("third"),))])
    assert not is_together([opening(one), Touch(one.id, 1.0, 0.0)])
    assert not is_together([opening(one), opening(other), Load((one.id,))])
    assert not is_together([opening(one), opening(other, limits=(Limit(most=2, over="kind"),))])
    assert not is_together([opening(one), update(other.id, 1.0, fields={"node": "n"}, guard=Guard.LIVE)])
    assert not is_together([end(one.id, ending(1.0)), End(Pick("all"), ending(1.0))])
    assert not is_together([opening(one)])


async def test_expiry_follows_touches_that_moved_no_timer(pair: Pair) -> None:
    at, chance = pair.clock.now(), random.Random(1)
    names = [f"s{number:02}" for number in range(30)]
    for place, name in enumerate(names):
        await pair.both([opening(session(name, at, idle=10.0 + place % 3, kind="ab"[place % 2]))])
    for later in range(1, 60, 3):
        pair.clock.set(at + later)
        touched = chance.sample(names, 8)
        await pair.both([Touch(sid(name, kind=kind), at + later, 0.0) for name in touched for kind in "ab"])
        # Those that are due by now, the first three of them, and when to look again.
        await pair.both([expire(at + later, most=3)])
    await pair.compare()


async def test_a_deadline_that_comes_earlier_is_kept(pair: Pair) -> None:
    at = pair.clock.now()
    record = await opened(pair.tested, session("one", at, idle=100.0))
    await opened(pair.tested, session("two", at, idle=50.0))
    await ask(pair.tested, update(record.id, at, fields={"reach": 5.0, "due": at + 5}, guard=Guard.LIVE), object)  # type: ignore[type-var]
    ends = await ask(pair.tested, expire(at + 6), Ends)
    assert (ends.ids, ends.look) == ((record.id,), at + 50)
    assert await due_after(pair.tested, Touch(sid("two"), at + 10, 0.0)) == at + 60
    assert (await ask(pair.tested, expire(at + 55), Ends)).look == at + 60


async def test_more_touched_sessions_than_one_look_takes(pair: Pair) -> None:
    """The sweeper's timers are set in steps; until all are, it is told to come again."""
    at, number = pair.clock.now(), 120
    await pair.tested.apply([opening(session(f"s{place:03}", at, idle=10.0)) for place in range(number)])
    await pair.tested.apply([Touch(sid(f"s{place:03}"), at + 9, 0.0) for place in range(number)])
    looks = 0
    while (ends := await ask(pair.tested, expire(at + 11, most=1), Ends)).more:
        assert ends.ids == ()
        looks += 1
    assert (looks, ends.look) == (3, at + 19)
    every = [await ask(pair.tested, expire(at + 20, most=50), Ends) for _ in range(3)]
    assert ([len(one.ids) for one in every], every[-1].more) == ([50, 50, 20], False)

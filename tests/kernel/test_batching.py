"""Operations that arrive together travel together; lost answers are found out; no queue is endless."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence

import pytest

from insession import (
    Conflict,
    DataUnreadable,
    Engine,
    OutcomeUnknown,
    Overloaded,
    State,
    StoreUnavailable,
)
from insession.kernel.batching import Batcher
from insession.kernel.operations import Answer, Count, Counted, End, Ends, Load, Loaded, Operation
from insession.stores.memory import MemoryStore
from insession.testing.clock import ManualClock, settle
from insession.testing.contract.samples import end, ending, expiry, opening, session
from insession.testing.faulty import Fault, FaultyStore


async def test_operations_of_one_turn_make_one_trip(shaky: Engine, faulty: FaultyStore) -> None:
    before = faulty.trips
    await asyncio.gather(*(shaky.open() for _ in range(50)))
    assert faulty.trips == before + 1
    assert faulty.batches[-1] == 50


async def test_what_waits_while_a_batch_is_under_way_makes_the_next(shaky: Engine, faulty: FaultyStore) -> None:
    faulty.hold()
    first = asyncio.create_task(shaky.open())
    await settle()
    rest = []
    for _ in range(10):
        rest.append(asyncio.create_task(shaky.open()))
        await settle(2)
    before = len(faulty.batches)
    faulty.release()
    await asyncio.gather(first, *rest)
    assert faulty.batches[before:] == [10]


async def test_a_batch_has_a_size(shaky: Engine, faulty: FaultyStore) -> None:
    faulty.most = 7
    before = len(faulty.batches)
    await asyncio.gather(*(shaky.open() for _ in range(20)))
    assert faulty.batches[before:] == [7, 7, 6]


async def test_what_one_caller_sends_together_stays_together(shaky: Engine, faulty: FaultyStore) -> None:
    sent: list[Sequence[Operation]] = []
    apply = faulty.apply

    async def noted(operations: Sequence[Operation]) -> Sequence[Answer]:
        sent.append(operations)
        return await apply(operations)

    faulty.apply = noted  # type: ignore[method-assign]
    faulty.most = 3
    opens = [shaky.open(kind="chat", name=str(number)) for number in range(4)]
    await asyncio.gather(*opens)
    names = [[type(operation).__name__ for operation in batch] for batch in sent]
    assert [name for batch in names for name in batch] == ["End", "Commit"] * 4
    assert all(len(batch) % 2 == 0 for batch in names)


async def test_cancelled_before_it_left_it_is_dropped(shaky: Engine, faulty: FaultyStore) -> None:
    faulty.hold()
    first = asyncio.create_task(shaky.open())
    await settle()
    second = asyncio.create_task(shaky.open())
    await settle()
    second.cancel()
    await settle()
    faulty.release()
    await first
    await settle()
    assert second.cancelled()
    assert await shaky.count() == 1


async def test_cancelled_after_it_left_it_runs_to_its_end(shaky: Engine, faulty: FaultyStore) -> None:
    faulty.hold()
    opening = asyncio.create_task(shaky.open())
    await settle()
    opening.cancel()
    await settle()
    faulty.release()
    await settle()
    assert opening.cancelled()
    assert await shaky.count() == 1


async def test_overloaded(shaky: Engine, faulty: FaultyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("insession.kernel.batching.MOST_WAITING", 10)
    faulty.hold()
    tasks = [asyncio.create_task(shaky.open())]
    await settle()
    tasks += [asyncio.create_task(shaky.open()) for _ in range(15)]
    await settle()
    faulty.release()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert sum(isinstance(result, Overloaded) for result in results) == 5
    assert await shaky.count() == 11


async def test_urgent_operations_leave_first(clock: ManualClock) -> None:
    sent: list[Operation] = []

    class Noting(MemoryStore):
        async def apply(self, operations: Sequence[Operation]) -> Sequence[Answer]:
            sent.extend(operations)
            return await super().apply(operations)

    batcher = Batcher(Noting(clock=clock))
    loads = [batcher.send(Load((str(number),))) for number in range(3)]
    renewal = batcher.send(Count("all"), urgent=True)
    await asyncio.gather(*loads, renewal)
    assert [type(operation) for operation in sent] == [Count, Load, Load, Load]


async def test_a_store_that_is_away_tells_every_caller_with_an_error_of_its_own(
    shaky: Engine, faulty: FaultyStore
) -> None:
    faulty.fail(Fault.BEFORE)
    results = await asyncio.gather(*(shaky.open() for _ in range(5)), return_exceptions=True)
    assert {type(result) for result in results} == {StoreUnavailable}
    assert len(set(map(id, results))) == 5
    assert await shaky.count() == 0


async def test_a_lost_answer_is_asked_for_again_and_nothing_is_done_twice(shaky: Engine, faulty: FaultyStore) -> None:
    faulty.fail(Fault.LOST)
    session = await shaky.open(data=1)
    faulty.fail(Fault.LOST)
    await session.update(2)
    faulty.fail(Fault.LOST)
    assert await shaky.items.put("notes/1", 1, version=0) > 0
    faulty.fail(Fault.LOST)
    await session.touch()
    faulty.fail(Fault.LOST)
    assert await session.close() is True
    assert [event.type for event in await shaky.history(session.id)] == ["opened", "closed"]
    assert (await shaky.get(session.id)).data == 2


async def test_what_never_arrived_is_done_when_it_is_sent_again(shaky: Engine, faulty: FaultyStore) -> None:
    faulty.fail(Fault.NEVER)
    session = await shaky.open(kind="chat", name="main")
    faulty.fail(Fault.NEVER)
    assert await session.interrupt() is True
    assert (await shaky.get(session.id)).state is State.INTERRUPTED


async def test_endings_of_who_cannot_be_answered_are_told_all_the_same(faulty: FaultyStore, clock: ManualClock) -> None:
    record = session("one", clock.now(), idle=10.0)
    await faulty.apply([opening(record)])
    clock.set(clock.now() + 20.0)
    told: list[Ends] = []
    batcher = Batcher(faulty, lambda _, ends: told.append(ends))
    faulty.fail(Fault.NEVER)
    # An opening under a name: sent again it is refused, and whether by itself cannot be known.
    with pytest.raises(OutcomeUnknown):
        await batcher.send(end(record.id, expiry(clock.now())), opening(session("one", clock.now())))
    assert [ends.ids for ends in told] == [(record.id,)]


async def test_what_cannot_be_known_is_said(shaky: Engine, faulty: FaultyStore) -> None:
    faulty.fail(Fault.LOST, Fault.BEFORE)
    with pytest.raises(OutcomeUnknown):
        await shaky.open()
    assert await shaky.count() == 1


async def test_a_commit_that_lost_a_race_and_its_answer_is_not_taken_for_refused(
    shaky: Engine, faulty: FaultyStore
) -> None:
    session = await shaky.open(data=1)
    newer = await shaky.get(session.id)
    await newer.update(2)
    faulty.fail(Fault.LOST)
    with pytest.raises(OutcomeUnknown):
        await session.update(3)
    with pytest.raises(Conflict):
        await session.update(3)


async def test_lost_answers_of_interrupt_all_are_counted_from_the_log(
    shaky: Engine, faulty: FaultyStore, clock: ManualClock
) -> None:
    for _ in range(450):
        await shaky.open()
    clock.set(clock.now() + 1.0)
    await settle()
    faulty.fail(Fault.LOST, Fault.NEVER)
    assert await shaky.interrupt_all("shutdown") == 450
    assert await shaky.count(state=State.INTERRUPTED) == 450


class Choosy(MemoryStore):
    """Fails a batch as a whole if it holds a certain operation, as a server does that cannot read its argument."""

    immediate = frozenset()
    error: Exception = ValueError("cannot be encoded")

    async def apply(self, operations: Sequence[Operation]) -> Sequence[Answer]:
        if any(isinstance(operation, Load) and operation.keys == ("bad/1",) for operation in operations):
            raise self.error
        return await super().apply(operations)


@pytest.mark.parametrize("error", [ValueError("cannot be encoded"), DataUnreadable("bad/1", "wrong key")])
async def test_one_bad_operation_fails_no_neighbour(clock: ManualClock, error: Exception) -> None:
    store = Choosy(clock=clock)
    store.error = error
    async with Engine(store, clock=clock) as engine:
        opens = [engine.open() for _ in range(3)]
        results = await asyncio.gather(*opens, engine.items.get("bad/1"), return_exceptions=True)
        assert isinstance(results.pop(), type(error))
        assert not any(isinstance(result, BaseException) for result in results)
        async with asyncio.timeout(5.0):
            with pytest.raises(type(error)) as raised:
                await engine.items.get("bad/1")
        assert str(raised.value) == str(error)
        assert vars(raised.value) == vars(error)


async def test_nobody_waits_for_ever_for_a_place(shaky: Engine, faulty: FaultyStore) -> None:
    faulty.most = 5
    done: list[str] = []

    async def flood() -> None:
        for _ in range(50):
            await shaky.count()
        done.append("flood")

    async def one() -> None:
        await shaky.open()
        done.append("one")

    floods = [asyncio.create_task(flood()) for _ in range(20)]
    await settle()
    await asyncio.gather(one(), *floods)
    assert done[0] == "one"


async def test_stats_count_batches_and_operations(shaky: Engine) -> None:
    before = await shaky.stats()
    await asyncio.gather(*(shaky.open() for _ in range(10)))
    after = await shaky.stats()
    assert after.operations - before.operations >= 10
    assert after.batches - before.batches < after.operations - before.operations


class Prompt(MemoryStore):
    """Sends at once, and gives a future; fails as it is told."""

    immediate: frozenset[type[Operation]] = frozenset()
    raises: Exception | None = None
    fails: Exception | None = None

    def apply(self, operations: Sequence[Operation]) -> Awaitable[Sequence[Answer]]:  # type: ignore[override]
        if self.raises is not None:
            raise self.raises
        future: asyncio.Future[Sequence[Answer]] = asyncio.get_running_loop().create_future()
        if self.fails is not None:
            future.set_exception(self.fails)
        else:
            future.set_result([self.apply_now(operation) for operation in operations])
        return future


async def test_a_store_may_send_at_once_and_give_a_future(clock: ManualClock) -> None:
    store = Prompt(clock=clock)
    batcher = Batcher(store)
    answers = await asyncio.gather(batcher.send(Load(("a",))), batcher.send(Count("all"), Load(("b",))))
    assert [type(answer) for answer in (answers[0], *answers[1])] == [Loaded, Counted, Loaded]
    for attribute in ("fails", "raises"):
        setattr(store, attribute, StoreUnavailable("away"))
        results = await asyncio.gather(*(batcher.send(Load(("a",))) for _ in range(3)), return_exceptions=True)
        assert {type(result) for result in results} == {StoreUnavailable}
        assert len(set(map(id, results))) == 3
        setattr(store, attribute, None)
    assert await batcher.send(Load(("a",))) == Loaded((None,))
    await batcher.close()


async def test_endings_are_told_whoever_still_waits(clock: ManualClock) -> None:
    told: list[tuple[End, Ends]] = []
    batcher = Batcher(Prompt(clock=clock), lambda end, ends: told.append((end, ends)))
    record = session("one", clock.now())
    await batcher.send(opening(record))
    over = end(record.id, ending(clock.now()))
    future = batcher.send(Load((record.id,)), over)
    batcher._leave()
    future.cancel()
    await settle()
    assert [(one, ends.ids) for one, ends in told] == [(over, (record.id,))]

"""Opening, reading, changing and closing sessions."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from insession import Closed, Conflict, Engine, Interrupted, LimitReached, SessionEnded, SessionNotFound, State, Store
from insession.testing.clock import ManualClock
from insession.testing.faulty import FaultyStore

from .samples import NOWHERE


async def test_open_says_what_was_opened(engine: Engine, clock: ManualClock) -> None:
    session = await engine.open(kind="device", owner="ann", data={"lang": "en"})
    assert (session.kind, session.owner, session.state, session.reason) == ("device", "ann", State.ACTIVE, None)
    assert session.data == {"lang": "en"}
    assert session.opened == session.touched == clock.now()
    assert session.version > 0
    assert session.ended is None
    assert session.stopped is None
    assert repr(session) == f"<Session {session.id} device active>"


async def test_open_without_anything_has_no_data_and_no_deadline(engine: Engine) -> None:
    session = await engine.open()
    assert session.data == {}
    assert (session.deadlines.idle, session.deadlines.absolute) == (None, None)


async def test_get_reads_what_was_opened(engine: Engine, other: Engine) -> None:
    session = await engine.open(data=[1, 2])
    again = await other.get(session.id)
    assert again is not session
    assert again.record == session.record
    assert again.data == [1, 2]


async def test_get_of_nothing(engine: Engine) -> None:
    with pytest.raises(SessionNotFound) as raised:
        await engine.get(NOWHERE)
    assert raised.value.session_id == NOWHERE


async def test_a_named_session_has_a_computed_id(engine: Engine, other: Engine) -> None:
    session = await engine.open(kind="chat", owner="ann", name="main")
    assert session.id == engine.id_of("chat", "ann", "main") == other.id_of("chat", "ann", "main")
    others = {
        engine.id_of("chat", "ann", "side"),
        engine.id_of("chat", "bob", "main"),
        engine.id_of("chat", None, "main"),
        engine.id_of("call", "ann", "main"),
    }
    assert len(others) == 4
    assert session.id not in others


async def test_a_name_that_lives_is_a_conflict(engine: Engine, other: Engine) -> None:
    session = await engine.open(kind="chat", name="main", data=1)
    with pytest.raises(Conflict) as raised:
        await other.open(kind="chat", name="main", data=2)
    assert (raised.value.key, raised.value.version) == (session.id, session.version)
    assert (await engine.get(session.id)).data == 1


async def test_a_name_that_ended_is_opened_again(engine: Engine) -> None:
    first = await engine.open(kind="chat", name="main", data=1)
    await first.items.put("draft", "old")
    await first.close()
    second = await engine.open(kind="chat", name="main", data=2)
    assert second.id == first.id
    assert second.version > first.version
    assert await second.items.get("draft") is None


async def test_a_name_that_is_due_expires_and_is_opened(engine: Engine, clock: ManualClock) -> None:
    first = await engine.open(kind="chat", name="main", idle=10.0)
    clock.set(clock.now() + 11.0)
    second = await engine.open(kind="chat", name="main")
    assert second.state is State.ACTIVE
    types = [(event.type, event.version) for event in await engine.history(first.id)]
    assert [name for name, _ in types] == ["opened", "expired", "opened"]


async def test_one_of_many_opens_of_a_name_wins(engine: Engine, other: Engine) -> None:
    opens = [one.open(kind="chat", name="main") for one in (engine, other) * 10]
    results = await asyncio.gather(*opens, return_exceptions=True)
    assert sum(not isinstance(result, Conflict) for result in results) == 1


async def test_update_by_function(engine: Engine) -> None:
    session = await engine.open(data={"step": 1})
    before = session.version
    assert await session.update(lambda data: data | {"step": 2}) == {"step": 2}
    assert session.data == {"step": 2}
    assert session.version > before
    assert (await engine.get(session.id)).record == session.record


async def test_an_update_that_raises_changes_nothing(engine: Engine) -> None:
    session = await engine.open(data={"step": 1})

    def spoil(data: dict[str, int]) -> None:
        data["step"] = 7
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await session.update(spoil)
    assert session.data == {"step": 1}
    assert (await engine.get(session.id)).data == {"step": 1}


async def test_no_update_by_function_is_lost_among_many(engine: Engine, other: Engine) -> None:
    session = await engine.open(data=0)
    handles = [await one.get(session.id) for one in (engine, other) * 10]

    async def count(handle: Any) -> None:
        for _ in range(5):
            await handle.update(lambda number: number + 1)

    await asyncio.gather(*map(count, handles))
    assert (await session.refresh()).data == 100


async def test_a_function_is_called_again_with_what_is_there(engine: Engine) -> None:
    session = await engine.open(data=["a"])
    await (await engine.get(session.id)).update(["a", "b"])
    seen: list[list[str]] = []

    def add(data: list[str]) -> list[str]:
        seen.append(list(data))
        data.append("c")
        return data

    assert await session.update(add) == ["a", "b", "c"]
    assert seen == [["a"], ["a", "b"]]


async def test_a_value_over_an_old_version_is_a_conflict(engine: Engine) -> None:
    session = await engine.open(data=1)
    newer = await engine.update(session.id, 2)
    with pytest.raises(Conflict) as raised:
        await session.update(3)
    assert raised.value.version == newer.version
    assert (await session.refresh()).data == 2
    await session.update(3)
    assert (await engine.get(session.id)).data == 3


async def test_engine_update_checks_the_version(engine: Engine) -> None:
    session = await engine.open(data=1)
    assert (await engine.update(session.id, 2, version=session.version)).data == 2
    with pytest.raises(Conflict):
        await engine.update(session.id, 3, version=session.version)
    assert (await engine.get(session.id)).data == 2


async def test_an_update_writes_an_event_only_if_asked(engine: Engine) -> None:
    session = await engine.open(data=1)
    await session.update(2)
    await session.update(3, event=True)
    events = await engine.history(session.id)
    assert [event.type for event in events] == ["opened", "updated"]
    assert events[1].version == session.version


async def test_close_ends_once_with_the_first_reason(engine: Engine, other: Engine) -> None:
    session = await engine.open(data=1)
    assert await session.close() is True
    assert await other.interrupt(session.id, "too late") is False
    again = await engine.get(session.id)
    assert (again.state, again.reason, again.data) == (State.CLOSED, "completed", 1)
    assert again.ended is not None
    assert [event.type for event in await engine.history(session.id)] == ["opened", "closed"]


async def test_the_reason_completed_closes_whoever_says_it(engine: Engine) -> None:
    session = await engine.open()
    assert await engine.interrupt(session.id, "completed")
    assert (await session.refresh()).state is State.CLOSED


async def test_an_ended_session_takes_no_change(engine: Engine) -> None:
    session = await engine.open(data=1)
    unaware = await engine.get(session.id)
    await engine.interrupt(session.id, "enough")
    for change in (unaware.update(2), unaware.update(lambda data: 2), unaware.touch(), engine.touch(session.id)):
        with pytest.raises(Interrupted) as raised:
            await change
        assert raised.value.reason == "enough"
    assert unaware.state is State.INTERRUPTED
    assert (await engine.get(session.id)).data == 1


async def test_ending_what_is_not_there(engine: Engine) -> None:
    with pytest.raises(SessionNotFound):
        await engine.close(NOWHERE)
    with pytest.raises(SessionNotFound):
        await engine.interrupt(NOWHERE)


async def test_a_holder_of_an_earlier_life_is_stale(engine: Engine, other: Engine, clock: ManualClock) -> None:
    first = await engine.open(kind="chat", name="main", data=1)
    await other.close(first.id)
    clock.set(clock.now() + 1.0)
    second = await other.open(kind="chat", name="main", data=2)
    with pytest.raises(SessionEnded):
        await first.update(3)
    with pytest.raises(SessionEnded):
        await first.update(lambda data: data + 1)
    assert (first.state, first.interrupted) == (State.CLOSED, True)
    assert (await second.refresh()).data == 2


async def test_refresh_never_leads_into_a_later_life(engine: Engine, other: Engine, clock: ManualClock) -> None:
    first = await engine.open(kind="chat", name="main", data=1)
    await other.close(first.id)
    clock.set(clock.now() + 1.0)
    await other.open(kind="chat", name="main", data=2)
    await first.refresh()
    assert (first.state, first.reason, first.data) == (State.CLOSED, "opened again", 1)
    with pytest.raises(Closed):
        await first.touch()


async def test_a_touch_on_its_way_does_not_undo_what_the_handle_learned(
    shaky: Engine, faulty: FaultyStore, clock: ManualClock
) -> None:
    session = await shaky.open(data=1, idle=100.0)
    clock.set(clock.now() + 50.0)
    await asyncio.gather(session.touch(), session.update(2))
    assert (session.data, session.touched) == (2, clock.now())
    await session.update(3)
    assert (await shaky.get(session.id)).data == 3


async def test_a_handle_never_goes_back_to_what_it_knew_before(engine: Engine) -> None:
    session = await engine.open(data=1)
    before = session.record
    await session.update(2)
    session._learn(before)
    assert session.data == 2
    await session.close()
    session._learn(before)
    assert session.state is State.CLOSED


async def test_limits_deny_and_evict(engine: Engine, clock: ManualClock) -> None:
    seats = [await engine.open(kind="seat", owner="ann") for _ in range(2)]
    with pytest.raises(LimitReached) as raised:
        await engine.open(kind="seat", owner="ann")
    assert raised.value.kind == "seat"
    await engine.open(kind="seat", owner="bob")
    await seats[0].close()
    await engine.open(kind="seat", owner="ann")
    devices = []
    for _ in range(4):
        clock.set(clock.now() + 1.0)
        devices.append(await engine.open(kind="device", owner="ann"))
    first = await devices[0].refresh()
    assert (first.state, first.reason) == (State.INTERRUPTED, "limit")
    assert await engine.count(kind="device", owner="ann") == 3


async def test_never_more_live_than_the_limit_among_many_opens(engine: Engine, other: Engine, store: Store) -> None:
    opens = [one.open(kind="device", owner="ann") for one in (engine, other) * 25]
    await asyncio.gather(*opens)
    assert await engine.count(kind="device", owner="ann") == 3
    assert await engine.count(kind="device", owner="ann", state=State.INTERRUPTED) == 47


async def test_an_undeclared_kind_has_default_policies(engine: Engine) -> None:
    session = await engine.open(kind="anything.at-all_1")
    assert session.deadlines == (await engine.open()).deadlines
    assert engine.kind("never-heard-of").idle is None


async def test_the_handle_that_ends_its_session_knows(engine: Engine, other: Engine, clock: ManualClock) -> None:
    closed, interrupted, late = [await engine.open() for _ in range(3)]
    await other.interrupt(late.id, "first")
    assert await closed.close("done") is True
    assert await interrupted.interrupt("enough") is True
    assert await late.close() is False
    assert [(one.state, one.reason, one.ended) for one in (closed, interrupted, late)] == [
        (State.CLOSED, "done", clock.now()),
        (State.INTERRUPTED, "enough", clock.now()),
        (State.INTERRUPTED, "first", clock.now()),
    ]
    assert closed.record == (await engine.get(closed.id)).record


async def test_a_handle_that_knows_its_end_ends_no_later_life(engine: Engine) -> None:
    first = await engine.open(kind="chat", name="main")
    await first.close()
    second = await engine.open(kind="chat", name="main")
    assert await first.close() is False
    assert await first.interrupt() is False
    assert (await second.refresh()).state is State.ACTIVE


async def test_a_handle_that_does_not_know_its_end_changes_no_later_life(
    engine: Engine, other: Engine, clock: ManualClock
) -> None:
    first = [await engine.open(kind="chat", name="main", idle=60.0)]
    first += [await engine.get(first[0].id) for _ in range(2)]
    await other.close(first[0].id)
    clock.set(clock.now() + 1.0)
    second = await other.open(kind="chat", name="main", idle=60.0)
    clock.set(clock.now() + 10.0)
    assert await first[0].close() is False
    assert await first[1].interrupt() is False
    with pytest.raises(SessionEnded):
        await first[2].touch()
    again = await other.get(second.id)
    assert (again.state, again.touched) == (State.ACTIVE, second.touched)


async def test_a_handle_of_what_was_purged(engine: Engine, other: Engine, clock: ManualClock) -> None:
    session = await engine.open(kind="short", data=1)
    await other.close(session.id)
    clock.set(clock.now() + 11.0)
    await other.purge()
    for verb in (session.update(2), session.touch(), session.refresh(), session.close()):
        with pytest.raises(SessionNotFound):
            await verb

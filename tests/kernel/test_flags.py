"""The flag `Session.interrupted`, waiting for it, and interrupting everything."""

from __future__ import annotations

import asyncio
import threading

import anyio.to_thread
import pytest

from insession import CursorTrimmed, Engine, InvalidInput, Session, SessionEnded, State, StoreUnavailable
from insession.stores.memory import MemoryStore
from insession.testing.clock import ManualClock, settle
from insession.testing.faulty import FaultyStore

from .jobs import Job, flag


async def test_the_flag_is_live(engine: Engine, other: Engine) -> None:
    session = await engine.open()
    assert flag(session) is False
    await other.interrupt(session.id, "elsewhere")
    await settle()
    assert flag(session) is True
    assert (session.state, session.reason) == (State.INTERRUPTED, "elsewhere")


async def test_every_handle_of_a_session_is_told(engine: Engine, other: Engine) -> None:
    session = await engine.open()
    handles = [session, *[await engine.get(session.id) for _ in range(3)]]
    assert not any(handle.interrupted for handle in handles)
    await other.close(session.id)
    await settle()
    assert all(handle.interrupted for handle in handles)


async def test_what_ended_between_its_reading_and_the_first_look_is_noticed(engine: Engine, other: Engine) -> None:
    session = await engine.open()
    await other.interrupt(session.id)
    await settle()
    _ = session.interrupted
    await settle()
    assert flag(session)


async def test_the_first_look_survives_a_store_that_is_away(
    shaky: Engine, faulty: FaultyStore, clock: ManualClock
) -> None:
    session = await shaky.open()
    await shaky.interrupt(session.id)
    await settle()
    faulty.down = True
    assert not flag(session)
    await settle()
    faulty.down = False
    await clock.advance(2.0)
    assert flag(session)


async def test_a_handle_that_nobody_watches_costs_nothing(shaky: Engine, faulty: FaultyStore) -> None:
    session = await shaky.open()
    await settle()
    assert shaky._following._handles == {}
    before = faulty.trips
    _ = session.interrupted
    await settle()
    assert list(shaky._following._handles) == [session.id]
    assert faulty.trips == before + 1


async def test_the_flag_is_read_in_threads(engine: Engine, other: Engine) -> None:
    sessions = [await engine.open() for _ in range(20)]
    started, give_up = threading.Barrier(4), threading.Event()

    def poll(mine: list[Session]) -> None:
        started.wait(10.0)
        while not (give_up.is_set() or all(session.interrupted for session in mine)):
            pass

    async def end_all() -> None:
        await anyio.to_thread.run_sync(started.wait, 10.0)
        for session in sessions:
            await other.interrupt(session.id)

    polls = [anyio.to_thread.run_sync(poll, sessions) for _ in range(3)]
    asyncio.get_running_loop().call_later(20.0, give_up.set)
    await asyncio.gather(*polls, end_all())
    assert not give_up.is_set()
    assert all(session.interrupted for session in sessions)


async def test_an_end_that_is_heard_during_the_first_look_in_a_thread_stands(engine: Engine) -> None:
    session = await engine.open()

    def look() -> bool:
        session._flag(ended=False)  # as the first look does, and then the loop's thread is faster
        asyncio.run_coroutine_threadsafe(session.interrupt(), loop).result(10.0)
        session._flag(ended=False)
        engine._following._on_loop(engine._following._hold, session)
        return session.interrupted

    loop = asyncio.get_running_loop()
    await asyncio.to_thread(look)
    await settle()
    assert flag(session)


async def test_a_purged_session_has_ended_for_its_holders(engine: Engine, clock: ManualClock) -> None:
    session = await engine.open(kind="short")
    await engine.close(session.id)
    clock.set(clock.now() + 11.0)
    await engine.purge()
    _ = session.interrupted
    await settle()
    assert flag(session)
    assert session.reason in {"purged", "completed"}


async def test_wait_interrupted(engine: Engine, other: Engine, clock: ManualClock) -> None:
    session = await engine.open()
    waits = [asyncio.create_task(session.wait_interrupted(seconds)) for seconds in (None, 5.0, 1.0)]
    await settle()
    await clock.advance(2.0)
    assert [task.done() for task in waits] == [False, False, True]
    await other.interrupt(session.id)
    assert await asyncio.gather(*waits) == [True, True, False]
    assert await session.wait_interrupted(0.0) is True
    assert engine._following._waits == {}


@pytest.mark.parametrize("timeout", [-1.0, float("nan"), float("inf"), True, "1"])
async def test_a_wrong_timeout_is_refused(engine: Engine, timeout: float) -> None:
    session = await engine.open()
    with pytest.raises(InvalidInput) as raised:
        await session.wait_interrupted(timeout)
    assert raised.value.field == "timeout"


async def test_interrupt_all_ends_everything_that_lives(engine: Engine, other: Engine, clock: ManualClock) -> None:
    sessions = [await one.open(kind=kind) for one in (engine, other) for kind in ("chat", "call", "device")]
    clock.set(clock.now() + 1.0)
    async with Job(sessions[0]) as job:
        assert await other.interrupt_all("shutdown") == 6
        await job.task
    assert isinstance(job.error, SessionEnded)
    assert {(await engine.get(session.id)).reason for session in sessions} == {"shutdown"}
    assert await engine.interrupt_all("again") == 0


async def test_interrupt_all_of_a_kind_an_owner_or_both(engine: Engine, clock: ManualClock) -> None:
    for kind in ("chat", "call"):
        for owner in ("ann", "ann", "bob", None):
            await engine.open(kind=kind, owner=owner)
    clock.set(clock.now() + 1.0)
    assert await engine.interrupt_all(kind="chat", owner="ann") == 2
    assert await engine.interrupt_all(owner="bob") == 2
    assert await engine.interrupt_all(kind="chat") == 1
    assert await engine.interrupt_all() == 3


async def test_interrupt_all_of_a_secret_owner_without_a_kind(engine: Engine, clock: ManualClock) -> None:
    await engine.open(kind="secret", owner="ann")
    await engine.open(kind="chat", owner="ann")
    clock.set(clock.now() + 1.0)
    assert await engine.interrupt_all(owner="ann") == 2


async def test_interrupt_all_counts_only_the_ends_that_it_won(
    engine: Engine, other: Engine, clock: ManualClock
) -> None:
    for _ in range(450):
        await engine.open()
    clock.set(clock.now() + 1.0)
    numbers = await asyncio.gather(engine.interrupt_all("one"), other.interrupt_all("two"))
    assert sum(numbers) == 450
    assert await engine.count(state=State.INTERRUPTED) == 450


async def test_interrupt_all_sets_the_flags_first(shaky: Engine, faulty: FaultyStore, clock: ManualClock) -> None:
    sessions = [await shaky.open(kind=kind) for kind in ("chat", "chat", "call")]
    assert not any(session.interrupted for session in sessions)
    await settle()
    clock.set(clock.now() + 1.0)
    faulty.hold()
    ending = asyncio.create_task(shaky.interrupt_all("shutdown", kind="chat"))
    await settle()
    assert [session.interrupted for session in sessions] == [True, True, False]
    assert [session.state for session in sessions] == [State.ACTIVE] * 3
    faulty.release()
    assert await ending == 2
    await settle()
    assert sessions[0].reason == "shutdown"


async def test_a_handle_takes_the_reason_that_won(shaky: Engine, clock: ManualClock) -> None:
    session = await shaky.open()
    assert not flag(session)
    clock.set(clock.now() + 1.0)
    first, everything = asyncio.create_task(shaky.interrupt(session.id, "first")), shaky.interrupt_all("shutdown")
    await settle(1)
    await everything
    await first
    await settle()
    assert session.reason == "first"


async def test_if_the_store_fails_the_flags_stand(shaky: Engine, faulty: FaultyStore, clock: ManualClock) -> None:
    session = await shaky.open()
    assert not flag(session)
    await settle()
    clock.set(clock.now() + 1.0)
    faulty.down = True
    with pytest.raises(StoreUnavailable) as raised:
        await shaky.interrupt_all()
    assert "flags" in raised.value.__notes__[0]
    assert flag(session)
    faulty.down = False
    assert (await shaky.get(session.id)).state is State.ACTIVE
    with pytest.raises(SessionEnded):
        async with session.running():
            pytest.fail("the flag stands")


async def test_a_wrong_reason_sets_no_flag(engine: Engine, clock: ManualClock) -> None:
    session = await engine.open()
    clock.set(clock.now() + 1.0)
    assert not flag(session)
    with pytest.raises(InvalidInput) as raised:
        await engine.interrupt_all("x" * 201)
    assert raised.value.field == "reason"
    assert not flag(session)


async def test_what_was_trimmed_out_of_the_log_is_read_from_the_records(clock: ManualClock) -> None:
    store = FaultyStore(MemoryStore(clock=clock, retention=10))
    async with Engine(store, clock=clock) as engine:
        session = await engine.open()
        assert not flag(session)
        await settle()
        store.hold()
        for operation in (engine.interrupt(session.id), *(engine.open() for _ in range(50))):
            asyncio.get_running_loop().create_task(_quietly(operation))
        await settle()
        store.release()
        await settle(50)
        assert flag(session)
        stream = engine.events(after=f"{(await store.events(None, 0, None)).cursor.split(':')[0]}:1")
        with pytest.raises(CursorTrimmed):
            await anext(stream)


async def _quietly(operation: object) -> None:
    await operation  # type: ignore[misc]

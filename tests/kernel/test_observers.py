"""Observers: told in order, isolated from each other and from us, and never for longer than 5 s."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Awaitable

import anyio
import anyio.to_thread
import pytest

from insession import CursorTrimmed, Engine, Event, StoreUnavailable
from insession.kernel.observers import QUEUE, Subscription
from insession.stores.memory import MemoryStore
from insession.testing.clock import ManualClock, settle
from insession.testing.faulty import FaultyStore


class Seen(list[Event]):
    """Events as they are told, in any thread, until so many have come."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self._number, self._loop, self._all = number, asyncio.get_running_loop(), asyncio.Event()

    def add(self, event: Event) -> None:
        self.append(event)
        if len(self) == self._number:
            self._loop.call_soon_threadsafe(self._all.set)

    async def all(self) -> None:
        await asyncio.wait_for(self._all.wait(), 5.0)


async def test_an_observer_is_told(engine: Engine, other: Engine) -> None:
    seen: list[Event] = []

    async def observe(event: Event) -> None:
        seen.append(event)

    async with engine.observe(observe, types=["opened", "closed"]) as subscription:
        session = await other.open()
        await session.update(1, event=True)
        await session.close()
        await settle()
        assert [event.type for event in seen] == ["opened", "closed"]
    await other.open()
    await settle()
    assert len(seen) == 2
    assert subscription.failures == 0


async def test_of_one_session_one_event_after_another(engine: Engine) -> None:
    seen: dict[str, list[int]] = {}
    at_once: set[str] = set()

    async def observe(event: Event) -> None:
        assert event.id not in at_once
        at_once.add(event.id)
        await settle(event.version % 5)
        seen.setdefault(event.id, []).append(event.version)
        at_once.remove(event.id)

    async with engine.observe(observe) as subscription:
        sessions = [await engine.open(data=0) for _ in range(5)]
        for number in range(20):
            for session in sessions:
                await session.update(number, event=True)
        await settle(2_000)
        assert {len(versions) for versions in seen.values()} == {21}
        assert all(versions == sorted(versions) for versions in seen.values())
        assert subscription.failures == 0


async def test_a_failure_is_logged_counted_told_and_reaches_nobody_else(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[tuple[Event | None, BaseException]] = []
    seen: list[Event] = []

    async def fail(event: Event) -> None:
        raise ZeroDivisionError(event.id)

    async def observe(event: Event) -> None:
        seen.append(event)

    def on_error(event: Event | None, error: BaseException) -> None:
        told.append((event, error))
        raise RuntimeError("on_error fails as well")

    async with engine.observe(fail, on_error=on_error) as failing, engine.observe(observe):
        session = await engine.open()
        await session.close()
        await settle()
    assert failing.failures == 2
    assert [(event.type if event else None, type(error)) for event, error in told] == [
        ("opened", ZeroDivisionError),
        ("closed", ZeroDivisionError),
    ]
    assert len(seen) == 2
    assert "an observer failed at opened" in caplog.text
    assert "on_error failed" in caplog.text


async def test_an_observer_has_five_seconds(engine: Engine, clock: ManualClock) -> None:
    seen: list[str] = []
    failures: list[BaseException] = []

    async def observe(event: Event) -> None:
        if event.type == "opened":
            await asyncio.Event().wait()
        seen.append(event.type)

    async with engine.observe(observe, on_error=lambda _, error: failures.append(error)) as subscription:
        session = await engine.open()
        await session.close()
        await settle()
        await clock.advance(4.9)
        assert (seen, subscription.failures) == ([], 0)
        await clock.advance(0.2)
        assert (seen, subscription.failures) == (["closed"], 1)
    assert isinstance(failures[0], TimeoutError)


async def test_a_slow_observer_costs_nobody_else(engine: Engine) -> None:
    seen: list[Event] = []

    async def wait(event: Event) -> None:
        await asyncio.Event().wait()

    async def observe(event: Event) -> None:
        seen.append(event)

    async with engine.observe(wait) as slow, engine.observe(observe):
        for _ in range(3 * QUEUE):
            await engine.open()
        await settle(5_000)
        assert len(seen) == 3 * QUEUE
        assert slow._waiting <= QUEUE


async def test_a_plain_function_runs_in_a_thread(engine: Engine) -> None:
    seen = Seen(2)
    threads: set[int] = set()

    def observe(event: Event) -> None:
        threads.add(threading.get_ident())
        seen.add(event)

    async with engine.observe(observe):
        session = await engine.open()
        await session.close()
        await seen.all()
    assert threading.get_ident() not in threads
    assert [event.type for event in seen] == ["opened", "closed"]


async def test_what_a_plain_function_gives_to_wait_for_is_waited_for(engine: Engine) -> None:
    seen = Seen(2)

    async def observe(event: Event) -> None:
        seen.add(event)

    def partly(event: Event) -> Awaitable[None]:
        return observe(event)

    async with engine.observe(partly), engine.observe(functools.partial(observe)):
        await engine.open()
        await seen.all()
    assert [event.type for event in seen] == ["opened"] * 2


async def test_threads_that_never_return_are_not_the_program_s(engine: Engine, clock: ManualClock) -> None:
    go = threading.Event()

    def block(_: Event) -> None:
        go.wait(10.0)

    async with engine.observe(block) as subscription, engine.observe(block):
        for _ in range(50):
            await engine.open()
        await settle()
        with anyio.fail_after(5.0):
            assert await anyio.to_thread.run_sync(lambda: 5) == 5
        await clock.advance(5.1)
        assert subscription.failures > 0
        go.set()


async def test_an_observer_that_closes_its_own_subscription(engine: Engine) -> None:
    seen: list[Event] = []
    subscription: Subscription

    async def once(event: Event) -> None:
        seen.append(event)
        await subscription.close()

    subscription = engine.observe(once)
    async with subscription:
        await engine.open()
        await settle()
        await engine.open()
        await settle()
    assert len(seen) == 1


async def test_an_observer_is_told_that_events_are_gone(clock: ManualClock) -> None:
    store = FaultyStore(MemoryStore(clock=clock, retention=10))
    seen: list[Event] = []
    errors: list[tuple[Event | None, BaseException]] = []

    async def observe(event: Event) -> None:
        seen.append(event)

    async with (
        Engine(store, clock=clock) as engine,
        engine.observe(observe, on_error=lambda event, error: errors.append((event, error))),
    ):
        await settle()
        store.hold()
        opens = [asyncio.create_task(engine.open()) for _ in range(25)]
        await settle()
        store.release()
        await asyncio.gather(*opens)
        await settle()
        assert [(event, type(error)) for event, error in errors] == [(None, CursorTrimmed)]
        assert len(seen) == 15


async def test_an_observer_outlives_a_store_that_is_away(
    shaky: Engine, faulty: FaultyStore, clock: ManualClock
) -> None:
    seen: list[Event] = []
    errors: list[BaseException] = []

    async def observe(event: Event) -> None:
        seen.append(event)

    async with shaky.observe(observe, on_error=lambda _, error: errors.append(error)):
        await settle()
        opening = asyncio.create_task(shaky.open())
        await settle(3)
        faulty.down = True
        await settle()
        await opening
        faulty.down = False
        await clock.advance(2.0)
        assert [event.type for event in seen] == ["opened"]
        assert {type(error) for error in errors} <= {StoreUnavailable}

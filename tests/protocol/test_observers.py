"""Observers: told side by side and in order, isolated from each other, free to call the subject."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from insession.protocol import InMemorySessionStorage, SessionEvent, SessionSubject
from insession.testing.clock import ManualClock, settle

from .conftest import Subjects
from .samples import FromCode, Key, Seen

Update = Callable[[SessionEvent], Any]


class Doing:
    """An observer whose `update` is the given function."""

    def __init__(self, update: Update) -> None:
        self.update = update


@pytest.fixture(params=["memory", "sqlite", FromCode], ids=str)
def subject(request: pytest.FixtureRequest, subjects: Subjects) -> SessionSubject:
    return subjects(request.param)


async def raising(event: SessionEvent) -> None:
    await asyncio.sleep(0)
    raise KeyError(event.auth_key, "later")


def raising_at_once(event: SessionEvent) -> Awaitable[None]:
    raise KeyError(event.auth_key, "at once")


class TestSubscribing:
    @pytest.mark.requirement("P14", "P14b", "P14c")
    async def test_who_is_told(self, subject: SessionSubject, key: Key) -> None:
        await subject.create_session(key, 0)  # nobody observes
        first, second = Seen(), Seen()
        subject.subscribe(first)
        subject.subscribe(second)
        assert subject.observers == [first, second]
        await subject.create_session(key, 1)
        subject.unsubscribe(first)
        await subject.destroy_session(key, 1)
        assert (first.types, second.types) == (["created"], ["created", "destroyed"])
        with pytest.raises(ValueError, match="not subscribed"):
            subject.unsubscribe(first)
        subject.unsubscribe(second)
        assert await subject.create_session(key, 2)
        assert subject.observers == []

    async def test_twice_subscribed_is_twice_told(self, subject: SessionSubject, key: Key) -> None:
        seen = Seen()
        subject.subscribe(seen)
        subject.subscribe(seen)
        await subject.create_session(key, 1)
        subject.unsubscribe(seen)
        await subject.create_session(key, 2)
        assert [event.session_id for event in seen.events] == [1, 1, 2]

    @pytest.mark.requirement("P19")
    async def test_unsubscribing_inside_of_update_skips_nobody(self, subject: SessionSubject, key: Key) -> None:
        last, told = Seen(), []

        async def leave(event: SessionEvent) -> None:
            told.append(event)
            subject.unsubscribe(leaving)

        leaving = Doing(leave)
        subject.subscribe(leaving)
        subject.subscribe(last)
        await subject.create_session(key, 1)
        await subject.create_session(key, 2)
        assert (len(told), len(last.events)) == (1, 2)

    @pytest.mark.requirement("P19b")
    async def test_nor_does_it_where_update_is_a_plain_function(self, subject: SessionSubject, key: Key) -> None:
        last = Seen()

        def leave(event: SessionEvent) -> Awaitable[None]:
            subject.unsubscribe(leaving)
            return asyncio.sleep(0)

        leaving = Doing(leave)
        subject.subscribe(leaving)
        subject.subscribe(last)
        await subject.create_session(key, 1)
        assert last.types == ["created"]

    @pytest.mark.requirement("P19c")
    async def test_subscribing_inside_of_update_counts_from_the_next_event(
        self, subject: SessionSubject, key: Key
    ) -> None:
        late = Seen()

        async def join(event: SessionEvent) -> None:
            if late not in subject.observers:
                subject.subscribe(late)

        subject.subscribe(Doing(join))
        await subject.create_session(key, 1)
        assert late.types == []
        await subject.destroy_session(key, 1)
        assert late.types == ["destroyed"]


class TestFailing:
    @pytest.mark.requirement("P18", "P18b", "P18c", "P18d", "P18e", "P34")
    async def test_a_failing_observer_harms_nobody(
        self, subjects: Subjects, key: Key, caplog: pytest.LogCaptureFixture
    ) -> None:
        failures: list[tuple[SessionEvent, BaseException]] = []
        last, slow = Seen(), Seen()

        async def slowly(event: SessionEvent) -> None:
            for _ in range(5):
                await asyncio.sleep(0)
            await slow.update(event)

        for over in ("memory", FromCode):
            subject = subjects(over, on_error=lambda event, error: failures.append((event, error)))
            for update in (raising, raising_at_once, slowly, last.update):
                subject.subscribe(Doing(update))
            with caplog.at_level(logging.WARNING, "insession.protocol"):
                assert await subject.create_session(key, 1)
            assert await subject.has_session(key, 1)
            assert slow.types == last.types == ["created"]
            assert sorted(error.args[1] for _, error in failures) == ["at once", "later"]
            assert {event for event, _ in failures} == {SessionEvent("created", 1, key)}
            assert subject.failures == 2
            assert caplog.text.count("an observer failed") == 2
            assert "KeyError in" in caplog.text
            assert str(key.value) not in caplog.text
            await subject.destroy_session(key, 1)
            assert slow.types == last.types == ["created", "destroyed"]
            for kept in (failures, last.events, slow.events):
                kept.clear()
            caplog.clear()

    @pytest.mark.requirement("P18e")
    async def test_a_hook_that_fails_harms_nobody_either(self, subjects: Subjects, key: Key) -> None:
        def hook(event: SessionEvent, error: BaseException) -> None:
            raise error

        subject = subjects(on_error=hook)
        subject.subscribe(Doing(raising))
        assert await subject.create_session(key, 1)

    @pytest.mark.requirement("P18")
    async def test_an_observer_that_cancels_itself_counts_as_failed(self, subject: SessionSubject, key: Key) -> None:
        last = Seen()

        async def cancelled(event: SessionEvent) -> None:
            await asyncio.sleep(0)
            raise asyncio.CancelledError

        subject.subscribe(Doing(cancelled))
        subject.subscribe(last)
        assert await subject.create_session(key, 1)
        assert (subject.failures, last.types) == (1, ["created"])

    @pytest.mark.requirement("P18")
    @pytest.mark.parametrize("stubborn", [False, True])
    async def test_one_that_hangs_is_given_up(self, key: Key, stubborn: bool) -> None:
        clock, last, hangs, go_on = ManualClock(), Seen(), asyncio.Event(), asyncio.Event()
        ends: list[str] = []

        async def hang(event: SessionEvent) -> None:
            hangs.set()
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                ends.append("cancelled")
                if stubborn:
                    await go_on.wait()
                raise

        async with SessionSubject(InMemorySessionStorage, clock=clock, timeout=3.0) as subject:
            subject.subscribe(Doing(hang))
            subject.subscribe(last)
            task = asyncio.create_task(subject.create_session(key, 1))
            await hangs.wait()
            await clock.advance(2.9)
            assert (task.done(), last.types) == (False, ["created"])
            await clock.advance(0.2)
            assert task.done()
            assert (subject.failures, ends) == (1, ["cancelled"])
            subject.unsubscribe(subject.observers[0])
            assert await subject.destroy_session(key, 1)
            assert last.types == ["created", "destroyed"]
            go_on.set()

    async def test_any_time_may_be_given(self, key: Key) -> None:
        clock, go_on = ManualClock(), asyncio.Event()

        async def hang(event: SessionEvent) -> None:
            await go_on.wait()

        async with SessionSubject(InMemorySessionStorage, clock=clock, timeout=None) as subject:
            subject.subscribe(Doing(hang))
            task = asyncio.create_task(subject.create_session(key, 1))
            await clock.advance(1e6)
            assert not task.done()
            go_on.set()
            assert await task


class TestAtOnce:
    async def test_who_cannot_wait_costs_no_turn_of_the_loop(self, subjects: Subjects, key: Key) -> None:
        subject, seen, turns = subjects(InMemorySessionStorage), Seen(), list[int]()

        class AtOnce(Seen):
            async def update(self, event: SessionEvent) -> None:
                self.events.append(event)
                if event.session_id == 2:
                    raise RuntimeError

        both = [AtOnce(), AtOnce()]
        for one in both:
            subject.subscribe(one)
        await subject.open()
        asyncio.get_running_loop().call_soon(turns.append, 1)
        for session_id in range(5):
            assert await subject.create_session(key, session_id)
            assert await subject.destroy_session(key, session_id)
        assert turns == []
        assert [one.types for one in both] == [["created", "destroyed"] * 5] * 2
        assert subject.failures == 4
        subject.subscribe(seen)
        await subject.create_session(key, 9)
        assert [len(one.events) for one in (*both, seen)] == [11, 11, 1]

    @pytest.mark.requirement("P20")
    async def test_many_wait_behind_one(self, subjects: Subjects, key: Key) -> None:
        subject, seen, go_on = subjects(InMemorySessionStorage), Seen(), asyncio.Event()

        async def first(event: SessionEvent) -> None:
            if event is seen.events[0]:
                await go_on.wait()

        subject.subscribe(seen)
        holding = Doing(first)
        subject.subscribe(holding)
        calls = [asyncio.create_task(subject.create_session(key, 1))]
        await settle()
        subject.unsubscribe(holding)
        for number in range(3_000):
            call = subject.create_session if number % 2 else subject.destroy_session
            calls.append(asyncio.create_task(call(key, 1)))
        await settle()
        go_on.set()
        assert all(await asyncio.gather(*calls))
        assert seen.types == ["created", "destroyed"] * 1_500 + ["created"]


class TestOrder:
    @pytest.mark.requirement("P25")
    async def test_all_are_told_side_by_side(self, subject: SessionSubject, key: Key) -> None:
        inside, together = 0, asyncio.Event()

        async def meet(event: SessionEvent) -> None:
            nonlocal inside
            inside += 1
            if inside == 10:
                together.set()
            await together.wait()  # nobody gets on before all ten are here

        for _ in range(10):
            subject.subscribe(Doing(meet))
        async with asyncio.timeout(10):
            await subject.create_session(key, 1)
        assert subject.failures == 0

    @pytest.mark.requirement("P20", "P20b")
    async def test_destroyed_waits_for_created(self, subject: SessionSubject, key: Key) -> None:
        story: list[str] = []
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def slowly(event: SessionEvent) -> None:
            story.append(f"{event.type} begins")
            if event.type == "created":
                begun.set()
                await go_on.wait()
            story.append(f"{event.type} ends")

        subject.subscribe(Doing(slowly))
        creating = asyncio.create_task(subject.create_session(key, 1))
        await begun.wait()
        destroying = asyncio.create_task(subject.destroy_session(key, 1))
        other = asyncio.create_task(subject.create_session(key, 1))
        await settle(50)
        assert not destroying.done()
        assert not other.done()
        assert story == ["created begins"]
        go_on.set()
        assert await creating
        assert await destroying
        await other
        assert story[:4] == ["created begins", "created ends", "destroyed begins", "destroyed ends"]

    @pytest.mark.requirement("P19d")
    async def test_an_observer_may_end_the_very_session(self, subject: SessionSubject, key: Key) -> None:
        seen, said = Seen(), []

        async def refuse(event: SessionEvent) -> None:
            if event.type == "created":
                said.append(await subject.destroy_session(key, event.session_id))
                said.append(await subject.has_session(key, event.session_id))

        subject.subscribe(Doing(refuse))
        subject.subscribe(seen)
        async with asyncio.timeout(10):
            assert await subject.create_session(key, 1)
        # Both events, in order, had been handled when the outermost call returned.
        assert seen.types == ["created", "destroyed"]
        assert said == [True, False]
        assert subject.failures == 0

    @pytest.mark.requirement("P19d")
    async def test_observers_may_begin_and_end_each_others_sessions(self, subject: SessionSubject, key: Key) -> None:
        seen = Seen()

        async def cross(event: SessionEvent) -> None:
            if event.type == "created" and event.session_id < 10:
                other = event.session_id + 10
                await subject.create_session(key, other)
                await subject.destroy_session(key, 1 - event.session_id)
                await subject.destroy_session(key, other)

        subject.subscribe(Doing(cross))
        subject.subscribe(seen)
        async with asyncio.timeout(10):
            await asyncio.gather(subject.create_session(key, 0), subject.create_session(key, 1))
        for session_id in (0, 1, 10, 11):
            types = [event.type for event in seen.events if event.session_id == session_id]
            assert types in (["created"], ["created", "destroyed"])
        assert subject.failures == 0
        assert subject._lanes == {}

    @pytest.mark.requirement("P19d")
    async def test_what_an_observer_leaves_running_is_a_caller_like_any_other(
        self, subject: SessionSubject, key: Key
    ) -> None:
        seen, left = Seen(), list[list[str]]()

        async def later() -> None:
            await done.wait()
            await subject.destroy_session(key, 1)
            left.append(list(seen.types))

        async def leave(event: SessionEvent) -> None:
            if event.type == "created":
                tasks.append(asyncio.create_task(later()))

        tasks: list[asyncio.Task[None]] = []
        done = asyncio.Event()
        subject.subscribe(Doing(leave))
        subject.subscribe(seen)
        await subject.create_session(key, 1)
        done.set()
        await tasks[0]
        assert left == [["created", "destroyed"]]

    async def test_an_observer_may_bound_its_own_time(self, subject: SessionSubject, key: Key) -> None:
        ends: list[str] = []

        async def bounded(event: SessionEvent) -> None:
            try:
                async with asyncio.timeout(0.01):
                    await asyncio.get_running_loop().create_future()
            except TimeoutError:
                ends.append("over")

        for _ in range(3):
            subject.subscribe(Doing(bounded))
        assert await subject.create_session(key, 1)
        assert (ends, subject.failures) == (["over"] * 3, 0)

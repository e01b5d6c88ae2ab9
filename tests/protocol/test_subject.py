"""A subject: what it changes, what it says of that, and to whom, over storages of ours and of somebody else's."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from insession import ConfigurationError, InvalidInput, StoreUnavailable
from insession.protocol import (
    InMemorySessionStorage,
    SessionEvent,
    SessionObserverProtocol,
    SessionStorage,
    SessionStorageProtocol,
    SessionSubject,
)
from insession.stores.memory import MemoryStore
from insession.testing.clock import ManualClock
from insession.testing.faulty import FaultyStore

from .conftest import Subjects
from .samples import FromCode, FromDocument, Key, Seen

OVER: list[Any] = ["memory", "sqlite", "redis", "postgres", FromCode]


@pytest.fixture(params=OVER, ids=str)
def over(request: pytest.FixtureRequest) -> Any:
    return request.param


class TestEvents:
    @pytest.mark.requirement("P8", "P8b", "P36")
    def test_an_event_is_a_value(self, key: Key) -> None:
        event = SessionEvent(type="created", session_id=5, auth_key=key)
        assert event == SessionEvent("created", 5, Key(key.value))
        assert event != SessionEvent(type="destroyed", session_id=5, auth_key=key)
        assert event != SessionEvent(type="created", session_id=5)
        assert len({event, SessionEvent("created", 5, Key(key.value)), SessionEvent("created", 6, key)}) == 2
        with pytest.raises(AttributeError):
            event.session_id = 6  # type: ignore[misc]
        assert (event.type, event.session_id, event.auth_key, event.auth_key_id) == ("created", 5, key, key.id)
        plain = SessionEvent(type="destroyed", session_id=-1)
        assert (plain.auth_key, plain.auth_key_id) == (None, None)
        with pytest.raises(InvalidInput, match="type"):
            SessionEvent(type="renamed", session_id=5)  # type: ignore[arg-type]

    @pytest.mark.requirement("P34")
    def test_it_does_not_show_the_key(self, key: Key) -> None:
        shown = repr(SessionEvent(type="created", session_id=5, auth_key=key))
        assert shown == f"SessionEvent(type='created', session_id=5, auth_key_id={key.id})"


class TestConstruction:
    @pytest.mark.requirement("P9", "P9b", "P9c")
    async def test_the_factory_is_called_once(self, key: Key) -> None:
        made: list[SessionStorage] = []

        def factory() -> SessionStorage:
            made.append(InMemorySessionStorage())
            return made[-1]

        subject = SessionSubject(session_storage_factory=factory)
        assert subject.session_storage is made[0]
        assert subject.observers == []
        assert await subject.create_session(key, 1)
        assert await subject.has_session(auth_key=key, session_id=1)
        assert await subject.destroy_session(key, session_id=1)
        assert len(made) == 1
        await subject.close()

    @pytest.mark.requirement("P15")
    async def test_two_subjects_share_nothing(self, subjects: Subjects, key: Key) -> None:
        heard, silent = Seen(), Seen()
        one, other = subjects(InMemorySessionStorage, seen=heard), subjects(InMemorySessionStorage, seen=silent)
        await one.create_session(key, 1)
        assert not await other.has_session(key, 1)
        assert (heard.types, silent.types) == (["created"], [])

    @pytest.mark.requirement("P35")
    async def test_a_storage_in_the_wrong_form_is_refused_with_the_reason(self, key: Key) -> None:
        with pytest.raises(ConfigurationError, match=r"FromDocument.create_session takes \(session_id\)"):
            SessionSubject(FromDocument, keyed=True)
        with pytest.raises(ConfigurationError, match=r"FromCode.create_session takes \(auth_key, session_id\)"):
            SessionSubject(FromCode, keyed=False)
        with pytest.raises(ConfigurationError, match=r"SessionStorage.create_session takes \(session_id\)"):
            SessionSubject(lambda: SessionStorage("memory:", keyed=False), keyed=True)
        async with SessionSubject(InMemorySessionStorage, keyed=True) as subject:
            with pytest.raises(InvalidInput, match="mixing"):
                await subject.has_session(5)
        with pytest.raises(InvalidInput, match="mixing"):
            await SessionSubject(FromDocument).create_session(key, 1)
        with pytest.raises(ConfigurationError, match="without has_session"):
            SessionSubject(type("Half", (), {"create_session": print}))

    @pytest.mark.requirement("P37")
    async def test_nobody_has_to_inherit_and_everybody_may(self) -> None:
        class Storage(FromDocument, SessionStorageProtocol):
            pass

        class Observer(SessionObserverProtocol):
            async def update(self, event: SessionEvent) -> None:
                told.append(event)

        told: list[SessionEvent] = []
        subject = SessionSubject(session_storage_factory=Storage)
        subject.subscribe(Observer())
        await subject.create_session(1)
        assert told == [SessionEvent(type="created", session_id=1)]
        with pytest.raises(InvalidInput, match="observer"):
            subject.subscribe(object())  # type: ignore[arg-type]


class TestChanges:
    @pytest.mark.requirement("P10", "P11", "P12", "P13", "P17")
    async def test_each_change_is_told_once_and_has_been_heard(self, subjects: Subjects, over: Any, key: Key) -> None:
        finished: list[tuple[str, bool]] = []

        class Slow:
            async def update(self, event: SessionEvent) -> None:
                there = await subject.session_storage.has_session(event.auth_key, event.session_id)
                await asyncio.sleep(0)
                finished.append((event.type, there))

        subject = subjects(over)
        subject.subscribe(Slow())
        subject.subscribe(Slow())
        assert await subject.create_session(key, 1) is True
        # Stored first, told then, and everybody has finished.
        assert finished == [("created", True)] * 2
        assert await subject.has_session(key, 1) is True
        assert await subject.create_session(key, 1) is False
        assert len(finished) == 2
        assert await subject.destroy_session(key, 1) is True
        assert finished[2:] == [("destroyed", False)] * 2
        assert await subject.destroy_session(key, 1) is False
        assert await subject.destroy_session(key, 2) is False
        assert await subject.has_session(key, 1) is False
        assert len(finished) == 4

    @pytest.mark.requirement("P36", "P39")
    async def test_events_of_ours_carry_the_key_and_its_id(self, subjects: Subjects, over: Any, key: Key) -> None:
        seen = Seen()
        subject = subjects(over, seen=seen)
        await subject.create_session(key, 1)
        await subject.destroy_session(key, 1)
        assert seen.events == [SessionEvent("created", 1, key), SessionEvent("destroyed", 1, key)]
        assert [(event.auth_key, event.auth_key_id) for event in seen.events] == [(key, key.id)] * 2

    @pytest.mark.requirement("P35", "P36")
    async def test_the_form_without_a_key(self, subjects: Subjects) -> None:
        seen, other = Seen(), Seen()
        for subject in (subjects("memory", seen=seen), subjects(FromDocument, seen=other)):
            await subject.create_session(session_id=1)
            assert await subject.has_session(1)
            await subject.destroy_session(1)
        assert seen.events == other.events == [SessionEvent("created", 1), SessionEvent("destroyed", 1)]

    @pytest.mark.requirement("P7b")
    @pytest.mark.parametrize("wrong", [2**63, 2**64 - 1, 1.5, "x", None])
    async def test_what_is_no_id_reaches_no_storage(self, subjects: Subjects, key: Key, wrong: Any) -> None:
        subject = subjects(FromCode)
        for call in (subject.create_session, subject.has_session, subject.destroy_session):
            with pytest.raises(ValueError, match="session_id"):
                await call(key, wrong)
        assert subject.session_storage.kept == set()

    @pytest.mark.requirement("P16")
    async def test_a_storage_that_fails(self, subjects: Subjects) -> None:
        seen = Seen()
        subject = subjects(FromDocument, seen=seen)
        await subject.create_session(1)
        subject.session_storage.fails = True
        with pytest.raises(OSError, match="the disk is gone"):
            await subject.destroy_session(1)
        assert seen.types == ["created"]
        assert await subject.has_session(1)

    @pytest.mark.requirement("P16")
    async def test_a_store_that_fails(self, clock: ManualClock, key: Key) -> None:
        faulty, seen = FaultyStore(MemoryStore(clock=clock)), Seen()
        async with SessionSubject(lambda: SessionStorage(faulty, clock=clock)) as subject:
            subject.subscribe(seen)
            await subject.create_session(key, 1)
            faulty.down = True
            with pytest.raises(StoreUnavailable):
                await subject.destroy_session(key, 1)
            faulty.down = False
            assert seen.types == ["created"]
            assert await subject.destroy_session(key, 1)
            assert seen.types == ["created", "destroyed"]

    @pytest.mark.requirement("P31")
    async def test_all_of_a_key_each_with_its_event(self, subjects: Subjects, store: str, key: Key) -> None:
        seen = Seen()
        subject = subjects(store, seen=seen)
        for session_id in range(4):
            await subject.create_session(key, session_id)
        await subject.create_session(Key(5), 77)
        assert await subject.destroy_all(key) == 4
        assert sorted(event.session_id for event in seen.events[5:]) == [0, 1, 2, 3]
        assert set(seen.types[5:]) == {"destroyed"}
        assert await subject.session_storage.count() == 1
        with pytest.raises(ConfigurationError, match="destroy_all"):
            await subjects(FromDocument).destroy_all(key)

    async def test_what_a_subclass_overrides_is_called(self, key: Key) -> None:
        calls: list[str] = []

        class Audited(InMemorySessionStorage):
            async def create_session(self, auth_key: Any, session_id: int) -> bool:
                calls.append("create")
                return await super().create_session(auth_key, session_id, data="audited")

        seen = Seen()
        async with SessionSubject(Audited) as subject:
            subject.subscribe(seen)
            assert await subject.create_session(key, 1)
            assert not await subject.create_session(key, 1)
            assert (await subject.session_storage.record(key, 1)).data == "audited"
            assert await subject.destroy_session(key, 1)
            await asyncio.sleep(0)
            assert calls == ["create", "create"]
            assert seen.events == [SessionEvent("created", 1, key), SessionEvent("destroyed", 1, key)]


class TestManyAtOnce:
    @pytest.mark.requirement("P21", "P21b")
    async def test_many_messages_of_one_new_session(self, subjects: Subjects, over: Any, key: Key) -> None:
        seen = Seen()
        subject = subjects(over, seen=seen)

        async def message() -> None:
            if not await subject.has_session(key, 1):
                await subject.create_session(key, 1)

        await asyncio.gather(*(message() for _ in range(50)))
        assert seen.types == ["created"]

    @pytest.mark.requirement("P21c", "P22", "P22b")
    async def test_fifty_creates_and_fifty_destroys(self, subjects: Subjects, over: Any, key: Key) -> None:
        seen = Seen()
        subject = subjects(over, seen=seen)
        created = await asyncio.gather(*(subject.create_session(key, 1) for _ in range(50)))
        assert (sum(created), seen.types) == (1, ["created"])
        destroyed = await asyncio.gather(*(subject.destroy_session(key, 1) for _ in range(50)))
        assert (sum(destroyed), seen.types) == (1, ["created", "destroyed"])

    @pytest.mark.requirement("P21b", "P22b")
    async def test_over_a_storage_as_the_document_has_it(self, subjects: Subjects) -> None:
        seen = Seen()
        subject = subjects(FromDocument, seen=seen)
        assert sum(await asyncio.gather(*(subject.create_session(1) for _ in range(50)))) == 1
        assert sum(await asyncio.gather(*(subject.destroy_session(1) for _ in range(50)))) == 1
        assert seen.types == ["created", "destroyed"]

    @pytest.mark.requirement("P20", "P23")
    async def test_mixed_calls_alternate_and_end_as_has_says(self, subjects: Subjects, over: Any, key: Key) -> None:
        class Waiting(Seen):
            async def update(self, event: SessionEvent) -> None:
                await asyncio.sleep(0)
                await super().update(event)

        chance, seen = random.Random(23), Waiting()
        subject = subjects(over, seen=seen)
        calls = [subject.create_session, subject.destroy_session, subject.has_session]
        number = 2_000 if over in {"memory", FromCode} else 600
        await asyncio.gather(*(chance.choice(calls)(key, chance.randrange(20)) for _ in range(number)))
        for session_id in range(20):
            types = [event.type for event in seen.events if event.session_id == session_id]
            assert types == ["created", "destroyed"] * (len(types) // 2) + ["created"] * (len(types) % 2)
            assert await subject.has_session(key, session_id) is bool(len(types) % 2)
        assert subject._lanes == {}


class TestCancelled:
    @pytest.mark.requirement("P24")
    async def test_a_create_that_is_cancelled_while_it_is_told(self, subjects: Subjects, over: Any, key: Key) -> None:
        begun, go_on = asyncio.Event(), asyncio.Event()

        class Held(Seen):
            async def update(self, event: SessionEvent) -> None:
                begun.set()
                await go_on.wait()
                await super().update(event)

        held, seen = Held(), Seen()
        subject = subjects(over)
        subject.subscribe(held)
        subject.subscribe(seen)
        task = asyncio.create_task(subject.create_session(key, 1))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        go_on.set()
        # The observers were not cut off, what was stored stays, and the next event comes after theirs.
        assert await subject.has_session(key, 1)
        assert await subject.destroy_session(key, 1)
        assert held.types == seen.types == ["created", "destroyed"]

    @pytest.mark.requirement("P24")
    async def test_a_create_that_is_cancelled_while_it_is_stored(self, subjects: Subjects, over: Any, key: Key) -> None:
        seen = Seen()
        subject = subjects(over, seen=seen)
        await subject.has_session(key, 0)
        for session_id in range(10):
            task = asyncio.create_task(subject.create_session(key, session_id))
            for _ in range(session_id):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        while subject._tasks:
            await asyncio.gather(*subject._tasks, return_exceptions=True)
        there = [session_id for session_id in range(10) if await subject.has_session(key, session_id)]
        assert [event.session_id for event in seen.events] == there
        assert await subject.session_storage.engine.count() == len(there) if over != FromCode else True


async def test_bad_input_leaves_the_form_open(subjects: Subjects) -> None:
    subject = subjects()
    with pytest.raises(InvalidInput, match="auth_key"):
        await subject.create_session("no key", 1)
    with pytest.raises(InvalidInput, match="auth_key"):
        await subject.destroy_session("no key", 1)
    assert await subject.create_session(1)


async def _later(_event: SessionEvent, _error: BaseException) -> None:
    """Nobody would await it."""


@pytest.mark.parametrize("hook", [5, _later])
def test_a_hook_that_cannot_be_called_is_refused(hook: Any) -> None:
    with pytest.raises(InvalidInput, match="on_error"):
        SessionSubject(InMemorySessionStorage, on_error=hook)

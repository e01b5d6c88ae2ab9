"""What others do: another engine on the same store, an idle timeout, the cap of a key; and how it is told here."""

from __future__ import annotations

import asyncio
import logging
from functools import partial

import pytest

from insession import Engine
from insession.kernel.events import Event, EventType
from insession.protocol import SessionEvent, SessionStorage, SessionSubject, protocol_kind
from insession.protocol.hearing import Changes
from insession.stores.memory import MemoryStore
from insession.testing.clock import ManualClock, settle

from .conftest import Storages, Subjects
from .samples import Key, Seen, until

SHARED = ["sqlite", "redis", "postgres"]


@pytest.fixture(params=SHARED)
def other_store(request: pytest.FixtureRequest) -> str:
    """Each store that two engines can share."""
    return str(request.param)


@pytest.mark.requirement("P27", "P29", "P39")
async def test_what_is_done_there_is_known_and_told_here(subjects: Subjects, other_store: str, key: Key) -> None:
    seen, there = Seen(), Seen()
    here, elsewhere = subjects(other_store, seen=seen), subjects(other_store, seen=there)
    await here.open()
    await elsewhere.open()
    await elsewhere.create_session(key, 1)
    assert await here.has_session(key, 1)
    assert await seen.wait(1) == [SessionEvent("created", 1, None, key.id)]
    assert not await here.create_session(key, 1)
    assert await here.destroy_session(key, 1)
    assert not await elsewhere.has_session(key, 1)
    assert await there.wait(2) == [SessionEvent("created", 1, key), SessionEvent("destroyed", 1, None, key.id)]
    # Its own it told at once, and not again when the log showed it.
    await elsewhere.create_session(key, 2)
    await seen.wait(3)
    assert seen.events == [
        SessionEvent("created", 1, None, key.id),
        SessionEvent("destroyed", 1, key),
        SessionEvent("created", 2, None, key.id),
    ]
    assert there.types == ["created", "destroyed", "created"]
    assert seen.events[0].auth_key is None


@pytest.mark.requirement("P27")
async def test_a_restart_forgets_nothing(storages: Storages, other_store: str, key: Key) -> None:
    async with storages(other_store) as before:
        await before.create_session(key, 1, data={"user": 5})
        record = await before.record(key, 1)
    async with storages(other_store) as after:
        assert await after.has_session(key, 1)
        assert await after.record(key, 1) == record
        assert not await after.create_session(key, 1)


@pytest.mark.requirement("P28")
async def test_two_meet_a_new_session_at_the_same_moment(subjects: Subjects, other_store: str, key: Key) -> None:
    seen = [Seen(), Seen()]
    pair = [subjects(other_store, seen=one) for one in seen]
    await asyncio.gather(*(subject.open() for subject in pair))

    async def message(subject: SessionSubject, session_id: int) -> bool:
        return not await subject.has_session(key, session_id) and await subject.create_session(key, session_id)

    for session_id in range(5):
        created = await asyncio.gather(*(message(subject, session_id) for subject in pair for _ in range(10)))
        assert sum(created) == 1
    for one in seen:
        await one.wait(5)
    # Each heard of each once, and exactly one of the two has the key: the one that created it.
    for session_id in range(5):
        both = [event for one in seen for event in one.events if event.session_id == session_id]
        assert sorted(event.auth_key is None for event in both) == [False, True]


@pytest.mark.requirement("P30")
async def test_an_expiry_is_told_everywhere(subjects: Subjects, storages: Storages, key: Key) -> None:
    clock = ManualClock()
    seen, there = Seen(), Seen()
    store = MemoryStore(clock=clock)
    pair = [SessionSubject(lambda: SessionStorage(store, idle=100.0, clock=clock), clock=clock) for _ in range(2)]
    async with pair[0] as here, pair[1] as elsewhere:
        here.subscribe(seen)
        elsewhere.subscribe(there)
        await here.create_session(key, 1)
        await clock.advance(110)
        await settle()
        assert seen.events == [SessionEvent("created", 1, key), SessionEvent("destroyed", 1, None, key.id)]
        assert there.events == [SessionEvent(what, 1, None, key.id) for what in ("created", "destroyed")]
        assert await here.create_session(key, 1)


@pytest.mark.requirement("P30")
async def test_on_a_memory_store_of_its_own_too(key: Key) -> None:
    clock, seen = ManualClock(), Seen()
    async with SessionSubject(lambda: SessionStorage("memory:", idle=100.0, clock=clock), clock=clock) as subject:
        subject.subscribe(seen)
        await subject.create_session(key, 1)
        await subject.create_session(key, 2)
        await subject.destroy_session(key, 1)
        await clock.advance(110)
        await settle()
        assert seen.events[3:] == [SessionEvent("destroyed", 2, None, key.id)]
        # One that is met after its time, before anybody swept, is created again; that it was destroyed before is over.
        await subject.create_session(key, 3)
        clock.set(clock.now() + 110)
        assert await subject.create_session(key, 3)
        await settle()
        assert seen.types[4:] == ["created", "created"]


@pytest.mark.requirement("P32")
async def test_one_that_made_room_is_destroyed(key: Key) -> None:
    seen = Seen()
    async with SessionSubject(lambda: SessionStorage("memory:", most_per_key=2)) as subject:
        subject.subscribe(seen)
        for session_id in (1, 2, 3):
            await subject.create_session(key, session_id)
        await seen.wait(4)
        await settle()
        assert sorted((event.type, event.session_id) for event in seen.events) == [
            ("created", 1),
            ("created", 2),
            ("created", 3),
            ("destroyed", 1),
        ]


@pytest.mark.requirement("P31", "P33")
async def test_what_others_end_by_other_means_is_destroyed(subjects: Subjects, other_store: str, key: Key) -> None:
    seen = Seen()
    subject = subjects(other_store, seen=seen)
    await subject.create_session(key, 1)
    storage = subject.session_storage
    await storage.engine.interrupt(await _id(storage), "operator")
    assert await seen.wait(2) == [SessionEvent("created", 1, key), SessionEvent("destroyed", 1, None, key.id)]
    assert await subject.create_session(key, 1)
    storage.engine.clock.set(storage.engine.clock.now() + 1)
    assert await storage.destroy_all(key) == 1
    await seen.wait(4)
    assert seen.types == ["created", "destroyed", "created", "destroyed"]


async def _id(storage: SessionStorage) -> str:
    (session,) = (await storage.engine.find(kind="protocol")).sessions
    return session.id


@pytest.mark.requirement("P39")
async def test_under_encryption_the_record_says_whose_it_was(storages: Storages, key: Key) -> None:
    pytest.importorskip("cryptography")
    ring, seen = "1:" + "A" * 43 + "=", Seen()
    async with SessionSubject(lambda: storages("sqlite", keys=ring)) as subject, storages("sqlite", keys=ring) as other:
        subject.subscribe(seen)
        await other.create_session(key, 1)
        assert await seen.wait(1) == [SessionEvent("created", 1, None, key.id)]


async def test_many_processes_at_once_leave_everybody_with_what_is(subjects: Subjects, other_store: str) -> None:
    """However two take turns with one session, what each was told last is what is there."""
    key, seen = Key(5), [Seen(), Seen()]
    pair = [subjects(other_store, seen=one) for one in seen]
    await asyncio.gather(*(subject.open() for subject in pair))

    async def toggle(subject: SessionSubject) -> None:
        for number in range(30):
            await (subject.destroy_session if number % 2 else subject.create_session)(key, 1)

    await asyncio.gather(*map(toggle, pair))
    for subject, one in zip(pair, seen, strict=True):
        there = await subject.has_session(key, 1)
        expected = "created" if there else "destroyed"
        await until(partial(_settled, subject, one, expected))


def _settled(subject: SessionSubject, seen: Seen, expected: str) -> bool:
    """Whether the log has shown what it had to, and the last thing told is what is expected."""
    return subject._changes is not None and not subject._changes._owns and seen.types[-1] == expected


class TestOrder:
    """What is left out, event by event."""

    @pytest.fixture
    async def engine(self) -> Engine:
        return Engine(MemoryStore(), kinds=[protocol_kind()])

    @staticmethod
    def event(engine: Engine, what: EventType, session_id: str, *, own: bool) -> Event:
        node = engine.name if own else "elsewhere"
        reason = "destroyed" if what is EventType.CLOSED else None
        return Event(what, 0.0, session_id, "protocol", None, 1, reason, "change", node)

    @pytest.mark.requirement("P20")
    @pytest.mark.parametrize("changed", [True, False])
    async def test_what_came_before_ours_is_left_out(self, engine: Engine, changed: bool) -> None:
        told: list[str] = []
        async with engine:
            session = await engine.open(kind="protocol", name="1", data=[1])
            changes = Changes("protocol", lambda _, event: told.append(event.type), hidden=False, alone=False)
            changes.begin(engine)
            own = changes.own(session.id, "created")
            assert own is not None
            changes.heard(self.event(engine, EventType.CLOSED, session.id, own=False))
            await settle()
            assert told == []  # nobody knows yet whether ours will be one
            changes.settle(own, changed=changed)
            await settle()
            assert told == ([] if changed else ["destroyed"])
            changes.heard(self.event(engine, EventType.OPENED, session.id, own=True))
            changes.heard(self.event(engine, EventType.CLOSED, session.id, own=False))
            await settle()
            assert told == (["destroyed"] if changed else ["destroyed"] * 2)
            assert changes._owns == {}
            await changes.end()

    async def test_what_cannot_be_known_is_said(self, engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
        told: list[str] = []
        async with engine:
            changes = Changes("protocol", lambda _, event: told.append(event.type), hidden=False, alone=False)
            changes.begin(engine)
            with caplog.at_level(logging.WARNING):
                changes.heard(self.event(engine, EventType.CLOSED, "0" * 32, own=False))
                await settle()
                engine._following.listeners.missed()
            assert "was purged before" in caplog.text
            assert "the log was trimmed" in caplog.text
            assert told == []
            await changes.end()

    async def test_what_the_log_never_showed_hides_nothing_later(self, engine: Engine) -> None:
        told: list[str] = []
        async with engine:
            session = await engine.open(kind="protocol", name="1", data=[1])
            changes = Changes("protocol", lambda _, event: told.append(event.type), hidden=False, alone=False)
            changes.begin(engine)
            done, under_way = changes.own(session.id, "created"), changes.own(session.id, "destroyed")
            assert done is not None
            assert under_way is not None
            changes.settle(done, changed=True)
            changes.missed()
            changes.settle(under_way, changed=True)
            assert changes._owns == {}
            changes.heard(self.event(engine, EventType.CLOSED, session.id, own=False))
            await settle()
            assert told == ["destroyed"]
            await changes.end()

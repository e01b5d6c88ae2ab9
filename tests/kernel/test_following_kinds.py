"""`Engine.follow`, `Engine.listen`: hear of a kind's endings, or events; `Engine.alive`: whether a session lives."""

import asyncio
from pathlib import Path

import pytest

from insession import Engine, Event, EventType, InvalidInput, Kind, State, connect
from insession.kernel.ids import NamedIds, named_id
from insession.stores.memory import MemoryStore
from insession.testing import FaultyStore, ManualClock, settle

KINDS = [Kind("device", idle=10.0), Kind("other")]


class Heard:
    """Writes down what it hears."""

    def __init__(self) -> None:
        self.ends: dict[str, tuple[State, str | None]] = {}
        self.any = asyncio.Event()
        self.reloaded = asyncio.Event()

    def ended(self, session_id: str, state: State, reason: str | None, at: float) -> None:
        self.ends.setdefault(session_id, (state, reason))
        self.any.set()

    async def reload(self) -> None:
        self.reloaded.set()


async def test_every_ending_of_the_kind_is_heard_and_no_other() -> None:
    clock = ManualClock()
    async with Engine(MemoryStore(clock=clock), kinds=KINDS, clock=clock) as engine:
        heard = Heard()
        engine.follow("device", heard)
        one, two, three = [await engine.open(kind="device") for _ in range(3)]
        other = await engine.open(kind="other")
        await clock.advance(1.0)
        await one.interrupt("stop")
        assert heard.ends[one.id] == (State.INTERRUPTED, "stop")
        await two.close()
        await engine.interrupt_all("all", kind="device")
        assert heard.ends[three.id] == (State.INTERRUPTED, "all")
        await other.close()
        expired = await engine.open(kind="device")
        await settle()
        await clock.advance(11.0)
        await settle()
        assert heard.ends[expired.id] == (State.EXPIRED, "expired")
        assert set(heard.ends) - {other.id} == {one.id, two.id, three.id, expired.id}


async def test_an_ending_of_another_engine_is_heard(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'sessions.db'}"
    async with connect(url, kinds=KINDS) as engine, connect(url, kinds=KINDS) as elsewhere:
        heard = Heard()
        engine.follow("device", heard)
        session = await engine.open(kind="device")
        await elsewhere.interrupt(session.id, "from elsewhere")
        async with asyncio.timeout(5.0):
            await heard.any.wait()
        assert heard.ends == {session.id: (State.INTERRUPTED, "from elsewhere")}


async def test_a_follower_that_left_or_fails_disturbs_nobody() -> None:
    class Failing(Heard):
        def ended(self, session_id: str, state: State, reason: str | None, at: float) -> None:
            raise RuntimeError("as the test wants it")

    clock = ManualClock()
    async with Engine(MemoryStore(clock=clock), kinds=KINDS, clock=clock) as engine:
        heard, gone = Heard(), Heard()
        engine.follow("device", Failing())
        engine.follow("device", heard)
        engine.follow("device", gone)()
        session = await engine.open(kind="device")
        await session.interrupt("stop")
        assert list(heard.ends) == [session.id]
        assert gone.ends == {}


async def test_after_a_trimmed_log_a_follower_reads_anew() -> None:
    clock = ManualClock()
    store = MemoryStore(clock=clock, retention=100)
    async with Engine(store, kinds=KINDS, clock=clock) as engine:
        heard = Heard()
        engine.follow("device", heard)
        # More endings in one turn of the loop than the log keeps.
        for _ in range(300):
            await engine.close((await engine.open(kind="device")).id)
        async with asyncio.timeout(5.0):
            await heard.reloaded.wait()


class Listening:
    """Writes down the events that it hears."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []
        self.misses = 0
        self.four = asyncio.Event()

    def heard(self, event: Event) -> None:
        self.events.append((event.type.value, event.id))
        if len(self.events) >= 4:
            self.four.set()

    def missed(self) -> None:
        self.misses += 1


async def test_a_listener_hears_each_event_once_from_then_on(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'sessions.db'}"
    async with connect(url, kinds=KINDS) as engine, connect(url, kinds=KINDS) as elsewhere:

        class Failing(Listening):
            def heard(self, event: Event) -> None:
                raise RuntimeError("as the test wants it")

        listening, ends, gone = Listening(), Listening(), Listening()
        engine.listen("device", Failing(), {EventType.OPENED})
        engine.listen("device", listening, {EventType.OPENED, EventType.CLOSED})
        engine.listen("device", ends, {EventType.CLOSED})
        engine.listen("device", gone, {EventType.OPENED})()
        own = await engine.open(kind="device")
        await engine.open(kind="other")
        await own.close()
        theirs = await elsewhere.open(kind="device")
        await theirs.interrupt("not asked for")
        last = await elsewhere.open(kind="device")
        async with asyncio.timeout(10.0):
            await listening.four.wait()
        assert listening.events == [("opened", own.id), ("closed", own.id), ("opened", theirs.id), ("opened", last.id)]
        assert ends.events == [("closed", own.id)]
        assert gone.events == []


async def test_after_a_trimmed_log_a_listener_is_told() -> None:
    async with Engine(MemoryStore(retention=100), kinds=KINDS) as engine:
        listening = Listening()
        engine.listen("device", listening, {EventType.CLOSED})
        for _ in range(300):
            await engine.close((await engine.open(kind="device")).id)
        await settle()
        assert listening.misses == 1


async def test_whether_a_named_session_lives() -> None:
    clock = ManualClock()
    async with Engine(MemoryStore(clock=clock), kinds=KINDS, clock=clock) as engine:
        place = engine.id_of("device", "ann", "phone")
        assert not await engine.alive("device", place)
        session = await engine.open(kind="device", owner="ann", name="phone")
        for _ in range(5):
            clock.set(clock.now() + 9.0)
            assert await engine.alive("device", place)
        assert (await session.refresh()).touched == clock.now()
        clock.set(clock.now() + 11.0)
        assert not await engine.alive("device", place)
        assert (await session.refresh()).state is State.EXPIRED
        with pytest.raises(InvalidInput, match="session_id"):
            await connect_alive("x")


async def connect_alive(session_id: str) -> None:
    """Ask a store that is not this process's own, where the question travels."""
    async with Engine(FaultyStore(MemoryStore()), kinds=KINDS) as engine:
        await engine.alive("device", session_id)


@pytest.mark.parametrize("name", ["x", "-5", "\u00e4" * 512])
def test_ids_of_many_names_are_those_of_each(name: str) -> None:
    assert NamedIds("device", "ann", by_kind=False).of(name.encode()) == named_id("device", "ann", name, by_kind=False)

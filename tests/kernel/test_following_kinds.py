"""`Engine.follow`: hear of every ending of a kind."""

import asyncio
from pathlib import Path

from insession import Engine, Kind, State, connect
from insession.stores.memory import MemoryStore
from insession.testing import ManualClock, settle

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

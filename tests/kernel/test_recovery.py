"""Nodes, and what happens to the sessions of one that died: each once, whoever does it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from insession import Engine, Interrupted, Kind, Session, State, Store
from insession.kernel import processes
from insession.kernel.codec import encode
from insession.kernel.kinds import NODE
from insession.kernel.record import NODE_KIND
from insession.testing.clock import ManualClock, settle
from insession.testing.faulty import FaultyStore

from .jobs import Job

called: Counter[str] = Counter()


async def _call(session: Session) -> None:
    called[session.id] += 1


async def _fail(session: Session) -> None:
    called[session.id] += 1
    raise ZeroDivisionError


KINDS = (
    Kind("ends", recovery="end"),
    Kind("keeps", recovery="keep"),
    Kind("calls", recovery=_call),
    Kind("fails", recovery=_fail),
)
Opener = Callable[[], Awaitable[Engine]]


@pytest.fixture
async def opened(store: Store, clock: ManualClock) -> AsyncIterator[Opener]:
    """Opens engines that are closed after the test, unless they have died."""
    called.clear()
    async with AsyncExitStack() as stack:

        async def open_one() -> Engine:
            return await stack.enter_async_context(Engine(store, clock=clock, kinds=KINDS))

        yield open_one


async def _kill(engine: Engine) -> None:
    """It does nothing any more, as after a kill."""
    await engine._tasks.close()


async def test_a_process_that_owns_work_is_a_node(opened: Opener) -> None:
    engine = await opened()
    assert await engine.nodes() == []
    await engine.open(kind="chat")
    assert await engine.nodes() == []
    session = await engine.open(kind="ends")
    second = await engine.open(kind="keeps")
    (node,) = await engine.nodes()
    assert session.record.node == second.record.node == node.id
    assert node.data["name"] == engine.name
    assert {one.id for one in (await engine.find(node=node.id)).sessions} == {session.id, second.id}


async def test_a_node_is_in_no_count_and_in_no_all(opened: Opener, clock: ManualClock) -> None:
    engine = await opened()
    session = await engine.open(kind="ends")
    clock.set(clock.now() + 1.0)
    assert await engine.count() == 1
    assert [one.id for one in (await engine.find()).sessions] == [session.id]
    assert NODE_KIND not in (await engine.stats()).sessions
    assert await engine.interrupt_all() == 1
    assert len(await engine.nodes()) == 1


async def test_a_node_lives_as_long_as_its_process(opened: Opener, clock: ManualClock) -> None:
    engine = await opened()
    await engine.open(kind="ends")
    for _ in range(20):
        await clock.advance(5.0)
    assert len(await engine.nodes()) == 1


async def test_two_engines_recover_a_dead_node_s_sessions_once(opened: Opener, clock: ManualClock) -> None:
    dying = await opened()
    sessions = {kind.name: await dying.open(kind=kind.name) for kind in KINDS}
    living = [await opened(), await opened()]
    await _kill(dying)
    for _ in range(20):
        await clock.advance(1.0)
    ended = await living[0].get(sessions["ends"].id)
    assert (ended.state, ended.reason) == (State.INTERRUPTED, "node_lost")
    for name in ("keeps", "calls", "fails"):
        kept = await living[0].get(sessions[name].id)
        assert (kept.state, kept.record.node) == (State.ACTIVE, None)
        assert [event.type for event in await living[0].history(kept.id)] == ["opened", "orphaned"]
    assert called == {sessions["calls"].id: 1, sessions["fails"].id: 1}
    assert [event.type for event in await living[0].history(ended.id)] == ["opened", "interrupted"]


async def test_what_nobody_recovered_is_found_at_the_next_start(opened: Opener, clock: ManualClock) -> None:
    dying = await opened()
    session = await dying.open(kind="calls")
    await _kill(dying)
    await clock.advance(100.0)
    bystander = Engine(dying.store, clock=clock)
    async with bystander:  # declares nothing, and expires the node
        await clock.advance(100.0)
        assert await bystander.nodes() == []
        assert (await bystander.get(session.id)).record.node is not None
    await opened()
    await settle(50)
    assert called == {session.id: 1}


async def test_an_engine_that_leaves_leaves_no_session_on_its_node(
    opened: Opener, store: Store, clock: ManualClock
) -> None:
    watching = await opened()
    async with Engine(store, clock=clock, kinds=KINDS) as leaving:
        kept, ended = await leaving.open(kind="keeps"), await leaving.open(kind="ends")
    await settle()
    assert await watching.nodes() == []
    assert (await watching.get(kept.id)).record.node is None
    assert (await watching.get(ended.id)).state is State.INTERRUPTED


async def test_a_node_that_was_taken_for_dead_reloads_what_it_holds(
    opened: Opener, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    engine, other = await opened(), await opened()
    session = await engine.open(kind="ends")
    (node,) = await engine.nodes()
    async with Job(session) as job:
        await other.close(node.id, "somebody thought so")
        await settle()
        await clock.advance(6.0)
        await job.task
    assert isinstance(job.error, Interrupted)
    assert job.error.reason == "node_lost"
    assert "taken for dead" in caplog.text
    again = await engine.open(kind="ends")
    assert again.record.node not in {None, node.id}


async def test_a_node_that_was_taken_for_dead_recovers_itself_where_nobody_else_does(
    opened: Opener, clock: ManualClock
) -> None:
    engine = await opened()
    session = await engine.open(kind="ends")
    (node,) = await engine.nodes()
    await engine.close(node.id)
    await settle()  # it hears of its own end from the log first, and does not take itself for another
    await clock.advance(5.0)
    after = await engine.get(session.id)
    assert (after.state, after.reason) == (State.INTERRUPTED, "node_lost")


async def test_a_session_that_is_written_to_meanwhile_is_an_orphan_all_the_same(
    clock: ManualClock, faulty: FaultyStore
) -> None:
    async with Engine(faulty, clock=clock, kinds=KINDS) as engine, Engine(faulty.store, clock=clock) as writer:
        session = await engine.open(kind="keeps", data=0)
        record = (await engine.get(session.id)).record
        await writer.update(session.id, 1)
        await engine._recovery._orphan(record)
        again = await engine.get(session.id)
        assert (again.record.node, again.data) == (None, 1)


async def test_what_is_owed_is_found_after_the_store_was_away(clock: ManualClock, faulty: FaultyStore) -> None:
    called.clear()
    async with Engine(faulty, clock=clock, kinds=KINDS) as dying:
        session = await dying.open(kind="calls")
        await _kill(dying)
        dying._recovery.node = None
    clock.set(clock.now() + 20.0)
    async with Engine(faulty.store, clock=clock) as bystander:
        await settle()
        assert await bystander.nodes() == []
    async with Engine(faulty, clock=clock, kinds=KINDS):
        faulty.down = True
        await settle()
        faulty.down = False
        assert called == {}
        await clock.advance(2.0)
        assert called == {session.id: 1}


async def test_a_node_is_touched_again_after_the_store_was_away(
    clock: ManualClock, faulty: FaultyStore, caplog: pytest.LogCaptureFixture
) -> None:
    async with Engine(faulty, clock=clock, kinds=KINDS) as engine:
        await engine.open(kind="ends")
        faulty.down = True
        await clock.advance(6.0)
        assert "could not be touched" in caplog.text
        faulty.down = False
        for _ in range(4):
            await clock.advance(5.0)
        assert len(await engine.nodes()) == 1


async def _node(engine: Engine, **said: Any) -> str:
    """A node that says this of its process."""
    facts = processes.facts("other") | said
    return (await engine._open(NODE, None, None, encode(facts), NODE.idle, None, None)).id


def _ended() -> int:
    """The pid of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.mark.parametrize("reused", [False, True])
async def test_a_node_of_this_host_whose_process_is_gone_is_found_at_the_next_start(
    opened: Opener, *, reused: bool
) -> None:
    engine = await opened()
    await settle(50)
    dead = await _node(engine, **({"started": 1.0} if reused else {"pid": _ended()}))
    session = await engine._open(KINDS[2], None, None, encode(None), None, None, dead)
    assert [node.id for node in await engine.nodes()] == [dead]
    await opened()
    await settle(50)
    assert await engine.nodes() == []
    assert [event.reason for event in await engine.history(dead)] == [None, "node_lost"]
    assert called == {session.id: 1}


@pytest.fixture
def unwaited() -> Iterator[int]:
    """The pid of a process that has ended, and that nobody has waited for yet."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        yield process.pid


async def test_a_process_that_nobody_has_waited_for_is_gone(opened: Opener, unwaited: int) -> None:
    engine = await opened()
    await _node(engine, pid=unwaited)
    await opened()
    await settle(50)
    assert await engine.nodes() == []


@pytest.mark.parametrize(
    "said", [{}, {"host": "another"}, {"home": "another"}, {"home": None}, {"started": None}, {"pid": "1"}]
)
async def test_of_any_other_node_nobody_can_know(opened: Opener, said: dict[str, Any]) -> None:
    engine = await opened()
    # Alive, or of a place where the same pid is another's.
    node = await _node(engine, **({"pid": _ended()} | said if said else {}))
    await opened()
    await settle(50)
    assert [one.id for one in await engine.nodes()] == [node]


async def test_two_that_recover_share_the_calls(opened: Opener, clock: ManualClock) -> None:
    entered, going_on = asyncio.Event(), asyncio.Event()

    async def wait(session: Session) -> None:
        called[session.id] += 1
        entered.set()
        await going_on.wait()

    kind = Kind("waits", recovery=wait)
    dying = await opened()
    store = dying.store
    async with Engine(store, clock=clock, kinds=[kind]) as one, Engine(store, clock=clock, kinds=[kind]) as other:
        await settle(50)
        dead = await _node(dying)
        sessions = {(await dying._open(kind, None, None, encode(None), None, None, dead)).id for _ in range(3)}
        await dying.close(dead)
        for _ in range(10):
            await settle()
        assert called == dict.fromkeys(sessions, 1)
        held = sum(lock.name.endswith("/recovery") for lock in one.locks.held.values())
        await _kill(one)  # its lease runs out, and the other calls again
        going_on.set()
        for _ in range(10):
            await clock.advance(1.0)
        assert called.keys() == sessions
        assert called.total() == 3 + held
        for session_id in sessions:
            assert [event.type for event in await other.history(session_id)] == ["opened", "orphaned"]


async def test_recovery_goes_on_after_the_store_was_away(
    clock: ManualClock, faulty: FaultyStore, caplog: pytest.LogCaptureFixture
) -> None:
    async with Engine(faulty.store, clock=clock) as bystander, Engine(faulty, clock=clock, kinds=KINDS) as engine:
        await settle()
        dead = await _node(bystander)
        session = await bystander._open(KINDS[0], None, None, encode(None), None, None, dead)
        await bystander.close(dead)
        faulty.down = True
        recovering = asyncio.ensure_future(engine._recovery.recover(dead))
        await settle()
        assert "have to wait" in caplog.text
        faulty.down = False
        await clock.advance(2.0)
        await recovering
        assert (await bystander.get(session.id)).reason == "node_lost"


async def test_who_owns_nothing_itself_notices_a_death_in_time(opened: Opener, clock: ManualClock) -> None:
    watching = await opened()
    await clock.advance(1.0)
    dying = await opened()
    session = await dying.open(kind="calls")
    await _kill(dying)
    for _ in range(16):
        await clock.advance(1.0)
    assert called == {session.id: 1}
    assert (await watching.get(session.id)).record.node is None

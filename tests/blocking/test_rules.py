"""The six rules of a portal: lazy, forked, in a loop, Ctrl-C, bound, closed."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
from anyio.from_thread import BlockingPortal

import insession
from insession import CalledFromEventLoop, PortalClosed, StoreUnavailable
from insession.blocking import BlockingEngine, connect
from insession.kernel.engine import Engine
from insession.stores.memory import MemoryStore
from insession.testing.faulty import FaultyStore

PATIENCE = 30.0


def portals() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "insession-portal"]


def test_it_starts_at_the_first_call_and_ends_at_the_end() -> None:
    engine = connect("memory:")
    assert engine.declared("call") is None
    assert (portals(), engine.is_open) == ([], False)
    session = engine.open()
    assert len(portals()) == 1
    assert engine.get(session.id).state == "active"
    engine.shut_down()
    assert (portals(), engine.is_open) == ([], False)


def test_a_bad_url_is_refused_before_anything_starts() -> None:
    with pytest.raises(insession.ConfigurationError, match="did you mean 'memory:'"):
        connect("memori:")
    assert portals() == []


def test_an_opening_that_failed_is_tried_again(tmp_path: Path) -> None:
    folder = tmp_path / "later"
    engine = connect(f"sqlite:///{folder / 'sessions.db'}")
    for _ in range(2):
        with pytest.raises(insession.ConfigurationError, match="folder"):
            engine.open()
    folder.mkdir()
    with engine:
        assert engine.open().state == "active"


def test_closed_stays_closed() -> None:
    with connect("memory:") as engine:
        session = engine.open()
        lock = engine.lock("report")
        block = session.running()
        assert not session.interrupted
    for call in (
        engine.stats,
        engine.open,
        session.refresh,
        lambda: session.interrupted,
        lambda: engine.items,
        lock.__enter__,
        lock.raise_if_lost,
        block.__enter__,
        engine.__enter__,
    ):
        with pytest.raises(PortalClosed):
            call()
    engine.shut_down()
    assert engine.portal.closed
    assert session.id  # what it said last can be read
    assert portals() == []


def test_one_that_was_never_used_closes_too() -> None:
    engine = connect("memory:")
    engine.shut_down()
    with pytest.raises(PortalClosed):
        engine.stats()


def test_what_waits_is_let_go_when_it_closes() -> None:
    engine = connect("memory:")
    session, waiting, raised = engine.open(), threading.Barrier(4), list[str]()
    stream = engine.events()

    def wait(how: str) -> None:
        waiting.wait(PATIENCE)
        try:
            if how == "event":
                next(stream)
            elif how == "block":
                with session.running():
                    session.wait_interrupted()
            else:
                with engine.lock("report"), engine.lock("report", wait=None):
                    pass
        except PortalClosed:
            raised.append(how)

    threads = [threading.Thread(target=wait, args=(how,)) for how in ("event", "block", "lock")]
    for thread in threads:
        thread.start()
    waiting.wait(PATIENCE)
    while engine.stats().locks < 1:
        time.sleep(0.001)
    engine.shut_down()
    for thread in threads:
        thread.join(PATIENCE)
    assert sorted(raised) == ["block", "event", "lock"]


async def test_called_where_a_loop_runs() -> None:
    engine = connect("memory:")
    for call in (engine.open, engine.__enter__, engine.shut_down, lambda: engine.items):
        with pytest.raises(CalledFromEventLoop, match="to_thread"):
            call()
    session = await asyncio.to_thread(engine.open)
    for verb in (session.touch, session.running().__enter__):
        with pytest.raises(CalledFromEventLoop):
            verb()
    assert not session.interrupted  # local, so it may be read anywhere
    await asyncio.to_thread(engine.shut_down)


async def test_bound_to_the_loop_of_an_application() -> None:
    threads = set[threading.Thread]()

    async def observer(_: insession.Event) -> None:
        threads.add(threading.current_thread())

    def work(engine: BlockingEngine) -> None:
        with engine.observe(observer, types=["opened"]), engine.lock("report"):
            session = engine.open(data={"n": 0})
            with session.running():
                session.update(lambda data: {"n": data["n"] + 1})
            while not threads:
                engine.stats()

    async with BlockingPortal() as portal:
        engine = connect("memory:", portal=portal)
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*(asyncio.to_thread(work, engine) for _ in range(4)))
        assert threads == {threading.current_thread()}
        assert portals() == []
        await asyncio.to_thread(engine.shut_down)
        with pytest.raises(PortalClosed):
            await asyncio.to_thread(engine.stats)
        assert await asyncio.to_thread(lambda: portal.call(threading.current_thread)) is threading.current_thread()


@pytest.mark.parametrize("how", ["left", "cancelled"])
async def test_it_ends_with_the_portal_of_the_application(how: str) -> None:
    raised = list[Exception]()

    def work(engine: BlockingEngine, inside: threading.Event) -> None:
        try:
            with engine.lock("report"):
                inside.set()
                engine.open().wait_interrupted()
        except PortalClosed as error:
            raised.append(error)

    store = MemoryStore()
    async with anyio.create_task_group() as group:
        async with BlockingPortal() as portal:
            engine, inside = connect(store, portal=portal), threading.Event()
            group.start_soon(anyio.to_thread.run_sync, work, engine, inside)
            assert await asyncio.to_thread(inside.wait, PATIENCE)
            if how == "cancelled":
                await portal.stop(cancel_remaining=True)
        assert not engine.is_open
    assert len(raised) == 1
    with pytest.raises(PortalClosed):
        await asyncio.to_thread(engine.open)
    with pytest.raises(PortalClosed):
        await asyncio.to_thread(connect("memory:", portal=portal).open)


async def test_an_open_engine_of_the_application_is_shared_and_stays_open() -> None:
    async with insession.connect("memory:") as engine, BlockingPortal() as portal:
        session = await engine.open(owner="ann")
        blocking = BlockingEngine(engine, portal=portal)
        assert (await asyncio.to_thread(blocking.get, session.id)).owner == "ann"
        await asyncio.to_thread(blocking.shut_down)
        assert engine.is_open
        assert await session.close()


def test_a_store_that_fails_says_so_in_the_thread() -> None:
    faulty = FaultyStore(MemoryStore())
    with connect(faulty) as engine:
        engine.open()
        faulty.down = True
        with pytest.raises(StoreUnavailable):
            engine.open()
        faulty.down = False
        assert engine.count() == 1


def test_many_threads_start_one_loop() -> None:
    engine, ready = connect("memory:"), threading.Barrier(8)

    def work() -> None:
        ready.wait(PATIENCE)
        engine.open()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert len(portals()) == 1
    assert engine.count() == 8
    engine.shut_down()


def test_the_loop_can_be_asked_for_more() -> None:
    async def ids(engine: Engine) -> list[str]:
        return [(await engine.open()).id for _ in range(3)]

    with connect("memory:") as engine:
        assert len(engine.ask(ids)) == 3
        engine.portal.call(anyio.sleep, 0)


def test_a_block_that_ends_after_everything_says_why() -> None:
    engine = connect("memory:")
    session, inside, closed = engine.open(), threading.Event(), threading.Event()
    raised = list[Exception]()

    def work() -> None:
        try:
            with session.running():
                inside.set()
                assert closed.wait(PATIENCE)
        except insession.Interrupted as error:
            raised.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    assert inside.wait(PATIENCE)
    assert session.interrupt("enough")
    engine.shut_down()
    closed.set()
    thread.join(PATIENCE)
    assert len(raised) == 1


async def test_a_portal_that_is_cancelled_before_it_serves() -> None:
    async with BlockingPortal() as portal:
        blocking = connect("memory:", portal=portal)
        calling = asyncio.ensure_future(asyncio.to_thread(blocking.open))
        await portal.stop(cancel_remaining=True)
    with pytest.raises(PortalClosed):
        await calling

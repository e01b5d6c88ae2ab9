"""The pool for threads."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from anyio.from_thread import BlockingPortal

from insession.errors import CalledAfterFork
from insession.remote import (
    RESEND,
    BlockingSessionPool,
    OutcomeUnknown,
    PoolClosed,
    SessionPool,
    SessionState,
    UnknownToken,
    Verdict,
)
from insession.stores.memory import MemoryStore
from tests.blocking import parity

from .tiny import Client, Fault, Tiny, find, save

Pool = BlockingSessionPool[Any, Any]


class Served:
    """The tiny service on a loop in a thread of its own."""

    def __init__(self) -> None:
        self.tiny = Tiny()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    def __enter__(self) -> Tiny:
        self._thread.start()
        self._ready.wait(10)
        return self.tiny

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()

    async def _serve(self) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        async with self.tiny:
            self._ready.set()
            await self._end.wait()


@pytest.fixture
def tiny() -> Iterator[Tiny]:
    with Served() as tiny:
        yield tiny


def _pool(tiny: Tiny, **options: Any) -> Pool:
    client = Client(tiny.port)
    return BlockingSessionPool(
        client, client, **{"store": MemoryStore(), "pause": 0.01, "longest_pause": 0.05, **options}
    )


def test_the_same_verbs(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ((r"\bSessionPool\b", "BlockingSessionPool"), (r"\bVerify\b", "BlockingVerify"))
    monkeypatch.setattr(parity, "TWINS", (*parity.TWINS, *names))
    assert parity.differences(SessionPool, BlockingSessionPool, missing={"engine"}) == []


def test_every_verb(tiny: Tiny) -> None:
    with _pool(tiny) as pool:
        token = pool.acquire()
        assert pool.invoke(token, find(1)) == 1
        assert pool.send(find(2)) == 2
        with pool.borrow() as borrowed:
            assert pool.invoke(borrowed, find(3)) == 3
        assert (pool.state(token), pool.generation(token)) == (SessionState.CONNECTED, 1)
        blob = pool.detach(token)
        with pytest.raises(UnknownToken):
            pool.generation(token)
        pool.attach(token, blob)
        pool.finalize(token)
        pool.retry_credentials()
        assert pool.stats()["active_sessions"] == 1
        assert repr(pool) == "<BlockingSessionPool tiny 1 sessions>"
    assert tiny.sessions == {}
    with pytest.raises(PoolClosed):
        pool.acquire()


@pytest.mark.requirement("S3")
def test_closing_from_many_threads(tiny: Tiny) -> None:
    pool = _pool(tiny)
    pool.acquire()
    threads = [threading.Thread(target=pool.close) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert tiny.counts["logout"] == 1


@pytest.mark.requirement("S18")
@pytest.mark.parametrize("number", [2, 32])
def test_threads_share_one_renewal(tiny: Tiny, number: int) -> None:
    with _pool(tiny) as pool, ThreadPoolExecutor(number) as threads:
        token = pool.acquire()
        tiny.expire()
        tiny.counts["peak_logins"] = 0
        assert list(threads.map(lambda one: pool.invoke(token, find(one)), range(number))) == list(range(number))
        assert (tiny.counts["logins_ok"], tiny.counts["peak_logins"]) == (2, 1)


@pytest.mark.requirement("S19")
async def test_threads_and_tasks_mixed_share_one_renewal(tiny: Tiny) -> None:
    client = Client(tiny.port)
    async with BlockingPortal() as portal:
        blocking: Pool = BlockingSessionPool(client, client, store=MemoryStore(), portal=portal)
        token = await asyncio.to_thread(blocking.acquire)
        tasks = blocking._pool  # the very pool, on this loop
        tiny.expire()
        login = tiny.counts["logins_ok"]
        answers = await asyncio.gather(
            *[tasks.invoke(token, find(one)) for one in range(8)],
            *[asyncio.to_thread(blocking.invoke, token, find(one)) for one in range(8)],
        )
        assert answers == [*range(8), *range(8)]
        assert tiny.counts["logins_ok"] == login + 1
        await asyncio.to_thread(blocking.close)


@pytest.mark.requirement("S35")
def test_a_verify_function_of_a_thread_may_use_the_pool(tiny: Tiny) -> None:
    with _pool(tiny) as pool:
        token = pool.acquire()

        def verify(unknown: OutcomeUnknown) -> Any | Verdict:
            assert pool.invoke(token, find(unknown.request)) == "order"
            return "found" if "order" in tiny.saved else RESEND

        for fault, expected in ((Fault(before=True), "order"), (Fault(after=True), "found")):
            tiny.saved.clear()
            tiny.fail("save", fault)
            assert pool.invoke(token, save("order"), verify=verify) == expected
            assert tiny.saved == ["order"]


@pytest.mark.requirement("S63")
def test_stress(tiny: Tiny) -> None:
    tiny.requests_per_session = 25
    with _pool(tiny, max_sessions=4) as pool, ThreadPoolExecutor(32) as threads:

        def work(thread: int) -> int:
            wrong = 0
            for number in range(200):
                value = f"{thread}/{number}"
                call = save(value) if number % 4 == 0 else find(value)
                wrong += pool.send(call) != value
            return wrong

        assert sum(threads.map(work, range(32))) == 0
        stats = pool.stats()
    assert len(tiny.saved) == len(set(tiny.saved)) == 32 * 50
    assert (tiny.sessions, tiny.counts["overlaps"]) == ({}, 0)
    assert tiny.counts["peak_sessions"] <= 4
    # One login for a session and an expiry: every one was worth 25 requests, but for those that were under way.
    assert 6400 / 25 <= tiny.counts["logins_ok"] <= 6400 / 25 + 4
    assert stats["token_renewals"] == tiny.counts["logins_ok"] - stats["total_created"]


@pytest.mark.processes
@pytest.mark.requirement("S61", "S62")
def test_a_forked_child_makes_its_own(tiny: Tiny, tmp_path: Any) -> None:
    store = f"sqlite:///{tmp_path}/remote.db"
    with _pool(tiny, store=store) as pool:
        token = pool.acquire()
        busy = threading.Event()

        def keep_locks_busy() -> None:
            while not busy.is_set():
                pool.invoke(token, find())

        thread = threading.Thread(target=keep_locks_busy)
        thread.start()
        children = []
        for _ in range(3):
            pid = os.fork()
            if pid == 0:  # pragma: no cover - the child
                os._exit(_child(pool, token, tiny, store))
            children.append(pid)
        codes = [os.waitstatus_to_exitcode(_waited(pid)) for pid in children]
        busy.set()
        thread.join()
        assert codes == [0, 0, 0]
        assert pool.invoke(token, find()) == "x"
        assert (tiny.counts["logins_ok"], tiny.counts["logouts_ok"]) == (4, 3)


def _child(pool: Pool, token: Any, tiny: Tiny, store: str) -> int:  # pragma: no cover - the child
    try:
        pool.invoke(token, find())
    except CalledAfterFork:
        pool.close()
        with _pool(tiny, store=store) as own:
            return 0 if own.send(find(5)) == 5 else 2
    return 1


def _waited(pid: int) -> int:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return status
        time.sleep(0.01)
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    raise AssertionError("a child of a fork hangs")

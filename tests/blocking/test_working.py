"""Blocks of work, guarded iterators and locks of threads, which nobody can cancel."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import insession
from insession import Closed, ConfigurationError, Interrupted, LockLost, LockTimeout
from insession.blocking import BlockingEngine, BlockingSession

PATIENCE = 30.0


def interrupted_elsewhere(engine: BlockingEngine, session: BlockingSession) -> None:
    """Somebody else ends the session, and this process has heard of it."""
    thread = threading.Thread(target=lambda: engine.get(session.id).interrupt("enough"))
    thread.start()
    thread.join()
    assert session.wait_interrupted(PATIENCE)


def stopped(engine: BlockingEngine, session: BlockingSession) -> str | None:
    """How the work stopped, as soon as that is written down."""
    for event in engine.events(after=insession.START, types=["stopped"]):
        if event.id == session.id:
            return engine.get(session.id).stopped
    return None


def test_a_block_that_nobody_interrupts(engine: BlockingEngine) -> None:
    session = engine.open()
    with session.running(grace=1.0) as same:
        assert same is session
    with pytest.raises(ZeroDivisionError), session.running():
        raise ZeroDivisionError
    assert session.refresh().stopped is None


def test_a_block_that_comes_to_its_end_raises_there(engine: BlockingEngine) -> None:
    session, end = engine.open(), list[str]()
    with pytest.raises(Interrupted, match="enough"), session.running():
        interrupted_elsewhere(engine, session)
        end.append("reached")
    assert end == ["reached"]
    assert stopped(engine, session) == "returned"


def test_a_block_that_asks_is_left_in_the_middle(engine: BlockingEngine) -> None:
    session = engine.open()
    with pytest.raises(Interrupted, match="enough"), session.running():
        interrupted_elsewhere(engine, session)
        session.raise_if_interrupted()
        pytest.fail("it went on")
    assert stopped(engine, session) == "cancelled"


def test_an_error_of_the_block_goes_before_the_interrupt(engine: BlockingEngine) -> None:
    session = engine.open()
    with pytest.raises(ZeroDivisionError) as caught, session.running():
        interrupted_elsewhere(engine, session)
        raise ZeroDivisionError
    assert [Path(one.path).name for one in caught.traceback] == ["test_working.py"]
    assert stopped(engine, session) == "returned"


def test_a_block_that_goes_on_is_abandoned(engine: BlockingEngine) -> None:
    session = engine.open()
    with pytest.raises(Interrupted), session.running(grace=0.0):
        interrupted_elsewhere(engine, session)
        assert stopped(engine, session) == "abandoned"
        assert engine.stats().abandoned == 1
    assert engine.stats().abandoned == 0
    assert engine.get(session.id).stopped == "abandoned"


@pytest.mark.parametrize("through", ["handle", "engine"])
def test_who_ends_the_own_session_goes_on(engine: BlockingEngine, through: str) -> None:
    session = engine.open()
    with session.running():
        assert session.close() if through == "handle" else engine.interrupt(session.id)
        assert session.wait_interrupted(PATIENCE)
    assert session.refresh().stopped is None


def test_another_threads_block_does_not(engine: BlockingEngine) -> None:
    session, inside, raised = engine.open(), threading.Event(), list[Exception]()

    def work() -> None:
        try:
            with session.running():
                inside.set()
                session.wait_interrupted(PATIENCE)
        except Interrupted as error:
            raised.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    assert inside.wait(PATIENCE)
    with session.running():
        assert session.interrupt("enough")
    thread.join(PATIENCE)
    assert [str(error) for error in raised] == [f"session {session.id!r} is interrupted: enough"]


def test_a_block_of_an_ended_session_does_not_begin(engine: BlockingEngine) -> None:
    session = engine.open()
    session.close()
    with pytest.raises(Closed), session.running():
        pytest.fail("it began")


def test_a_block_is_entered_once(engine: BlockingEngine) -> None:
    block = engine.open().running()
    with block, pytest.raises(ConfigurationError, match="entered before"):
        block.__enter__()


class Source(Iterator[int]):
    """Counts, and knows whether it was closed."""

    def __init__(self, most: int = 10, before: Callable[[int], object] = bool) -> None:
        self.number = 0
        self.most = most
        self.before = before
        self.closed = 0

    def __next__(self) -> int:
        if self.number == self.most:
            raise StopIteration
        self.before(self.number)
        self.number += 1
        return self.number

    def close(self) -> None:
        self.closed += 1


def test_a_guarded_iterator_to_its_end(engine: BlockingEngine) -> None:
    session, source = engine.open(), Source(3)
    guard = session.guard(source)
    assert list(guard) == [1, 2, 3]
    assert source.closed == 1
    assert list(guard) == []
    assert list(session.guard("ab")) == ["a", "b"]


def test_a_guarded_iterator_ends_with_its_session(engine: BlockingEngine) -> None:
    session = engine.open()

    def before(number: int) -> None:
        if number == 2:
            interrupted_elsewhere(engine, session)

    source, got = Source(before=before), list[int]()
    guard = session.guard(source)
    with pytest.raises(Interrupted, match="enough"):
        got.extend(iter(lambda: next(guard), None))
    assert (source.closed, source.number) == (1, 3)
    assert stopped(engine, session) == "cancelled"
    with pytest.raises(Interrupted, match="enough"):
        next(guard)
    with pytest.raises(Interrupted):
        next(session.guard(other := Source()))
    assert (other.number, other.closed) == (0, 1)


def test_what_a_guarded_iterator_raises(engine: BlockingEngine) -> None:
    session, source = engine.open(), Source(before=lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        next(session.guard(source))
    assert source.closed == 1


@pytest.mark.parametrize("how", ["closed", "dropped"])
def test_a_guarded_iterator_that_is_left(engine: BlockingEngine, how: str) -> None:
    session, source = engine.open(), Source()
    guard = session.guard(source)
    assert next(guard) == 1
    if how == "closed":
        guard.close()  # type: ignore[attr-defined]
        guard.close()  # type: ignore[attr-defined]
        assert source.closed == 1
    del guard
    gc.collect()
    interrupted_elsewhere(engine, session)
    engine.stats()
    assert session.refresh().stopped is None  # nothing worked for it any more


def test_a_lock(engine: BlockingEngine) -> None:
    lock = engine.lock("report", ttl=5.0, wait=0, note=b"note")
    assert (lock.name, lock.ttl, lock.wait, lock.ticket) == ("report", 5.0, 0.0, "")
    with lock as held:
        assert held is lock
        assert (lock.error, lock.notes) == (None, ())
        assert lock.ticket
        lock.raise_if_lost()
        assert lock.take() == ()
        engine.items.put("report/1", 1, fence=lock.fence)
        with pytest.raises(LockTimeout), engine.lock("report", wait=0):
            pytest.fail("two hold it")
        with pytest.raises(ConfigurationError, match="in use"), lock:
            pytest.fail("it is entered twice")
    with lock:
        assert lock.until > 0
    with engine.open().lock(ttl=5.0) as mine:
        assert mine.name.endswith("/lock")


def test_a_lock_is_renewed_while_the_thread_works(engine: BlockingEngine) -> None:
    with engine.lock("report", ttl=0.3) as lock:
        first, renewed = lock.until, threading.Event()
        for _ in range(3_000):
            if lock.until > first + 0.3:
                break
            renewed.wait(0.01)
        assert lock.until > first + 0.3
        lock.raise_if_lost()


def test_threads_take_turns(engine: BlockingEngine) -> None:
    session, counted = engine.open(), list[int]()

    def count() -> None:
        for _ in range(10):
            with session.lock("counter"):
                number = len(counted)
                engine.touch(session.id)
                counted.append(number)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert counted == list(range(40))


def displaced(engine: BlockingEngine) -> None:
    """Take the lock over, from another thread."""

    def take() -> None:
        with engine.lock("report", displace=True, grace=0.0):
            pass

    thread = threading.Thread(target=take)
    thread.start()
    thread.join(PATIENCE)


def test_a_lost_lock_is_said_at_once_and_at_the_end(engine: BlockingEngine) -> None:
    with pytest.raises(insession.Displaced), engine.lock("report") as lock:
        displaced(engine)
        for _ in range(3_000):
            if lock.error is not None:
                break
            threading.Event().wait(0.01)
        assert isinstance(lock.error, insession.Displaced)
        with pytest.raises((insession.Displaced, LockLost)):
            engine.items.put("report/1", 1, fence=lock.fence)
    with pytest.raises(ZeroDivisionError), engine.lock("report") as lock:
        displaced(engine)
        raise ZeroDivisionError


def test_a_lost_lock_leaves_a_block_that_asks(engine: BlockingEngine) -> None:
    with pytest.raises(insession.Displaced), engine.lock("report") as lock:
        displaced(engine)
        for _ in range(3_000):
            lock.raise_if_lost()
            threading.Event().wait(0.01)
        pytest.fail("it was not lost")

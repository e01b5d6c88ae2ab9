"""A program with threads as a user writes it, for type checkers; see `program`."""

from __future__ import annotations

from typing import assert_type

import insession.blocking
from insession import Deadlines, Entry, Event, State, Stats
from insession.blocking import (
    BlockingEngine,
    BlockingEventStream,
    BlockingItems,
    BlockingLock,
    BlockingSession,
    BlockingSessionPage,
)
from insession.tracking import BlockingSessionManager, LiveSession


def told(event: Event) -> None:
    assert_type(event.id, str)


def one_session(engine: BlockingEngine) -> None:
    session = engine.open(kind="call", owner="ann", data={"step": 0}, idle=60, absolute=None)
    assert_type(session, BlockingSession)
    assert_type(session.state, State)
    assert_type(session.deadlines, Deadlines)
    assert_type(session.interrupted, bool)
    with session.running(grace=1.0) as same:
        assert_type(same, BlockingSession)
        session.update(lambda data: data | {"step": 1}, touch=True)
        session.raise_if_interrupted()
    for letter in session.guard("ab"):
        assert_type(letter, str)
    assert_type(session.wait_interrupted(0.0), bool)
    assert_type(session.items, BlockingItems)
    assert_type(session.close("completed"), bool)


def beside_it(engine: BlockingEngine) -> None:
    assert_type(engine.find(owner="ann", state="closed"), BlockingSessionPage)
    assert_type(engine.stats(), Stats)
    stream = engine.events(after=insession.START)
    assert_type(stream, BlockingEventStream)
    assert_type(next(stream), Event)
    with engine.lock("report", ttl=5.0, wait=None) as lock:
        assert_type(lock, BlockingLock)
        assert_type(engine.items.put("report/1", {"done": True}, fence=lock.fence), int)
    assert_type(engine.items.get("report/1"), Entry | None)
    with engine.observe(told, types=["opened"]) as subscription:
        assert_type(subscription.failures, int)


def tracked() -> None:
    with BlockingSessionManager({"session_timeout": 60}) as manager:
        live = manager.create_session("player/1.0", hardware_id="ann's")
        assert_type(live, LiveSession)
        with manager.running(live) as same:
            assert_type(same, LiveSession)
        assert_type(manager.interrupt_session(live.id), bool)


def refused(engine: BlockingEngine) -> None:
    """What a type checker refuses; never run."""
    engine.open("call")  # type: ignore[call-arg]
    engine.interrupt_all(kinds="call")  # type: ignore[call-arg]
    engine.open().guard(1)  # type: ignore[arg-type]
    engine.open().state = State.CLOSED  # type: ignore[misc]


def main() -> dict[str, dict[str, int]]:
    with insession.blocking.connect("memory:") as engine:
        assert_type(engine, BlockingEngine)
        one_session(engine)
        beside_it(engine)
        return engine.stats().sessions


if __name__ == "__main__":
    tracked()
    print(main())

"""Every verb, called by a thread, does what its asynchronous form does."""

from __future__ import annotations

import threading

import pytest

import insession
from insession import Conflict, Interrupted, InvalidInput, Kind, SessionNotFound
from insession.blocking import BlockingEngine, BlockingSession, connect


def test_one_session(engine: BlockingEngine) -> None:
    session = engine.open(owner="ann", data={"lang": "en"}, idle=60)
    assert (session.kind, session.owner, session.state, session.reason) == ("session", "ann", "active", None)
    assert session.data == {"lang": "en"}
    assert session.data is session.data
    assert session.deadlines.idle == session.touched + session.record.reach
    assert session.deadlines.absolute is None
    assert session.opened == session.record.opened
    assert (session.ended, session.stopped, session.interrupted) == (None, None, False)
    assert repr(session) == f"<BlockingSession {session.id} session active>"
    session.touch()
    version = session.version
    assert session.update(lambda data: data | {"step": 2}, event=True) == {"lang": "en", "step": 2}
    assert session.version > version
    assert session.update({"step": 3}, touch=True) == session.data == {"step": 3}
    session.raise_if_interrupted()
    assert not session.wait_interrupted(0.0)
    assert session.close("completed")
    assert (session.state, session.reason, session.interrupted) == ("closed", "completed", True)
    assert session.ended is not None
    assert session.wait_interrupted()
    with pytest.raises(insession.Closed):
        session.raise_if_interrupted()
    with pytest.raises(insession.Closed):
        session.update(lambda data: data)
    with pytest.raises(insession.Closed):
        session.update({})


def test_sessions_by_their_ids(engine: BlockingEngine) -> None:
    session = engine.open(owner="ann", data={"n": 0})
    assert engine.update(session.id, lambda data: {"n": data["n"] + 1}, event=True).data == {"n": 1}
    found = engine.update(session.id, {"n": 2})
    with pytest.raises(Conflict):
        engine.update(session.id, {"n": 3}, version=session.version)
    threads = list[threading.Thread]()

    def change(data: dict[str, int]) -> dict[str, int]:
        threads.append(threading.current_thread())
        return {"n": data["n"] + 1}

    assert engine.update(session.id, change, version=found.version).data == {"n": 3}
    with pytest.raises(Conflict):
        engine.update(session.id, change, version=found.version)
    assert threads == [threading.current_thread()]
    assert session.refresh() is session
    assert session.data == {"n": 3}
    assert engine.touch(session.id).id == session.id
    other, third = engine.open(owner="bob"), engine.open(owner="bob")
    assert engine.close(other.id)
    assert not engine.interrupt(other.id)
    assert third.interrupt("enough")
    assert [event.type for event in engine.history(session.id)] == ["opened", "updated"]
    assert engine.interrupt_all("shutdown", owner="ann") == 1
    assert session.wait_interrupted(30)
    with pytest.raises(Interrupted, match="shutdown"):
        session.raise_if_interrupted()
    with pytest.raises(SessionNotFound):
        engine.get("0" * 32)


def test_an_interrupt_from_elsewhere_is_heard(engine: BlockingEngine) -> None:
    session = engine.open()
    before = session.interrupted
    thread = threading.Thread(target=lambda: engine.get(session.id).interrupt("elsewhere", wait=0.0))
    thread.start()
    assert session.wait_interrupted(30)
    thread.join()
    assert (before, session.interrupted, session.reason) == (False, True, "elsewhere")


def test_finding_and_counting(engine: BlockingEngine) -> None:
    sessions = [engine.open(owner="ann") for _ in range(3)]
    first = engine.find(owner="ann", limit=2)
    second = engine.find(owner="ann", limit=2, cursor=first.cursor)
    assert {one.id for one in first.sessions + second.sessions} == {one.id for one in sessions}
    assert second.cursor is None
    assert all(isinstance(one, BlockingSession) for one in first.sessions)
    assert engine.count(owner="ann") == 3
    assert engine.stats().sessions == {"session": {"active": 3}}
    assert engine.nodes() == []
    assert engine.purge() == 0
    assert engine.erase("ann") >= 3
    assert engine.count(state=None) == 0


def test_names_and_kinds() -> None:
    kinds = [Kind("call", idle=60, secret_owner=True)]
    with connect("memory:", kinds=iter(kinds)) as engine:
        session = engine.open(kind="call", owner="ann", name="first")
        assert session.id == engine.id_of("call", "ann", "first")
        assert session.owner == engine.owner_of("call", "ann") != "ann"
        assert engine.declared("call") is engine.kind("call")
        assert [kind.name for kind in engine.kinds()] == ["~node", "call"]
        assert len(engine.name) == 12
        assert engine.is_open
    assert not engine.is_open


def test_items(engine: BlockingEngine) -> None:
    version = engine.items.put("report/1", {"done": False}, owner="ann")
    assert engine.items.put("report/1", {"done": True}, version=version, expires=60) > version
    entry = engine.items.get("report/1")
    assert entry is not None
    assert entry.data == {"done": True}
    engine.items.delete("report/1")
    assert engine.items.get("report/1") is None
    session = engine.open()
    session.items.put("a", 1)
    assert engine.items.under(session.id).find() == session.items.find()
    assert [entry.key for entry in session.items.find()[0]] == ["a"]
    with pytest.raises(InvalidInput):
        engine.items.put("", 1)


def test_an_event_stream(engine: BlockingEngine) -> None:
    now = engine.events()
    now.start()
    before = now.cursor
    assert before is not None
    sessions = [engine.open() for _ in range(3)]
    stream = engine.events(after=before, types=["opened"])
    assert [next(stream).id, next(stream).id] == [one.id for one in sessions[:2]]
    ready = stream.ready
    # Who comes back with the cursor goes on where this reader has come to, not where it has read ahead.
    assert next(engine.events(after=stream.cursor)).id == next(stream).id == sessions[2].id
    assert (ready, stream.ready) == (True, False)
    assert [next(now).id for _ in sessions] == [one.id for one in sessions]
    with pytest.raises(InvalidInput, match="did you mean 'opened'"):
        engine.events(types=["openend"])


def test_a_stream_waits_for_events(engine: BlockingEngine) -> None:
    stream, heard = engine.events(), list[str]()
    stream.start()
    thread = threading.Thread(target=lambda: heard.append(next(stream).id))
    thread.start()
    session = engine.open()
    thread.join(30)
    assert heard == [session.id]


def test_a_stream_that_is_closed_lets_its_reader_go(engine: BlockingEngine) -> None:
    stream, heard, begun = engine.events(after=insession.START), list[str](), threading.Event()

    def read() -> None:
        for event in stream:
            heard.append(event.id)
            begun.set()

    thread = threading.Thread(target=read)
    thread.start()
    session = engine.open()
    assert begun.wait(30)
    stream.close()
    thread.join(30)
    assert heard == [session.id]
    assert list(stream) == []


def test_an_observer_runs_in_a_thread_and_may_make_calls(engine: BlockingEngine) -> None:
    heard, done = list[tuple[str, bool]](), threading.Event()

    def observer(event: insession.Event) -> None:
        heard.append((engine.get(event.id).id, threading.current_thread() is threading.main_thread()))
        done.set()
        raise ValueError

    errors, failed = list[BaseException](), threading.Event()

    def on_error(_: insession.Event | None, error: BaseException) -> None:
        errors.append(error)
        failed.set()

    with engine.observe(observer, types=["opened"], on_error=on_error) as subscription:
        session = engine.open()
        assert done.wait(30)
        assert failed.wait(30)
    assert heard == [(session.id, False)]
    assert subscription.failures == 1
    assert isinstance(errors[0], ValueError)


def test_an_async_observer_runs_on_the_loop(engine: BlockingEngine) -> None:
    done, threads = threading.Event(), list[str]()

    async def observer(_: insession.Event) -> None:
        threads.append(threading.current_thread().name)
        done.set()

    subscription = engine.observe(observer)
    with subscription:
        engine.open()
        assert done.wait(30)
    assert threads == ["insession-portal"]


def test_update_calls_its_function_in_the_calling_thread(engine: BlockingEngine) -> None:
    session, threads = engine.open(data={"n": 0}), list[threading.Thread]()

    def change(data: dict[str, int]) -> dict[str, int]:
        threads.append(threading.current_thread())
        if len(threads) == 1:
            engine.update(session.id, {"n": 10})  # somebody else was first; and it may make calls of its own
        data["n"] += 1
        return data

    assert session.update(change) == {"n": 11}
    assert threads == [threading.current_thread()] * 2
    assert engine.get(session.id).data == session.data == {"n": 11}


def test_what_an_update_raises_is_raised(engine: BlockingEngine) -> None:
    session = engine.open(data={"n": 0})
    with pytest.raises(KeyError):
        session.update(lambda data: data["m"])
    with pytest.raises(InvalidInput, match="data"):
        session.update(lambda _: object())
    assert session.update(lambda data: data) == {"n": 0}


def test_an_update_that_is_never_first_gives_up(engine: BlockingEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("insession.blocking.session.TRIES", 3)
    session, tries = engine.open(data={"n": 0}), list[int]()

    def change(data: dict[str, int]) -> dict[str, int]:
        tries.append(engine.update(session.id, {"n": data["n"] + 1}).data["n"])
        return data

    with pytest.raises(Conflict):
        session.update(change)
    assert tries == [1, 2, 3]

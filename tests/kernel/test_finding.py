"""Pages, counts, statistics; what is purged, kept and erased."""

from __future__ import annotations

from typing import Any

import pytest

from insession import START, Engine, InvalidInput, SessionNotFound, SessionPage, State
from insession.testing.clock import ManualClock, settle

from .jobs import Job


async def _all(engine: Engine, limit: int, *, kind: str | None = None, owner: str | None = None) -> list[str]:
    ids: list[str] = []
    cursor: str | None = None
    while True:
        page: SessionPage = await engine.find(cursor=cursor, limit=limit, kind=kind, owner=owner)
        ids += [session.id for session in page.sessions]
        cursor = page.cursor
        if cursor is None:
            return ids


async def test_find_by_owner_and_kind(engine: Engine) -> None:
    ids = {
        (kind, owner): (await engine.open(kind=kind, owner=owner)).id
        for kind in ("chat", "call")
        for owner in ("ann", "bob", None)
    }
    assert set(await _all(engine, 2)) == set(ids.values())
    assert set(await _all(engine, 2, kind="chat")) == {one for (kind, _), one in ids.items() if kind == "chat"}
    assert set(await _all(engine, 2, owner="ann")) == {one for (_, owner), one in ids.items() if owner == "ann"}
    assert await _all(engine, 2, owner="ann", kind="call") == [ids["call", "ann"]]
    assert await engine.count(owner="ann") == 2
    assert await engine.count(kind="chat") == 3
    assert await engine.count() == 6


async def test_find_by_state(engine: Engine, clock: ManualClock) -> None:
    live, closed, interrupted = [await engine.open(owner="ann") for _ in range(3)]
    await closed.close()
    await interrupted.interrupt()
    assert [session.id for session in (await engine.find()).sessions] == [live.id]
    assert [session.id for session in (await engine.find(state="closed", owner="ann")).sessions] == [closed.id]
    assert len((await engine.find(state=None)).sessions) == 3
    assert await engine.count(state=State.INTERRUPTED) == 1
    assert await engine.count(state=None, owner="ann") == 3


async def test_live_sessions_come_in_the_order_of_their_opening(engine: Engine, clock: ManualClock) -> None:
    ids = []
    for _ in range(10):
        clock.set(clock.now() + 1.0)
        ids.append((await engine.open()).id)
    assert await _all(engine, 3) == ids


async def test_a_page_gone_through_while_sessions_end_misses_none_that_lives(
    engine: Engine, clock: ManualClock
) -> None:
    sessions = []
    for _ in range(10):
        clock.set(clock.now() + 1.0)
        sessions.append(await engine.open())
    page = await engine.find(limit=5)
    for session in sessions[:5]:
        await session.close()
    rest = await engine.find(limit=10, cursor=page.cursor)
    assert [session.id for session in rest.sessions] == [session.id for session in sessions[5:]]


async def test_a_secret_owner_is_found_by_its_clear_form_and_shown_nowhere(engine: Engine) -> None:
    session = await engine.open(kind="secret", owner="hardware-4711", name="main")
    await session.close()
    events = await engine.history(session.id)
    assert "hardware-4711" not in f"{session!r} {session.record} {events}"
    assert session.owner is not None
    assert session.owner.startswith("~")
    page = await engine.find(kind="secret", owner="hardware-4711", state=None)
    assert [one.id for one in page.sessions] == [session.id] == [engine.id_of("secret", "hardware-4711", "main")]


@pytest.mark.parametrize("options", [{"owner": "ann", "node": "0" * 32}, {"node": "x"}, {"node": ""}])
async def test_an_owner_of_a_node_is_not_looked_for(engine: Engine, options: dict[str, Any]) -> None:
    for ask in (engine.find, engine.count):
        with pytest.raises(InvalidInput) as raised:
            await ask(**options)
        assert raised.value.field == "node"


async def test_stats(engine: Engine) -> None:
    for kind, number in (("chat", 3), ("call", 2)):
        for _ in range(number):
            await engine.open(kind=kind)
    await (await engine.open(kind="chat")).close()
    stats = await engine.stats()
    assert stats.sessions == {"chat": {"active": 3, "closed": 1}, "call": {"active": 2}}
    assert (stats.engine, stats.locks, stats.abandoned) == (engine.name, 0, 0)


async def test_an_ended_session_stays_readable_for_its_keep(engine: Engine, clock: ManualClock) -> None:
    session = await engine.open(kind="short", data=1)
    await session.items.put("draft", 1)
    await session.close()
    clock.set(clock.now() + 9.9)
    assert await engine.purge() == 0
    assert (await engine.get(session.id)).data == 1
    clock.set(clock.now() + 0.2)
    assert await engine.purge() == 1
    with pytest.raises(SessionNotFound):
        await engine.get(session.id)
    assert await session.items.get("draft") is None


async def test_only_so_many_ended_sessions_are_kept(engine: Engine, clock: ManualClock) -> None:
    sessions = [await engine.open(kind="short") for _ in range(5)]
    for session in sessions:
        clock.set(clock.now() + 1.0)
        await session.close()
    assert await engine.purge() == 3
    kept = await engine.find(kind="short", state=None)
    assert {session.id for session in kept.sessions} == {session.id for session in sessions[-2:]}


async def test_purging_happens_by_itself(engine: Engine, clock: ManualClock) -> None:
    session = await engine.open(kind="short")
    await session.close()
    await clock.advance(61.0)
    with pytest.raises(SessionNotFound):
        await engine.get(session.id)


async def test_a_kind_that_nobody_declared_is_purged_by_what_its_records_say(
    engine: Engine, other: Engine, clock: ManualClock
) -> None:
    session = await other.open(kind="of-another-program")
    await session.close()
    clock.set(session.record.gone - 1.0)
    await engine.purge()
    assert (await engine.get(session.id)).state is State.CLOSED
    clock.set(session.record.gone)
    await engine.purge()
    with pytest.raises(SessionNotFound):
        await engine.get(session.id)


async def test_erase_removes_everything_of_an_owner(engine: Engine, other: Engine, clock: ManualClock) -> None:
    live, ended, due, secret = [
        await engine.open(kind="chat", owner="ann"),
        await engine.open(kind="call", owner="ann"),
        await engine.open(owner="ann", idle=10.0),
        await engine.open(kind="secret", owner="ann"),
    ]
    bob = await engine.open(owner="bob")
    await ended.close()
    await live.items.put("draft", 1)
    await engine.items.put("notes/1", 1, owner="ann")
    clock.set(clock.now() + 11.0)  # nobody has swept
    async with Job(await other.get(live.id)) as job:
        assert await engine.erase("ann") >= 5
        await job.task
        await settle()
    assert job.error is not None
    for session in (live, ended, due, secret):
        with pytest.raises(SessionNotFound):
            await other.get(session.id)
    assert await other.items.get("notes/1") is None
    assert await live.items.get("draft") is None
    page = await engine.store.events(START, 100, None)
    assert [event.id for event in page.events] == [bob.id]
    assert (await other.get(bob.id)).state is State.ACTIVE

"""Sessions whose bytes are proven to be broken: ended once, with an event, their bytes kept; and nothing else ends."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from insession import Data, DataUnreadable, Engine, Kind, Session, State
from insession.kernel.aside import KEPT
from insession.kernel.codec import encode
from insession.stores.memory import MemoryStore
from insession.testing.clock import ManualClock, settle
from insession.testing.faulty import FaultyStore
from tests.damage import overwrite

JUNK = b"\xdc\xff\xff"


class Note(msgspec.Struct):
    text: str


async def broken(engine: Engine, **options: Any) -> str:
    """The id of a session whose bytes are nobody's data."""
    session = await engine.open(data={"text": "x"}, **options)
    await overwrite(engine.store, session.id, JUNK)
    return session.id


async def read(engine: Engine, session_id: str) -> DataUnreadable:
    with pytest.raises(DataUnreadable) as raised:
        _ = (await engine.get(session_id)).data
    await settle()
    return raised.value


async def test_reading_ends_it_once_with_an_event(engine: Engine, other: Engine) -> None:
    session_id = await broken(engine, owner="ann")
    handle = await other.get(session_id)
    flags = [handle.interrupted]
    error = await read(engine, session_id)
    assert (error.key, error.broken) == (session_id, True)
    await read(other, session_id)
    after = await engine.get(session_id)
    assert (after.state, after.reason, [*flags, handle.interrupted]) == (
        State.INTERRUPTED,
        "data_unreadable",
        [False, True],
    )
    events = [(event.type, event.reason) for event in await engine.history(session_id)]
    assert events == [("opened", None), ("interrupted", "data_unreadable")]


async def test_whoever_reads_one_and_leaves_has_ended_it(engine: Engine, clock: ManualClock) -> None:
    session_id = await broken(engine)
    async with Engine(FaultyStore(engine.store), clock=clock) as passing:
        session = await passing.get(session_id)
        with pytest.raises(DataUnreadable):
            _ = session.data
    assert (await engine.get(session_id)).reason == "data_unreadable"


async def test_its_bytes_are_kept_and_its_name_is_opened_again(engine: Engine, clock: ManualClock) -> None:
    session_id = await broken(engine, owner="ann", name="x")
    await read(engine, session_id)
    assert (await engine.get(session_id)).record.data == JUNK
    again = await engine.open(owner="ann", name="x", data={"text": "anew"})
    assert (again.id, again.data) == (session_id, {"text": "anew"})
    (kept,), _ = await engine.items.find(f"~unreadable/{session_id}/")
    assert (kept.data["data"], kept.data["kind"], kept.owner) == (JUNK, "session", "ann")
    assert kept.expires == clock.now() + KEPT
    assert await engine.erase("ann") > 0
    assert (await engine.items.find("~unreadable/"))[0] == []


async def test_an_update_by_function_says_so_too(engine: Engine) -> None:
    session_id = await broken(engine)
    with pytest.raises(DataUnreadable):
        await engine.update(session_id, lambda data: data)
    await settle()
    assert (await engine.get(session_id)).reason == "data_unreadable"


async def test_work_after_its_ending_is_given_up(
    clock: ManualClock, faulty: FaultyStore, caplog: pytest.LogCaptureFixture
) -> None:
    """It needs what is gone; and the name is free again."""

    async def finish(session: Session) -> None:
        done.append(session.data)

    done: list[object] = []
    async with Engine(faulty, clock=clock, kinds=[Kind("note", finish=finish)]) as engine:
        session_id = await broken(engine, kind="note", name="x")
        await read(engine, session_id)
        assert (done, "is given up" in caplog.text) == ([], True)
        again = await engine.open(kind="note", name="x", data="anew")
        assert again.id == session_id
        await again.close()
        await settle()
        assert done == ["anew"]


async def test_what_was_written_over_before_it_was_looked_at_again_lives(clock: ManualClock) -> None:
    async with Engine(MemoryStore(clock=clock), clock=clock) as engine:
        session_id = await broken(engine)
        handle = await engine.get(session_id)
        with pytest.raises(DataUnreadable):
            _ = handle.data
        await handle.update({"text": "good"})  # before the loop's next turn
        await settle()
        after = await engine.get(session_id)
        assert (after.state, after.data) == (State.ACTIVE, {"text": "good"})
        assert (await engine.items.find("~unreadable/"))[0] == []


async def test_reading_in_a_thread(engine: Engine) -> None:
    session_id = await broken(engine)
    handle = await engine.get(session_id)

    def look() -> str:
        try:
            return str(handle.data)
        except DataUnreadable as error:
            return error.problem

    assert await asyncio.to_thread(look) == "Input data was truncated"
    await settle()
    assert (await engine.get(session_id)).reason == "data_unreadable"


async def test_a_store_that_fails_leaves_it_to_the_next_reader(
    shaky: Engine, faulty: FaultyStore, caplog: pytest.LogCaptureFixture
) -> None:
    session_id = await broken(shaky)
    handle = await shaky.get(session_id)
    faulty.down = True
    with pytest.raises(DataUnreadable):
        _ = handle.data
    await settle()
    faulty.down = False
    assert "could not be set aside" in caplog.text
    assert (await shaky.get(session_id)).state is State.ACTIVE
    await read(shaky, session_id)
    assert (await shaky.get(session_id)).reason == "data_unreadable"


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"\xc1\x01\0\0\0\x01\0\0" + bytes(40), "it is encrypted, and this engine has no keys"),
        (b"\xc1\x09later", "a newer insession wrote it"),
        (encode({"text": 5}), "Expected `str`, got `int` - at `$.text`"),
        (encode({"text": "x"}, version=2), "newer version"),
    ],
    ids=["sealed", "format", "type", "version"],
)
async def test_what_another_program_may_read_stays(
    clock: ManualClock, faulty: FaultyStore, data: bytes, problem: str
) -> None:
    async with Engine(faulty, clock=clock, kinds=[Kind("note", data=Note)]) as engine:
        session = await engine.open(kind="note", data=Note("x"))
        await overwrite(faulty, session.id, data)
        error = await read(engine, session.id)
        assert (error.broken, problem in error.problem) == (False, True)
        assert (await engine.get(session.id)).state is State.ACTIVE


async def test_an_upgrade_that_fails_ends_only_where_it_has_worked(clock: ManualClock, faulty: FaultyStore) -> None:
    def upgrade(data: dict[str, Any]) -> dict[str, Any]:
        return {"text": data["old"]}

    kind = Kind("note", data=Data(Note, version=2, upgrades={1: upgrade}))
    async with Engine(faulty, clock=clock) as writer, Engine(faulty, clock=clock, kinds=[kind]) as engine:
        bad = await writer.open(kind="note", data={"secret": 1})
        error = await read(engine, bad.id)
        assert error.problem == "its upgrade from data version 1 failed with KeyError"
        assert (await engine.get(bad.id)).state is State.ACTIVE
        good = await writer.open(kind="note", data={"old": "fine"})
        assert (await engine.get(good.id)).data == Note("fine")
        assert (await read(engine, bad.id)).broken
        assert (await engine.get(bad.id)).reason == "data_unreadable"
        assert (await engine.get(good.id)).state is State.ACTIVE


class Strict(msgspec.Struct, forbid_unknown_fields=True):
    text: str = ""


async def test_no_error_shows_a_value(clock: ManualClock, faulty: FaultyStore) -> None:
    async with Engine(faulty, clock=clock, kinds=[Kind("note", data=Strict)]) as engine:
        session = await engine.open(kind="note", data=Strict())
        await overwrite(faulty, session.id, encode({"hunter2": 1}))
        assert (await read(engine, session.id)).problem == "Object contains unknown field"

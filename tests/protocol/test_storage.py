"""A storage: what exists, over every store."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path
from typing import Any

import pytest

import insession
from insession import ConfigurationError, InvalidInput, LimitReached
from insession.protocol import InMemorySessionStorage, SessionRecord, SessionStorage, long, protocol_kind
from insession.testing.clock import ManualClock
from insession.testing.faulty import FaultyStore
from tests.stores.conftest import MAKERS

from .conftest import Storages
from .samples import ENDS, Key

ARGUMENTS = [
    pytest.param(lambda key, session_id: ((session_id,), {}), id="id"),
    pytest.param(lambda key, session_id: ((), {"session_id": session_id}), id="id by name"),
    pytest.param(lambda key, session_id: ((key, session_id), {}), id="key and id"),
    pytest.param(lambda key, session_id: ((key,), {"session_id": session_id}), id="key, id by name"),
    pytest.param(lambda key, session_id: ((), {"auth_key": key, "session_id": session_id}), id="both by name"),
]


def content_of(folder: Path) -> bytes:
    """Every byte that SQLite has written."""
    return b"".join(file.read_bytes() for file in folder.glob("store.db*"))


@pytest.mark.requirement("P1", "P2", "P3", "P4", "P5")
async def test_a_session_exists_from_its_creation_to_its_end(storage: SessionStorage, key: Key) -> None:
    assert await storage.has_session(key, 1) is False
    assert await storage.destroy_session(key, 1) is False
    assert await storage.create_session(key, 1) is True
    assert await storage.has_session(key, 1) is True
    assert await storage.create_session(key, 1) is False
    assert await storage.destroy_session(key, 1) is True
    assert await storage.has_session(key, 1) is False
    assert await storage.destroy_session(key, 1) is False
    assert await storage.create_session(key, 1) is True
    assert await storage.has_session(key, 1) is True


@pytest.mark.requirement("P35", "P40")
@pytest.mark.parametrize("arguments", ARGUMENTS)
async def test_every_form_of_a_call(storages: Storages, key: Key, arguments: Any) -> None:
    storage = storages()
    given, named = arguments(key, 7)
    assert await storage.create_session(*given, **named)
    assert await storage.has_session(*given, **named)
    assert await storage.destroy_session(*given, **named)
    assert not await storage.has_session(*given, **named)


@pytest.mark.requirement("P6", "P6b")
async def test_the_key_and_the_id_together_are_the_session(storage: SessionStorage, key: Key) -> None:
    other = Key(key.value + 1)
    await storage.create_session(key, 1)
    assert not await storage.has_session(other, 1)
    assert not await storage.has_session(key, 2)
    # An equal key is the same key, whatever object it comes as.
    same = [Key(key.value), key.value.to_bytes(256, "big"), key.id, key.id - 2**64 if key.id >= 2**63 else key.id]
    assert [await storage.has_session(one, 1) for one in same] == [True] * 4
    assert await storage.destroy_session(Key(key.value), 1)
    assert not await storage.has_session(key, 1)


@pytest.mark.requirement("P7")
async def test_every_signed_64_bit_number_is_a_session_of_its_own(storage: SessionStorage, key: Key) -> None:
    for place, session_id in enumerate(ENDS):
        assert await storage.create_session(key, session_id)
        there = [one for one in ENDS if await storage.has_session(key, one)]
        assert there == ENDS[: place + 1]
    assert sorted([record.session_id async for record in storage.sessions(key)]) == ENDS


@pytest.mark.requirement("P7b")
@pytest.mark.parametrize("wrong", [2**63, -(2**63) - 1, 2**64 - 1, 2**70, 1.5, "x", None, True, b"1"])
@pytest.mark.parametrize("call", ["create_session", "has_session", "destroy_session"])
async def test_what_is_no_session_id_is_refused(storages: Storages, key: Key, wrong: Any, call: str) -> None:
    storage = storages()
    with pytest.raises(ValueError, match="session_id"):
        await getattr(storage, call)(key, wrong)
    assert await storage.count() == 0


@pytest.mark.requirement("P7b", "P34")
@pytest.mark.parametrize("wrong", [None, "secret", 1.5, True, b"secret" * 3, 2**2000 + 99, Key(2**2048), Key(-1)])
async def test_what_is_no_auth_key_is_refused_without_showing_it(storages: Storages, wrong: Any) -> None:
    storage = storages()
    if isinstance(wrong, Key):
        wrong = type("Wrong", (), {"value": wrong.value})()
    with pytest.raises(InvalidInput, match="auth_key") as refused:
        await storage.create_session(wrong, 1)
    assert "secret" not in str(refused.value)
    assert str(2**2000 + 99) not in str(refused.value)


@pytest.mark.requirement("P40")
async def test_a_storage_serves_one_form(storages: Storages, key: Key) -> None:
    first_call, keyed, plain = storages(), storages(keyed=True), storages(keyed=False)
    await first_call.create_session(5)
    for storage, other in ((first_call, (key, 5)), (keyed, (5,)), (plain, (key, 5))):
        with pytest.raises(InvalidInput, match=r"serves .* mixing"):
            await storage.has_session(*other)
    assert await first_call.has_session(5)


@pytest.mark.requirement("P40")
async def test_the_two_forms_are_two_key_spaces(storages: Storages, key: Key, shared: str) -> None:
    await storages(shared).create_session(5)
    assert not await storages(shared).has_session(key, 5)
    assert not await storages(shared).has_session(0, 5)


@pytest.mark.requirement("P30")
async def test_an_idle_session_is_forgotten_and_asking_for_it_keeps_it(
    store: str, storages: Storages, key: Key, clock: ManualClock
) -> None:
    storage = storages(store, idle=100.0)
    for session_id in (1, 2, 3):
        await storage.create_session(key, session_id)
    for _ in range(4):
        clock.set(clock.now() + 40)
        assert await storage.has_session(key, 1)
        assert not await storage.create_session(key, 2)
    assert not await storage.has_session(key, 3)
    assert sorted([record.session_id async for record in storage.sessions(key)]) == [1, 2]
    clock.set(clock.now() + 106)
    assert not await storage.has_session(key, 1)
    assert await storage.create_session(key, 2)


@pytest.mark.requirement("P30")
async def test_being_seen_is_written_once_in_a_window(clock: ManualClock, key: Key) -> None:
    from insession.stores.memory import MemoryStore

    faulty = FaultyStore(MemoryStore(clock=clock))
    async with SessionStorage(faulty, idle=1_000.0, clock=clock) as storage:
        await storage.create_session(key, 1)
        for _ in range(10):
            clock.set(clock.now() + 10)
            assert await storage.has_session(key, 1)
        record = await storage.record(key, 1)
        assert record is not None
        # 5 % of the idle time are 50 s.
        assert clock.now() - 50 <= record.last_seen <= clock.now()
        assert record.expires == record.last_seen + 1_050
        assert record.created == clock.now() - 100


@pytest.mark.requirement("P31")
async def test_sessions_of_a_key_are_listed_counted_and_destroyed(storage: SessionStorage, key: Key) -> None:
    other = Key(99)
    for session_id in range(5):
        await storage.create_session(key, session_id)
    await storage.create_session(other, 77)
    assert sorted([record.session_id async for record in storage.sessions(key)]) == [0, 1, 2, 3, 4]
    assert (await storage.count(key), await storage.count(other), await storage.count()) == (5, 1, 6)
    storage.engine.clock.set(storage.engine.clock.now() + 1)  # type: ignore[attr-defined]
    assert await storage.destroy_all(key) == 5
    assert [record async for record in storage.sessions(key)] == []
    assert await storage.has_session(other, 77)


@pytest.mark.requirement("P32")
async def test_one_too_many_ends_the_one_that_was_idle_longest(
    store: str, storages: Storages, key: Key, clock: ManualClock
) -> None:
    storage = storages(store, most_per_key=3, idle=100.0)
    for session_id in (1, 2, 3):
        await storage.create_session(key, session_id)
        clock.set(clock.now() + 10)
    await storage.has_session(key, 1)  # seen just now, so that 2 is idle longest
    clock.set(clock.now() + 1)
    await storage.create_session(key, 4)
    assert sorted([record.session_id async for record in storage.sessions(key)]) == [1, 3, 4]
    # Another key has its own.
    assert await storage.create_session(Key(1), 5)
    assert await storage.count(key) == 3


@pytest.mark.requirement("P33")
async def test_what_the_store_forgot_is_created_again(storage: SessionStorage, key: Key) -> None:
    await storage.create_session(key, 1)
    await storage.engine.interrupt_all("out of memory", kind="protocol")
    storage.engine.clock.set(storage.engine.clock.now() + 1)  # type: ignore[attr-defined]
    await storage.engine.interrupt_all("out of memory", kind="protocol")
    assert not await storage.has_session(key, 1)
    assert await storage.create_session(key, 1)


@pytest.mark.requirement("P34")
async def test_of_a_key_nothing_but_its_id_is_kept(storages: Storages, tmp_path: Path) -> None:
    storage = storages("sqlite")
    key = Key(int.from_bytes(bytes(range(256)), "big"))
    await storage.create_session(key, 1, data={"user": 5})
    await storage.destroy_session(key, 1)
    await storage.create_session(key, 2)
    record = await storage.record(key, 2)
    assert record is not None
    assert record.auth_key_id == key.id
    await storage.close()
    kept = content_of(tmp_path)
    raw = key.value.to_bytes(256, "big")
    assert f"{key.id:016x}".encode() in kept
    for place in range(256 - 16):
        assert raw[place : place + 16] not in kept
    assert str(key.value).encode() not in kept


@pytest.mark.requirement("P34")
async def test_no_key_is_kept_in_memory(storages: Storages) -> None:
    import weakref

    storage = storages()
    keys = [Key(number) for number in range(50)]
    gone = [weakref.ref(key) for key in keys]
    for key in keys:
        await storage.create_session(key, 1)
    ids = [key.id for key in keys]
    del keys, key
    gc.collect()
    assert [ref() for ref in gone] == [None] * 50
    assert all([await storage.has_session(one, 1) for one in ids])


async def test_under_encryption_the_id_is_in_the_data_alone(storages: Storages, tmp_path: Path, key: Key) -> None:
    pytest.importorskip("cryptography")
    storage = storages("sqlite", keys="1:" + "A" * 43 + "=")
    await storage.create_session(key, 1, data="mine")
    record = await storage.record(key, 1)
    assert record is not None
    assert (record.auth_key_id, record.data) == (key.id, "mine")
    assert [record.session_id async for record in storage.sessions(key)] == [1]
    await storage.close()
    kept = content_of(tmp_path)
    assert f"{key.id:016x}".encode() not in kept


async def test_the_record_of_a_session(storages: Storages, key: Key, clock: ManualClock) -> None:
    storage = storages(node="web-1")
    assert await storage.record(key, 1) is None
    assert await storage.update(key, 1, data=1) is None
    begin = clock.now()
    await storage.create_session(key, 1, first_msg_id=2**62, data={"user": 5})
    record = await storage.record(key, 1)
    assert record == SessionRecord(
        session_id=1,
        auth_key_id=key.id,
        created=begin,
        last_seen=begin,
        expires=begin + 86_400 + 60,
        unique_id=record.unique_id if record else 0,
        first_msg_id=2**62,
        node="web-1",
        data={"user": 5},
    )
    assert "user" not in repr(record)
    changed = await storage.update(key, 1, first_msg_id=5, node=None, data=lambda data: {**data, "n": 1})
    assert changed is not None
    assert (changed.first_msg_id, changed.node, changed.data) == (5, None, {"user": 5, "n": 1})
    assert changed == await storage.record(key, 1)
    assert record is not None
    assert changed.unique_id == record.unique_id
    # Created again, it is another one.
    await storage.destroy_session(key, 1)
    clock.set(clock.now() + 1)
    await storage.create_session(key, 1)
    again = await storage.record(key, 1)
    assert again is not None
    assert again.unique_id != record.unique_id
    assert -(2**63) <= again.unique_id < 2**63
    assert again.data is None


@pytest.mark.parametrize(
    ("named", "error"),
    [
        ({"colour": 1}, TypeError),
        ({"node": ""}, InvalidInput),
        ({"node": 5}, InvalidInput),
        ({"first_msg_id": 2**63}, InvalidInput),
        ({"first_msg_id": "x"}, InvalidInput),
        ({"data": object()}, InvalidInput),
    ],
)
async def test_a_wrong_option_is_refused(storages: Storages, named: Any, error: type[Exception]) -> None:
    storage = storages()
    with pytest.raises(error):
        await storage.create_session(1, 2, **named)
    with pytest.raises(TypeError):
        await storage.has_session(1, 2, colour=1)
    with pytest.raises(TypeError):
        await storage.has_session(1, 2, 3)
    with pytest.raises(InvalidInput, match="session_id"):
        await storage.has_session()
    assert await storage.count() == 0


@pytest.mark.parametrize("wrong", [{"most_per_key": 0}, {"most_per_key": 1_001}, {"idle": -1.0}, {"keyed": 3}])
def test_a_wrong_configuration_is_refused(wrong: Any) -> None:
    with pytest.raises(ConfigurationError):
        SessionStorage("memory:", **wrong)


async def test_an_engine_of_ones_own(key: Key) -> None:
    with pytest.raises(ConfigurationError, match="protocol_kind"):
        SessionStorage(insession.connect("memory:"))
    engine = insession.connect("memory:", kinds=[protocol_kind(idle=None)])
    storage = SessionStorage(engine)
    with pytest.raises(ConfigurationError, match="has not been opened"):
        await storage.create_session(key, 1)
    async with engine, SessionStorage(engine) as storage:
        await storage.create_session(key, 1)
        (session,) = (await engine.find(kind="protocol")).sessions
        assert session.owner == f"{key.id:016x}"
        assert session.deadlines.idle is None
        await storage.close()
        assert engine.is_open


async def test_whoever_wants_the_id_hidden_says_so_in_the_kind(key: Key) -> None:
    kind = insession.Kind("protocol", secret_owner=True)
    async with insession.connect("memory:", kinds=[kind]) as engine:
        storage = SessionStorage(engine)
        await storage.create_session(key, 1)
        (session,) = (await engine.find(kind="protocol")).sessions
        assert session.owner is not None
        assert f"{key.id:016x}" not in session.owner
        record = await storage.record(key, 1)
        assert record is not None
        assert record.auth_key_id == key.id
        assert await storage.count(key) == 1


async def test_it_opens_by_itself_once_and_closes_twice(storages: Storages, key: Key) -> None:
    storage = storages("sqlite")
    assert [storage.is_open] == [False]
    assert sum(await asyncio.gather(*(storage.create_session(key, one % 3) for one in range(30)))) == 3
    assert storage.is_open
    await storage.close()
    await storage.close()


async def test_the_memory_of_the_process_whatever_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INSESSION_STORE", "sqlite:////nowhere/at/all.db")
    async with InMemorySessionStorage(keyed=False) as storage:
        assert await storage.create_session(long(5))


async def test_a_limit_that_refuses_is_told(key: Key) -> None:
    kind = insession.Kind("protocol", limits=(insession.Limit(most=1),))
    async with insession.connect("memory:", kinds=[kind]) as engine:
        storage = SessionStorage(engine)
        await storage.create_session(key, 1)
        with pytest.raises(LimitReached):
            await storage.create_session(key, 2)


def test_every_store_of_these_tests_is_there() -> None:
    assert {"memory", "sqlite", "redis", "postgres"} <= MAKERS.keys()


def test_what_is_configured_wrongly_is_said_by_name() -> None:
    for options, named in (({"idle": "5"}, "idle"), ({"store": 5}, "store"), ({"most_per_key": 0}, "most")):
        with pytest.raises(ConfigurationError, match=named):
            SessionStorage(**options)


async def test_bad_input_does_not_decide_the_form(storage: SessionStorage) -> None:
    with pytest.raises(InvalidInput, match="auth_key"):
        await storage.create_session("no key", 1)
    assert await storage.create_session(1)


async def test_of_a_record_data_alone_may_be_a_function(storage: SessionStorage, key: Key) -> None:
    await storage.create_session(key, 1)
    with pytest.raises(InvalidInput, match="first_msg_id"):
        await storage.update(key, 1, first_msg_id=lambda _: "text")
    with pytest.raises(InvalidInput, match="node"):
        await storage.update(key, 1, node=lambda _: "text")
    record = await storage.update(key, 1, data=lambda data: [data], node="here")
    assert record is not None
    assert (record.data, record.node) == ([None], "here")

"""Data versions: old and new programs side by side on one store, and nothing lost between them."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from insession import ConfigurationError, Conflict, Data, DataUnreadable, Engine, InvalidInput, Kind, Store
from insession.kernel.codec import decode, encode, version_of
from insession.stores.memory import MemoryStore
from insession.stores.sealed import Keys, SealedStore
from insession.testing.clock import ManualClock, settle


class Chat(msgspec.Struct):
    text: str


class Talk(msgspec.Struct):
    lines: list[str]


@dataclasses.dataclass
class Dialogue:
    lines: list[str]
    language: str


def one_to_two(data: dict[str, Any]) -> dict[str, Any]:
    return {"lines": [data["text"]]}


def two_to_three(data: dict[str, Any]) -> dict[str, Any]:
    data["language"] = "en"
    return data


OLD = Kind("chat", data=Chat)
NEW = Kind("chat", data=Data(Talk, version=2, upgrades={1: one_to_two}))
NEWEST = Kind("chat", data=Data(Dialogue, version=3, upgrades={1: one_to_two, 2: two_to_three}))


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=["clear", "sealed"])
def store(request: pytest.FixtureRequest, clock: ManualClock) -> Store:
    memory = MemoryStore(clock=clock)
    return memory if request.param == "clear" else SealedStore(memory, Keys.generate())


async def _engine(store: Store, clock: ManualClock, kind: Kind | None) -> AsyncIterator[Engine]:
    async with Engine(store, clock=clock, kinds=[] if kind is None else [kind]) as engine:
        yield engine


@pytest.fixture
async def old(store: Store, clock: ManualClock) -> AsyncIterator[Engine]:
    async for engine in _engine(store, clock, OLD):
        yield engine


@pytest.fixture
async def new(store: Store, clock: ManualClock) -> AsyncIterator[Engine]:
    async for engine in _engine(store, clock, NEW):
        yield engine


@pytest.fixture
async def newest(store: Store, clock: ManualClock) -> AsyncIterator[Engine]:
    async for engine in _engine(store, clock, NEWEST):
        yield engine


@pytest.fixture
async def untyped(store: Store, clock: ManualClock) -> AsyncIterator[Engine]:
    """A program that declares no kinds, as the command line and the service do."""
    async for engine in _engine(store, clock, None):
        yield engine


class TestUpgrades:
    async def test_in_memory_at_reading_and_written_with_the_next_update(self, old: Engine, newest: Engine) -> None:
        session = await old.open(kind="chat", data=Chat("hi"))
        there = await newest.get(session.id)
        assert there.data == Dialogue(["hi"], "en")
        assert (await old.get(session.id)).data == Chat("hi")
        assert there.version == session.version
        await there.update(lambda data: Dialogue([*data.lines, "ho"], "de"))
        assert (await newest.get(session.id)).data == Dialogue(["hi", "ho"], "de")
        assert version_of((await newest.get(session.id)).record.data) == 3

    async def test_every_step_from_where_the_data_stands(self, new: Engine, newest: Engine) -> None:
        session = await new.open(kind="chat", data=Talk(["a", "b"]))
        assert (await newest.get(session.id)).data == Dialogue(["a", "b"], "en")

    async def test_an_update_between_is_not_lost(self, old: Engine, new: Engine) -> None:
        """The new program has read the old data; the old one writes; the new one upgrades what is there by then."""
        session = await old.open(kind="chat", data=Chat("hi"))
        there = await new.get(session.id)
        assert there.data == Talk(["hi"])
        await session.update(Chat("hello"))
        with pytest.raises(Conflict):
            await there.update(Talk(["late"]))
        await there.update(lambda data: Talk([*data.lines, "more"]))
        assert (await new.get(session.id)).data == Talk(["hello", "more"])


class TestNewer:
    async def test_is_neither_read_nor_written_over(self, old: Engine, new: Engine) -> None:
        session = await old.open(kind="chat", data=Chat("hi"))
        await new.update(session.id, lambda data: Talk([*data.lines, "ho"]))
        there = await old.get(session.id)
        for attempt in (lambda _: Chat("x"), Chat("x")):
            with pytest.raises(DataUnreadable, match=r"written by a newer version .data version 2; this one knows 1"):
                await there.update(attempt)
        with pytest.raises(Conflict):  # from what it knew before
            await session.update(Chat("x"))
        with pytest.raises(DataUnreadable, match="newer version"):
            await old.update(session.id, Chat("x"), version=there.version)
        await settle()
        assert (await new.get(session.id)).data == Talk(["hi", "ho"])

    async def test_lives_on_in_the_old_program(self, old: Engine, new: Engine) -> None:
        session = await new.open(kind="chat", data=Talk(["hi"]), idle=60.0)
        there = await old.get(session.id)
        await there.touch()
        with pytest.raises(DataUnreadable) as raised:
            _ = there.data
        assert not raised.value.broken
        await settle()
        assert (await old.get(session.id)).state == "active"
        assert [one.id for one in (await old.find(kind="chat")).sessions] == [session.id]
        assert await old.close(session.id)
        assert (await new.get(session.id)).data == Talk(["hi"])

    async def test_programs_without_the_type_keep_its_version(self, new: Engine, untyped: Engine) -> None:
        session = await new.open(kind="chat", data=Talk(["hi"]))
        there = await untyped.get(session.id)
        assert there.data == {"lines": ["hi"]}
        await there.update(lambda data: {"lines": [*data["lines"], "ho"]})
        await there.update({"lines": ["all", "new"]})
        assert (await new.get(session.id)).data == Talk(["all", "new"])


async def test_first_version_lies_as_data_without_one(old: Engine, untyped: Engine) -> None:
    session = await old.open(kind="chat", data=Chat("hi"))
    assert (await untyped.get(session.id)).record.data == encode({"text": "hi"})


async def test_a_wrong_upgrade_result_and_a_missing_step_end_nothing(store: Store, clock: ManualClock) -> None:
    wrong = Kind("chat", data=Data(Talk, version=2, upgrades={1: lambda data: {"lines": data["text"]}}))
    late = Kind("chat", data=Data(Talk, version=2))
    async with Engine(store, clock=clock, kinds=[OLD]) as writer:
        session = await writer.open(kind="chat", data=Chat("secret words"))
        for kind, problem in ((wrong, "Expected `array`"), (late, "no upgrade from that is declared")):
            async with Engine(store, clock=clock, kinds=[kind]) as reader:
                with pytest.raises(DataUnreadable, match=problem) as raised:
                    _ = (await reader.get(session.id)).data
                assert "secret" not in str(raised.value)
                await settle()
        assert (await writer.get(session.id)).data == Chat("secret words")


async def test_items_of_a_type(new: Engine, untyped: Engine) -> None:
    first = Data(Chat)
    second = Data(Talk, version=2, upgrades={1: one_to_two})
    await untyped.items.typed(first).put("memory/ann", Chat("hi"))
    memories = new.items.typed(second)
    entry = await memories.get("memory/ann")
    assert entry is not None
    assert entry.data == Talk(["hi"])
    assert [one.data for one in (await memories.find("memory/"))[0]] == [Talk(["hi"])]
    await memories.put("memory/ann", entry.data, version=entry.version)
    with pytest.raises(DataUnreadable, match="newer version"):
        await untyped.items.typed(Chat).get("memory/ann")
    with pytest.raises(InvalidInput, match="Talk for these items"):
        await memories.put("memory/ann", Chat("hi"))  # a value of another type
    session = await new.open()
    await session.items.typed(second).put("draft", Talk(["under"]))
    under = await new.items.typed(second).under(session.id).get("draft")
    assert under is not None
    assert under.data == Talk(["under"])


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"version": 0}, "Data.version"),
        ({"version": 65_536}, "Data.version"),
        ({"version": True}, "Data.version"),
        ({"version": 3, "upgrades": {1: one_to_two}}, "end at 2"),
        ({"version": 2, "upgrades": {0: one_to_two, 1: one_to_two}}, "end at 1"),
        ({"version": 2, "upgrades": {1: "one_to_two"}}, "plain functions"),
    ],
)
def test_declarations_that_cannot_work(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        Data(Talk, **options)


def test_an_upgrade_that_would_have_to_wait_is_refused() -> None:
    async def upgrade(data: Any) -> Any:
        return data

    with pytest.raises(ConfigurationError, match="plain functions"):
        Data(Talk, version=2, upgrades={1: upgrade})
    with pytest.raises(ConfigurationError, match=r"Data\.type"):
        Data("Talk")  # type: ignore[arg-type]


def test_head_on_the_wire() -> None:
    """The bytes that other programs, and later versions of this one, have to find."""
    assert encode([1], version=515) == b"\xc1v\x02\x03\x91\x01"
    assert decode(b"\xc1v\x02\x03\x91\x01", None, "x") == [1]
    assert version_of(b"\xc1v\x02\x03\x91\x01") == 515
    assert (version_of(b"\x91\x01"), version_of(b"")) == (1, 1)

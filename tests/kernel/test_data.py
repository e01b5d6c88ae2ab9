"""Session data: JSON-like values, structs and dataclasses of a kind, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from insession import DataUnreadable, Engine, InvalidInput, Kind
from insession.stores.memory import MemoryStore
from insession.testing.clock import ManualClock

from .samples import Basket, Draft


@pytest.mark.parametrize(
    "data",
    [None, True, 0, -(2**63), 2**64 - 1, 1.5, "", "zweite Zeile\n", "三", b"\x00\xff", [], {}, {"a": [{"b": None}]}],
)
async def test_json_like_values_come_back(engine: Engine, data: Any) -> None:
    session = await engine.open(data=[data])
    assert (await engine.get(session.id)).data == [data]


async def test_none_is_no_data_at_open_and_a_value_in_an_update(engine: Engine) -> None:
    session = await engine.open(data=None)
    assert session.data == {}
    await session.update(None)
    assert (await engine.get(session.id)).data is None


async def test_a_struct_of_a_kind(engine: Engine, other: Engine) -> None:
    session = await engine.open(kind="draft", data=Draft("plan"))
    assert session.data == Draft("plan", 0)

    def add(draft: Draft) -> Draft:
        draft.pages += 1
        return draft

    assert await session.update(add) == Draft("plan", 1)
    assert (await other.get(session.id)).data == Draft("plan", 1)


async def test_a_dataclass_of_a_kind(engine: Engine) -> None:
    session = await engine.open(kind="basket", data=Basket(["tea"]))
    await session.update(lambda basket: Basket([*basket.items, "milk"], paid=True))
    assert (await engine.get(session.id)).data == Basket(["tea", "milk"], paid=True)


@pytest.mark.parametrize("data", [None, {"title": "plan"}, Basket([])])
async def test_data_of_another_type_is_refused(engine: Engine, data: object) -> None:
    with pytest.raises(InvalidInput, match="Draft") as raised:
        await engine.open(kind="draft", data=data)
    assert raised.value.field == "data"
    assert await engine.count(kind="draft") == 0


async def test_a_field_of_a_wrong_type_is_refused_before_it_is_kept(engine: Engine) -> None:
    wrong: Any = "three"
    with pytest.raises(InvalidInput) as raised:
        await engine.open(kind="draft", data=Draft("plan", pages=wrong))
    assert raised.value.field == "data"
    assert "three" not in str(raised.value)
    session = await engine.open(kind="draft", data=Draft("plan"))
    with pytest.raises(InvalidInput):
        await session.update(lambda draft: Draft(draft.title, wrong))
    assert (await engine.get(session.id)).data == Draft("plan")


def _nested(levels: int) -> list[Any]:
    data: list[Any] = []
    for _ in range(levels):
        data = [data]
    return data


@pytest.mark.parametrize(
    "data",
    [object(), lambda: 1, 2**64, "half \ud800", {"deep": _nested(100_000)}, {1, object()}],
    ids=["object", "function", "large number", "lone surrogate", "deep", "set of objects"],
)
async def test_what_cannot_be_kept_is_refused_and_nothing_changes(engine: Engine, data: Any) -> None:
    with pytest.raises(InvalidInput) as raised:
        await engine.open(data=data)
    assert raised.value.field == "data"
    session = await engine.open(data=1)
    with pytest.raises(InvalidInput):
        await session.update(lambda _: data)
    assert await engine.count() == 1
    assert (await engine.get(session.id)).data == 1


async def test_data_has_a_size(clock: ManualClock) -> None:
    async with Engine(MemoryStore(clock=clock), clock=clock, most_data=100) as engine:
        session = await engine.open(data="x" * 98)
        with pytest.raises(InvalidInput, match="100") as raised:
            await session.update("x" * 99)
        assert raised.value.field == "data"
        with pytest.raises(InvalidInput):
            await engine.items.put("notes/1", "x" * 99)
        assert (await engine.get(session.id)).data == "x" * 98


async def test_data_that_another_type_wrote_says_so_and_stays(clock: ManualClock) -> None:
    store = MemoryStore(clock=clock)
    async with (
        Engine(store, clock=clock) as writer,
        Engine(store, clock=clock, kinds=[Kind("draft", data=Draft)]) as reader,
    ):
        session = await writer.open(kind="draft", data={"title": 5})
        again = await reader.get(session.id)
        with pytest.raises(DataUnreadable) as raised:
            _ = again.data
        assert raised.value.key == session.id
        with pytest.raises(DataUnreadable):
            await again.update(lambda draft: draft)
        assert again.state == "active"
        assert (await writer.get(session.id)).data == {"title": 5}

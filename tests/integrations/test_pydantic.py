"""Pydantic models as data: kept as JSON-like values, validated when read, with versions like any other type."""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel, ConfigDict, Field, computed_field

from insession import ConfigurationError, Data, DataUnreadable, Engine, InvalidInput, Kind
from insession.integrations.pydantic import ModelData
from insession.stores.memory import MemoryStore
from insession.testing.clock import ManualClock, settle


class Mood(enum.Enum):
    FINE = "fine"


class Line(BaseModel):
    text: str
    at: dt.datetime


class Chat(BaseModel):
    model_config = ConfigDict(strict=True)

    lines: list[Line]
    mood: Mood = Mood.FINE
    price: Decimal = Decimal("1.10")
    id: UUID = UUID(int=7)
    file: Path = Path("a/b")
    user_name: str = Field(default="ann", alias="userName")

    @computed_field
    def length(self) -> int:
        return len(self.lines)


def one_to_two(data: dict[str, Any]) -> dict[str, Any]:
    return {"lines": [{"text": data["text"], "at": "2026-01-02T03:04:05Z"}]}


AT = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
KIND = Kind("chat", data=ModelData(Chat, version=2, upgrades={1: one_to_two}))


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore(clock=ManualClock())


@pytest.fixture
async def engine(store: MemoryStore) -> AsyncIterator[Engine]:
    async with Engine(store, kinds=[KIND], clock=ManualClock()) as engine:
        yield engine


async def test_comes_back_as_it_was(engine: Engine) -> None:
    chat = Chat(lines=[Line(text="hi", at=AT)], userName="bob")
    session = await engine.open(kind="chat", data=chat)
    assert (await engine.get(session.id)).data == chat
    await session.update(lambda data: data.model_copy(update={"lines": []}))
    assert (await engine.get(session.id)).data.lines == []


async def test_older_data_is_upgraded(engine: Engine, store: MemoryStore) -> None:
    async with Engine(store, clock=ManualClock()) as old:
        session = await old.open(kind="chat", data={"text": "hi"})
    assert (await engine.get(session.id)).data == Chat(lines=[Line(text="hi", at=AT)])


async def test_what_is_no_such_model_is_refused(engine: Engine) -> None:
    with pytest.raises(InvalidInput, match="is a Chat for kind 'chat'"):
        await engine.open(kind="chat", data={"lines": []})
    chat = Chat(lines=[])
    chat.user_name = 5  # type: ignore[assignment]
    with pytest.raises(InvalidInput, match="userName"):
        await engine.open(kind="chat", data=chat)
    assert await engine.count() == 0


async def test_what_does_not_validate_says_where_and_no_value(engine: Engine, store: MemoryStore) -> None:
    async with Engine(store, kinds=[Kind("chat", data=Data(dict, version=2))], clock=ManualClock()) as other:
        session = await other.open(kind="chat", data={"lines": [{"text": "hunter2"}], "hunter3": 1})
    with pytest.raises(DataUnreadable, match=r"1 of its fields are wrong, the first is lines \(missing\)") as raised:
        _ = (await engine.get(session.id)).data
    assert "hunter" not in str(raised.value)
    await settle()
    assert (await engine.get(session.id)).state == "active"


def test_declarations_that_cannot_work() -> None:
    with pytest.raises(ConfigurationError, match="ModelData"):
        Kind("chat", data=Chat)
    with pytest.raises(ConfigurationError, match="is a pydantic model"):
        ModelData(dict)  # type: ignore[type-var]

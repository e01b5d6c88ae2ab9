"""The dimensions of a turn, and the memories that are found by them."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from insession import ConfigurationError, InvalidInput
from insession.dialogue import Dialogue, Message, Registry, Scope, memory
from insession.dialogue.scope import DIMENSIONS, memory_id, scope_of
from insession.testing.clock import ManualClock

from .conftest import Make
from .reading import everything
from .samples import AllBots, Draft, Everyone, Today, UserInfo, message

NOON = datetime(2026, 1, 1, 12, 34, 56, tzinfo=UTC).timestamp()
IDS = ("s1", "c1", "bot", "t1")


@pytest.mark.requirement("D15", "D63")
async def test_fifteen_dimensions_of_the_messages_time_and_zone(dialogue: Dialogue) -> None:
    said = message(at=NOON, zone="Asia/Shanghai", platform="web", message_id="m1")
    async with dialogue.turn(said) as session:
        scope = session.scope
        assert scope.as_dict() == {
            "session_id": session.id,
            "user_id": "ann",
            "platform": "web",
            "bot": "bot",
            "chat_id": session.chat_id,
            "turn_id": session.conversation.id,
            "message_id": "m1",
            "date": "2026-01-01",
            "year": "2026",
            "month": "01",
            "day": "01",
            "week": "01",
            "week_day": "4",
            "hour": "20",
            "minute": "34",
        }
        assert json.loads(scope.as_json()) == scope.as_dict()
        assert len(DIMENSIONS) == 15
        with pytest.raises(AttributeError):
            scope.user_id = "bob"  # type: ignore[misc]


@pytest.mark.requirement("D15")
@pytest.mark.parametrize(("field", "value"), [("zone", "Mars/Olympus"), ("at", 1e40), ("at", "noon")])
async def test_a_time_or_zone_that_is_none(opened: Make, field: str, value: Any) -> None:
    dialogue: Dialogue = await opened()
    with pytest.raises(InvalidInput) as raised:
        async with dialogue.turn(message(**{field: value})):
            pass
    assert raised.value.field == field


def _scope(**fields: str) -> Scope:
    known = dict(zip(("session_id", "chat_id", "bot", "turn_id"), IDS, strict=True))
    return scope_of(Message(user_id=fields.pop("user_id", "ann")), tuple({**known, **fields}.values()), NOON)  # type: ignore[arg-type]


@pytest.mark.requirement("D16")
def test_ids_of_memories_are_the_same_in_every_process_and_version() -> None:
    scope = _scope()
    assert memory_id("UserInfo", ("bot", "user_id"), scope) == "f02283141a874e7e65661d8c9038860a"
    code = (
        "from insession.dialogue import Message\nfrom insession.dialogue.scope import memory_id, scope_of\n"
        f"scope = scope_of(Message(user_id='ann'), {IDS!r}, {NOON})\n"
        "print(memory_id('UserInfo', ('bot', 'user_id'), scope))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == memory_id("UserInfo", ("bot", "user_id"), scope)


@pytest.mark.requirement("D16")
@given(st.text(min_size=1, max_size=20), st.text(min_size=1, max_size=20), st.randoms())
def test_no_two_scopes_run_together(one: str, other: str, order: random.Random) -> None:
    names = ["user_id", "chat_id", "bot"]
    order.shuffle(names)
    registry = Registry()

    @memory(scope=names, registry=registry)
    class Kept(Struct):
        value: int = 0

    kept = registry.of(Kept).scope
    first = memory_id("Kept", kept, _scope(user_id="a", chat_id=one))
    assert first == memory_id("Kept", ("bot", "chat_id", "user_id"), _scope(user_id="a", chat_id=one))
    same = one == other
    assert (first == memory_id("Kept", kept, _scope(user_id="a", chat_id=other))) is same
    assert first != memory_id("Kept", kept, _scope(user_id=f"a:chat_id:{one}", chat_id="c"))
    assert first != memory_id("Kep", kept, _scope(user_id="a", chat_id=one))


@pytest.mark.requirement("D17")
def test_an_unknown_dimension_is_an_error_where_the_class_is_defined() -> None:
    with pytest.raises(ConfigurationError, match="did you mean 'user_id'"):

        @memory(scope=("userid",), registry=Registry())
        class Wrong(Struct):
            pass

    with pytest.raises(ConfigurationError, match="several names"):
        memory(scope="user_id", registry=Registry())(type("Wrong", (Struct,), {}))


@pytest.mark.requirement("D18")
async def test_an_empty_scope_is_one_of_each_type(dialogue: Dialogue) -> None:
    async with dialogue.turn(message()) as session:
        (await session.get(Everyone)).count = 7
    async with dialogue.turn(message(user="bob", bot="other")) as session:
        assert (await session.get(Everyone)).count == 7
        assert (await session.get(AllBots)).count == 0


@pytest.mark.requirement("D19")
async def test_who_sees_a_memory(dialogue: Dialogue, clock: ManualClock) -> None:
    async with dialogue.turn(message(chat_id="one")) as session:
        (await session.get(UserInfo)).name = "Ann"
        (await session.get(Draft)).text = "dear"
    async with dialogue.turn(message(chat_id="two")) as session:
        assert (await session.get(UserInfo)).name == "Ann"
        assert (await session.get(Draft)).text == ""
    async with dialogue.turn(message(chat_id="three", bot="other")) as session:
        assert (await session.get(UserInfo)).name is None
    async with dialogue.turn(message(chat_id="three", user="bob")) as session:
        assert (await session.get(UserInfo)).name is None
    async with dialogue.turn(message(chat_id="one")) as session:
        assert (await session.get(Draft)).text == "dear"
        session.quit()
    async with dialogue.turn(message(chat_id="one")) as session:
        assert (await session.get(Draft)).text == ""


@pytest.mark.requirement("D19")
async def test_a_memory_of_the_day_is_new_at_midnight(dialogue: Dialogue) -> None:
    before, after = NOON + 11 * 3600.0, NOON + 12 * 3600.0
    for at, known in ((before, 0), (before + 60.0, 1), (after, 0), (after + 60.0, 1)):
        async with dialogue.turn(message(at=at)) as session:
            today = await session.get(Today)
            assert today.visits == known
            today.visits = 1


@pytest.mark.requirement("D21")
async def test_a_default_that_nobody_changes_is_not_stored(dialogue: Dialogue) -> None:
    async with dialogue.turn(message()) as session:
        user = await session.get(UserInfo)
        user.name = "Ann"
        user.name = None
        await session.get(Draft)
    _, items = await everything(dialogue)
    assert not [key for key in items if key.endswith("/UserInfo")]
    assert b"Draft" not in (await everything(dialogue))[0][0].data

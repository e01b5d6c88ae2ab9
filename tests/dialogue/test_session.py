"""What a session is within its turn: its members, who finds it, and that it is no data."""

from __future__ import annotations

import asyncio
import copy
import json
import logging
import pickle
from typing import Any

import msgspec
import pytest

from insession import InvalidInput
from insession.dialogue import Dialogue, Meaning, Message, NotAdopted, Session, current_session

from .conftest import Make
from .samples import REGISTRY, Note, Order, message

MEMBERS = {
    *("id", "conversation", "message", "nlu", "log", "bot_config", "config", "contexts", "intents", "memories"),
    *("dialog", "scope", "memory", "repo", "tracker"),
}


@pytest.fixture(params=["memory"])
def store_name(request: pytest.FixtureRequest) -> str:
    """What is tested here touches no store."""
    name: str = request.param
    return name


@pytest.mark.requirement("D11")
@pytest.mark.parametrize(
    "serialize",
    [pickle.dumps, copy.copy, copy.deepcopy, json.dumps, msgspec.json.encode, msgspec.msgpack.encode],
    ids=["pickle", "copy", "deepcopy", "json", "msgspec.json", "msgspec.msgpack"],
)
async def test_a_session_cannot_be_serialized(dialogue: Dialogue, serialize: Any) -> None:
    async with dialogue.turn(message()) as session:
        with pytest.raises(TypeError) as raised:
            serialize(session)
    if serialize not in {json.dumps, msgspec.json.encode, msgspec.msgpack.encode}:
        assert "some data probably holds it" in str(raised.value)


@pytest.mark.requirement("D11")
@pytest.mark.parametrize("nested", [False, True])
async def test_data_that_holds_a_session_is_refused_with_its_path(dialogue: Dialogue, nested: bool) -> None:
    with pytest.raises(InvalidInput) as raised:
        async with dialogue.turn(message()) as session:
            note = await session.get(Note)
            note.anything = {"list": [1, session]} if nested else session
    assert raised.value.field == ("Note.anything['list'][1]" if nested else "Note.anything")
    async with dialogue.turn(message()) as session:
        assert (await session.get(Note)).anything is None


@pytest.mark.requirement("D12")
async def test_members_are_read_only_and_built_when_they_are_asked_for(opened: Make) -> None:
    understood: list[Message] = []

    async def understand(said: Message) -> Meaning:
        understood.append(said)
        return Meaning(possible={"Greeting": 0.9}, entities={"name": "Ann"}, raw="raw")

    dialogue: Dialogue = await opened(understand=understand, bot_config={"voice": "alto"}, bot="robo")
    async with dialogue.turn(message("hello")) as session:
        for member in MEMBERS:
            with pytest.raises(AttributeError):
                setattr(session, member, None)
            assert getattr(session, member) is getattr(session, member)
        with pytest.raises(AttributeError):
            getattr(session, "no_such_member")  # noqa: B009 - a type checker knows that it is not there
        with pytest.raises(AttributeError):
            setattr(session, "no_such_member", 1)  # noqa: B010 - a type checker knows that it is not there
        assert understood == []
        assert (await session.nlu.understood()).possible == {"Greeting": 0.9}
        await session.nlu.understood()
        assert understood == [session.message]
        assert session.bot_config["voice"] == "alto"
        assert session.config["bot"] == "robo"
        assert session.conversation.messages == (session.message,)
        assert session.contexts["Order"].cls is Order
        assert "UserInfo" in session.memories
        assert "Order" not in session.memories
        assert "navigation.home" in session.intents
        assert await session.memory["UserInfo"] is await session.get("UserInfo")
    async with dialogue.turn(message("again")):
        pass
    assert len(understood) == 1


@pytest.mark.requirement("D13")
async def test_the_innermost_session_is_the_current_one(dialogue: Dialogue) -> None:
    with pytest.raises(LookupError):
        current_session()
    async with dialogue.turn(message()) as outer:
        assert current_session() is outer
        assert outer.dialog.session is outer
        async with outer.nested("quiz", Order) as inner:
            assert current_session() is inner
            assert inner is not outer
            assert inner.dialog.session is inner
        assert current_session() is outer
    with pytest.raises(LookupError):
        current_session()


@pytest.mark.requirement("D13")
async def test_tasks_do_not_see_each_others_sessions(dialogue: Dialogue) -> None:
    both = asyncio.Barrier(8)

    async def turn(user: str) -> None:
        async with dialogue.turn(message(user=user)) as session:
            for _ in range(3):
                await both.wait()
                assert current_session() is session
                assert current_session().message.user_id == user

    await asyncio.gather(*(turn(f"user{number}") for number in range(8)))


@pytest.mark.requirement("D14")
async def test_log_records_carry_their_ids(dialogue: Dialogue, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "insession.dialogue"):
        async with dialogue.turn(message()) as session:
            session.log.info("a %s", "line", extra={"step": 3})
            ids = (session.id, session.chat_id, session.conversation.id)
    (record,) = caplog.records
    said: dict[str, Any] = vars(record)
    assert record.getMessage() == "a line"
    assert (said["session_id"], said["chat_id"], said["turn_id"], said["step"]) == (*ids, 3)


@pytest.mark.requirement("D63")
async def test_a_session_class_of_ones_own(opened: Make) -> None:
    class Mine(Session):
        __slots__ = ()

        def shout(self) -> None:
            self.reply(self.message.text.upper())

    dialogue: Dialogue = await opened(session_class=Mine)
    async with dialogue.turn(message("hi")) as session:
        assert isinstance(session, Mine)
        session.shout()
        assert [reply.text for reply in session.replies] == ["HI"]


async def test_what_its_methods_cannot_take(dialogue: Dialogue) -> None:
    async with dialogue.turn(message()) as session:
        wrong: Any = session
        for reason in ("", "x" * 300, 3):
            with pytest.raises(InvalidInput, match="reason"):
                wrong.quit(reason)
        for reference in (None, "Order:1", Order()):
            with pytest.raises(InvalidInput, match="reference"):
                await wrong.resolve(reference)
        with pytest.raises(InvalidInput, match="turns"):
            await wrong.backward(0)
        with pytest.raises(InvalidInput, match="name"):
            await session.nested("a/b", Order).__aenter__()
        for cls in (3, int):
            with pytest.raises(NotAdopted, match="not registered"):
                await wrong.get(cls)
        assert not session.quitting


@pytest.mark.requirement("D61")
async def test_data_knows_its_session(dialogue: Dialogue) -> None:
    async with dialogue.turn(message()) as session:
        order = await session.get(Order)
        assert order.session is session  # type: ignore[attr-defined]
        new = Order()
        with pytest.raises(NotAdopted):
            new.session  # type: ignore[attr-defined]  # noqa: B018
        assert new.to_instance(session) is new  # type: ignore[attr-defined]
        assert new.session is session
    assert "Order" in REGISTRY

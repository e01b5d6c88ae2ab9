"""The life of a dialogue's session: from its first turn to its end, and what is saved of each turn."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from insession import Expired, InvalidInput, SessionEnded
from insession.dialogue import DataLost, Dialogue, Ref, Reply
from insession.kernel.operations import End, Pick
from insession.kernel.rules import expiry
from insession.testing.clock import ManualClock

from .conftest import Make
from .reading import engine_of, everything, lease_names
from .samples import REGISTRY, Draft, Order, UserInfo, message


async def fruit_of(dialogue: Dialogue, **fields: str) -> str | None:
    async with dialogue.turn(message(**fields)) as session:
        session.sneak()
        return (await session.get(Order)).fruit


@pytest.mark.requirement("D1")
async def test_one_live_session_of_a_chat_with_an_id_of_its_own(dialogue: Dialogue, clock: ManualClock) -> None:
    ids = []
    for text in ("one", "two", "bye", "three", "four"):
        async with dialogue.turn(message(text)) as session:
            ids.append(session.id)
            if text == "bye":
                session.quit()
    clock.set(clock.now() + 3600.0)
    async with dialogue.turn(message()) as session:
        ids.append(session.id)
    first, again, bye, second, also, third = ids
    assert first == again == bye
    assert second == also
    assert len({first, second, third}) == 3
    async with dialogue.turn(message(user="bob")) as session:
        assert session.id not in ids


@pytest.mark.requirement("D2")
async def test_the_next_turn_may_be_in_another_process(opened: Make) -> None:
    one, two = await opened(), await opened()
    async with one.turn(message()) as session:
        (await session.get(Order)).fruit = "kiwi"
        session_id = session.id
    async with two.turn(message()) as session:
        assert session.id == session_id
        assert (await session.get(Order)).fruit == "kiwi"


@pytest.mark.requirement("D3")
async def test_nothing_is_saved_before_the_end_of_the_turn(dialogue: Dialogue) -> None:
    async with dialogue.turn(message()) as session:
        (await session.get(Order)).fruit = "kiwi"
    before = await everything(dialogue)
    async with dialogue.turn(message()) as session:
        (await session.get(Order)).fruit = "pear"
        (await session.get(UserInfo)).name = "Ann"
        await session.update(UserInfo, lambda user: setattr(user, "seen", 1))
        assert await everything(dialogue) == before
    assert await everything(dialogue) != before


@pytest.mark.requirement("D4")
async def test_a_turn_that_raises_changes_nothing(opened: Make) -> None:
    sent: list[Reply] = []

    async def send(_: object, replies: tuple[Reply, ...]) -> None:
        sent.extend(replies)

    dialogue: Dialogue = await opened(send=send)
    async with dialogue.turn(message()) as session:
        (await session.get(Order)).fruit = "kiwi"
    before = await everything(dialogue)
    fault = RuntimeError("the body's own")
    with pytest.raises(RuntimeError) as raised:
        async with dialogue.turn(message()) as session:
            (await session.get(Order)).fruit = "pear"
            (await session.get(UserInfo)).name = "Ann"
            session.reply("never said")
            raise fault
    assert raised.value is fault
    assert await everything(dialogue) == before
    assert sent == []
    assert await fruit_of(dialogue) == "kiwi"
    assert await lease_names(dialogue) == []


@pytest.mark.requirement("D5")
@pytest.mark.parametrize("how", ["cancelled", "timed out"])
async def test_a_turn_that_is_cancelled_changes_nothing(dialogue: Dialogue, how: str) -> None:
    async with dialogue.turn(message()) as session:
        (await session.get(Order)).fruit = "kiwi"
    before = await everything(dialogue)
    inside = asyncio.Event()

    async def turn() -> None:
        async with dialogue.turn(message()) as session:
            (await session.get(Order)).fruit = "pear"
            inside.set()
            await asyncio.get_running_loop().create_future()

    task = asyncio.ensure_future(turn() if how == "cancelled" else asyncio.wait_for(turn(), 0.05))
    await inside.wait()
    if how == "cancelled":
        task.cancel()
    with pytest.raises(asyncio.CancelledError if how == "cancelled" else TimeoutError):
        await task
    assert await everything(dialogue) == before
    assert await fruit_of(dialogue) == "kiwi"


@pytest.mark.requirement("D6")
async def test_quit_ends_the_session_and_keeps_wider_memory(dialogue: Dialogue) -> None:
    async with dialogue.turn(message()) as session:
        (await session.get(Order)).fruit = "kiwi"
        (await session.get(Draft)).text = "half a"
        first = session.id
    async with dialogue.turn(message("bye")) as session:
        (await session.get(UserInfo)).name = "Ann"
        session.quit()
        assert session.quitting
    async with dialogue.turn(message()) as session:
        assert session.id != first
        assert (await session.get(Order)).fruit is None
        assert (await session.get(Draft)).text == ""
        assert (await session.get(UserInfo)).name == "Ann"


@pytest.mark.requirement("D6")
async def test_a_session_of_one_turn_leaves_no_record(dialogue: Dialogue) -> None:
    async with dialogue.turn(message("bye", message_id="m1")) as session:
        session.quit()
    records, items = await everything(dialogue)
    assert records == []
    assert [key.rpartition("/")[2] for key in items] == ["turns"]


@pytest.mark.requirement("D6", "D28")
async def test_data_that_is_lost_ends_the_session_with_an_apology(opened: Make) -> None:
    sent: list[str] = []

    async def send(_: object, replies: tuple[Reply, ...]) -> None:
        sent.extend(reply.text for reply in replies)

    dialogue: Dialogue = await opened(send=send, apology="sorry")
    async with dialogue.turn(message()) as session:
        (await session.get(Order)).fruit = "kiwi"
        first = session.id
    with pytest.raises(DataLost) as raised:
        async with dialogue.turn(message()) as session:
            session.reply("never said")
            await session.resolve(Ref[Order]("Order:0123"))
    assert raised.value.identity == "Order:0123"
    assert sent == ["sorry"]
    async with dialogue.turn(message()) as session:
        assert session.id != first
        assert (await session.get(Order)).fruit is None


@pytest.mark.requirement("D7")
async def test_it_expires_so_long_after_its_last_turn(opened: Make, clock: ManualClock) -> None:
    dialogue: Dialogue = await opened(expire=100.0)
    ids = []
    for _ in range(5):
        async with dialogue.turn(message()) as session:
            ids.append(session.id)
        clock.set(clock.now() + 99.0)
    assert len(set(ids)) == 1
    clock.set(clock.now() + 1.0)
    async with dialogue.turn(message()) as session:
        assert session.id not in ids


@pytest.mark.requirement("D7")
@pytest.mark.parametrize("told", ["at once", "at the end"])
async def test_a_turn_that_is_longer_than_the_expiry_is_told(opened: Make, clock: ManualClock, told: str) -> None:
    sent: list[object] = []

    async def send(_: object, replies: tuple[Reply, ...]) -> None:
        sent.append(replies)

    dialogue: Dialogue = await opened(expire=100.0, lease=1000.0, send=send)
    async with dialogue.turn(message()) as session:
        (await session.get(Order)).fruit = "kiwi"
    with pytest.raises(Expired):
        async with dialogue.turn(message()) as session:
            (await session.get(Order)).fruit = "pear"
            session.reply("too late")
            if told == "at once":
                # As the reaper does, here or in another process.
                engine = engine_of(dialogue)
                await engine._ask(End(Pick("due", most=9), expiry(clock.now() + 101.0, engine._change(), engine.name)))
                await asyncio.get_running_loop().create_future()
            clock.set(clock.now() + 101.0)
    assert sent == []
    assert await fruit_of(dialogue) is None


@pytest.mark.requirement("D7")
async def test_it_expires_at_its_greatest_age(opened: Make, clock: ManualClock) -> None:
    dialogue: Dialogue = await opened(expire=100.0, max_age=150.0)
    ids = []
    for _ in range(4):
        async with dialogue.turn(message()) as session:
            ids.append(session.id)
        clock.set(clock.now() + 60.0)
    assert ids[0] == ids[1] == ids[2] != ids[3]


@pytest.mark.requirement("D8")
async def test_it_may_never_expire(opened: Make, clock: ManualClock) -> None:
    dialogue: Dialogue = await opened(expire=None)
    async with dialogue.turn(message()) as session:
        first = session.id
    clock.set(clock.now() + 1e8)
    async with dialogue.turn(message()) as session:
        assert session.id == first


@pytest.mark.requirement("D8")
@pytest.mark.parametrize("expire", [0, -1.0, float("nan"), "soon"])
def test_an_expiry_that_cannot_be(expire: float) -> None:
    with pytest.raises(ValueError, match="expire"):
        Dialogue(expire=expire, registry=REGISTRY)


@pytest.mark.requirement("D9", "D67")
@pytest.mark.parametrize("when", ["first", "last"])
@pytest.mark.parametrize("there", [True, False])
async def test_a_sneaky_turn_writes_nothing(opened: Make, when: str, there: bool) -> None:
    sent: list[str] = []

    async def send(_: object, replies: tuple[Reply, ...]) -> None:
        sent.extend(reply.text for reply in replies)

    dialogue: Dialogue = await opened(send=send, outbox=True)
    if there:
        async with dialogue.turn(message(message_id="m0")) as session:
            (await session.get(Order)).fruit = "kiwi"
    before = await everything(dialogue)
    async with dialogue.turn(message("debug", message_id="m1")) as session:
        if when == "first":
            session.sneak()
        (await session.get(Order)).fruit = "pear"
        (await session.get(UserInfo)).name = "Ann"
        session.quit()
        session.reply("seen")
        if when == "last":
            session.sneak()
        assert session.handled
    assert await everything(dialogue) == before
    assert sent == ["seen"]


@pytest.mark.requirement("D10")
async def test_after_its_turn_a_session_says_its_id_and_nothing_else(dialogue: Dialogue) -> None:
    async with dialogue.turn(message()) as session:
        kept = session
        session_id = session.id
    assert kept.id == session_id
    members = (
        *("conversation", "message", "messages", "nlu", "log", "bot_config", "config", "contexts", "intents", "scene"),
        *("memories", "dialog", "scope", "memory", "repo", "tracker", "lost", "handled", "replies", "chat_id"),
    )
    for member in members:
        with pytest.raises(SessionEnded):
            getattr(kept, member)
    for call in (
        kept.sneak,
        kept.quit,
        kept.handle,
        kept.rewind,
        lambda: kept.reply("late"),
        lambda: kept.adopt(Order()),
    ):
        with pytest.raises(SessionEnded):
            call()
    with pytest.raises(SessionEnded):
        await kept.get(Order)


async def test_a_message_without_a_chat(dialogue: Dialogue) -> None:
    with pytest.raises(InvalidInput, match="chat_id") as raised:
        async with dialogue.turn(message(user=None)):
            pass
    assert raised.value.field == "chat_id"


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("text", {"text": "half \ud800"}),
        ("text", {"text": 3}),
        ("kind", {"kind": "nonsense"}),
        ("platform", {"platform": "half \ud800"}),
        ("message_id", {"message_id": ""}),
    ],
)
async def test_a_message_that_cannot_be_taken(dialogue: Dialogue, field: str, fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput) as raised:
        await dialogue.handle(message(**fields))
    assert raised.value.field == field
    assert (await dialogue.handle(message(kind="event"))).replies  # its plain name will do


async def test_a_reply_that_cannot_be_sent(opened: Make) -> None:
    dialogue: Dialogue = await opened(outbox=True)
    for text in (3, "half \ud800"):
        with pytest.raises(InvalidInput) as raised:
            async with dialogue.turn(message()) as session:
                session.reply(text)  # type: ignore[arg-type]
        assert raised.value.field == "text"
    for data in (object(), "x" * (1 << 20)):
        with pytest.raises(InvalidInput, match="replies"):
            async with dialogue.turn(message()) as session:
                session.reply("kept until it is sent", data)
    assert await everything(dialogue) == ([], {})


async def test_more_data_than_a_store_takes(opened: Make) -> None:
    dialogue: Dialogue = await opened()
    async with dialogue.turn(message()) as session:
        (await session.get(Order)).fruit = "kiwi"
    for cls, field in ((Order, "fruit"), (UserInfo, "name")):
        with pytest.raises(InvalidInput, match="1048576") as raised:
            async with dialogue.turn(message()) as session:
                setattr(await session.get(cls), field, "x" * (1 << 20))
        assert raised.value.field == cls.__name__
    assert await fruit_of(dialogue) == "kiwi"
    merging: Dialogue = await opened(on_busy="merge")
    for said in (message("x" * (1 << 20)), message(data=object())):
        with pytest.raises(InvalidInput) as raised:
            await merging.handle(said)
        assert raised.value.field == "message"


async def test_somebody_ends_the_session_in_the_middle_of_a_turn(dialogue: Dialogue, clock: ManualClock) -> None:
    async with dialogue.turn(message()) as session:
        (await session.get(Order)).fruit = "kiwi"
    clock.set(clock.now() + 1.0)
    engine = engine_of(dialogue)
    with pytest.raises(SessionEnded, match="enough"):
        async with dialogue.turn(message()) as session:
            (await session.get(Order)).fruit = "pear"
            await engine.interrupt_all("enough", kind="dialogue")
            await asyncio.get_running_loop().create_future()
    assert await fruit_of(dialogue) is None

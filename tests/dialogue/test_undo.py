"""Turns that are taken back, and what a chat remembers of its turns."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import Struct

from insession import ConfigurationError
from insession.dialogue import Dialogue, Registry, Stage, context
from insession.testing.clock import ManualClock

from .conftest import Make
from .reading import everything
from .samples import Order, UserInfo, message


async def say(dialogue: Dialogue, fruit: str, **fields: str) -> None:
    async with dialogue.turn(message(fruit, **fields)) as session:
        (await session.get(Order)).fruit = fruit


async def fruit_of(dialogue: Dialogue) -> str | None:
    async with dialogue.turn(message()) as session:
        session.sneak()
        return (await session.get(Order)).fruit


@pytest.mark.requirement("D53")
async def test_a_turn_that_rewinds_was_not(dialogue: Dialogue) -> None:
    await say(dialogue, "kiwi")
    async with dialogue.turn(message()) as session:
        (await session.get(Order)).fruit = "pear"
        (await session.get(UserInfo)).name = "Ann"
        session.rewind()
    async with dialogue.turn(message()) as session:
        assert (await session.get(Order)).fruit == "kiwi"
        assert (await session.get(UserInfo)).name == "Ann"


@pytest.mark.requirement("D53")
async def test_a_stage_that_rewinds_takes_its_moves_back_too(opened: Make) -> None:
    registry = Registry()

    @context(registry=registry)
    class Steps(Struct):
        heard: list[str] = []

        def on_start(self, stage: Stage) -> Any:
            return stage.ask("first?", self.answered)

        def answered(self, dialog: Any) -> Any:
            self.heard.append(dialog.session.message.text)
            if dialog.session.message.text == "forget it":
                dialog.session.rewind()
            return dialog.next("second")

        def on_second(self, stage: Stage) -> Any:
            return stage.ask("second?")

    dialogue: Dialogue = await opened(root=Steps, registry=registry)
    for text in ("hi", "forget it"):
        await dialogue.handle(message(text))
    async with dialogue.turn(message("one")) as session:
        assert session.dialog.stage == "start"
        session.rewind()
        await session.dialog.hear()
        assert (session.dialog.stage, session.dialog.context.heard) == ("second", ["one"])


@pytest.mark.requirement("D53")
async def test_backward_within_a_turn(dialogue: Dialogue) -> None:
    await say(dialogue, "kiwi")
    await say(dialogue, "pear")
    async with dialogue.turn(message()) as session:
        assert (await session.get(Order)).fruit == "pear"
        assert await session.backward()
        assert (await session.get(Order)).fruit == "kiwi"
    assert await fruit_of(dialogue) == "kiwi"


@pytest.mark.requirement("D53")
async def test_undo_from_outside(dialogue: Dialogue, clock: ManualClock) -> None:
    for fruit in ("kiwi", "pear", "fig"):
        await say(dialogue, fruit)
    async with dialogue.turn(message()) as session:
        (await session.get(UserInfo)).name = "Ann"
    (record,), _ = await everything(dialogue)
    clock.set(clock.now() + 10.0)
    assert await dialogue.undo(message())
    (after,), _ = await everything(dialogue)
    assert after.touched == record.touched
    assert await fruit_of(dialogue) == "pear"
    assert await dialogue.undo(message())
    assert await fruit_of(dialogue) == "kiwi"
    assert not await dialogue.undo(message())
    async with dialogue.turn(message()) as session:
        assert (await session.get(UserInfo)).name == "Ann"


@pytest.mark.requirement("D53")
async def test_two_at_once_and_the_first_turn_of_all(dialogue: Dialogue) -> None:
    await say(dialogue, "kiwi")
    await say(dialogue, "pear")
    assert not await dialogue.undo(message(), 3)
    assert await dialogue.undo(message(), 2)
    assert await fruit_of(dialogue) is None
    assert not await dialogue.undo("no such chat")


@pytest.mark.requirement("D54")
@pytest.mark.parametrize("undo", [0, 1, 3])
async def test_what_is_kept_for_undo_is_bounded(opened: Make, undo: int) -> None:
    dialogue: Dialogue = await opened(undo=undo)
    for number in range(6):
        await say(dialogue, f"fruit {number}")
    for number in range(undo):
        assert await dialogue.undo(message())
        assert await fruit_of(dialogue) == f"fruit {4 - number}"
        await say(dialogue, f"fruit {4 - number}")
    _, items = await everything(dialogue)
    assert len([key for key in items if "/undo/" in key]) <= undo
    if not undo:
        assert not await dialogue.undo(message())


@pytest.mark.requirement("D54")
def test_a_number_that_cannot_be() -> None:
    for number in (-1, 21, "two"):
        with pytest.raises(ConfigurationError, match="undo"):
            Dialogue(undo=number)


@pytest.mark.requirement("D54")
async def test_going_backward_leaves_nothing_behind(opened: Make) -> None:
    dialogue: Dialogue = await opened(undo=2)
    for number in range(4):
        await say(dialogue, f"fruit {number}")
        async with dialogue.turn(message()) as session:
            await session.backward()
            (await session.get(Order)).lines.append(str(number))
    _, items = await everything(dialogue)
    assert len([key for key in items if "/undo/" in key]) <= 2


@pytest.mark.requirement("D55")
async def test_history(dialogue: Dialogue, clock: ManualClock) -> None:
    times = []
    for number in range(3):
        times.append(clock.now())
        await say(dialogue, "kiwi", message_id=f"m{number}")
        clock.set(clock.now() + 1.0)
    turns = await dialogue.history(message())
    assert [turn.messages for turn in turns] == [("m0",), ("m1",), ("m2",)]
    assert [turn.at for turn in turns] == pytest.approx(times)
    assert len({turn.id for turn in turns}) == 3
    assert await dialogue.history(message(user="bob")) == []
    clock.set(clock.now() + 86_400.0)
    assert await dialogue.history(message()) == []


@pytest.mark.requirement("D55", "D70")
async def test_a_hundred_turns_are_remembered(dialogue: Dialogue, clock: ManualClock) -> None:
    for number in range(130):
        await say(dialogue, "kiwi", message_id=f"m{number}")
    turns = await dialogue.history(message())
    assert [turn.messages for turn in turns] == [(f"m{number}",) for number in range(30, 130)]
    for known in (30, 60, 119, 120, 129):
        assert (await dialogue.handle(message("again", message_id=f"m{known}"))).repeated
    clock.set(clock.now() + 86_400.0)
    for forgotten in (10, 60, 129):
        assert not (await dialogue.handle(message("again", message_id=f"m{forgotten}"))).repeated
    _, items = await everything(dialogue)
    assert all(len(item.data) < 2_000 for key, item in items.items() if key.endswith("/turns"))

"""Contexts and their stages: where a dialogue stands, and how it moves."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import Struct

from insession import ConfigurationError, InvalidInput
from insession.dialogue import Dialogue, NotAdopted, RedirectLoop, Registry, Stage, context

from .conftest import Make
from .reading import everything
from .samples import command, message

REGISTRY = Registry()


@pytest.fixture(params=["memory", "sqlite"])
def store_name(request: pytest.FixtureRequest) -> str:
    """Where a dialogue stands is part of the session's data, which `test_life` has on every store."""
    name: str = request.param
    return name


@context(registry=REGISTRY)
class Address(Struct):
    """Where to."""

    street: str = ""

    async def on_start(self, stage: Stage) -> Any:
        return stage.ask("which street?", into="street")


@context(registry=REGISTRY)
class Pizza(Struct):
    """An order."""

    size: str = ""
    street: str = ""

    async def on_start(self, stage: Stage) -> Any:
        return stage.talk(lambda dialog: dialog.say("what size?"), self.sized)

    def sized(self, dialog: Any) -> Any:
        if dialog.session.message.text not in {"small", "large"}:
            return None
        self.size = dialog.session.message.text
        return dialog.next("address", "confirm")

    async def on_address(self, stage: Stage) -> Any:
        return stage.depend_on(Address, self.addressed)

    async def addressed(self, dialog: Any, address: Address | None) -> Any:
        if address is None:
            dialog.say("never mind")
            return dialog.cancel()
        self.street = address.street
        return dialog.next()

    async def on_confirm(self, stage: Stage) -> Any:
        return stage.ask(f"{self.size} to {self.street}?", lambda dialog: dialog.fulfil())


@context(registry=REGISTRY)
class Circle(Struct):
    """It goes round and round."""

    async def on_start(self, stage: Stage) -> Any:
        return stage.next("start")


@context(registry=REGISTRY)
class Faulty(Struct):
    """It gives no navigator, or names a stage that is not there."""

    async def on_start(self, stage: Stage) -> Any:
        if stage.dialog.session.message.text == "nothing":
            return None
        if stage.dialog.session.message.text == "a text":
            return stage.talk(lambda dialog: "how are you?")  # type: ignore[arg-type, return-value]
        return stage.next("strat")


@context(registry=REGISTRY)
class Straight(Struct):
    """It goes through three stages without a question."""

    steps: int = 0

    def on_start(self, stage: Stage) -> Any:
        self.steps += 1
        return stage.next("middle", "end")

    def on_middle(self, stage: Stage) -> Any:
        self.steps += 1
        return stage.next()

    def on_end(self, stage: Stage) -> Any:
        stage.dialog.say(f"{self.steps + 1} steps")
        return stage.redirect(Address)


async def say(dialogue: Dialogue, text: str, **fields: Any) -> list[str]:
    return [reply.text for reply in (await dialogue.handle(message(text, **fields))).replies]


@pytest.mark.requirement("D60", "D2")
async def test_stages_questions_and_dependence(opened: Make) -> None:
    one, two = [await opened(root=Pizza, registry=REGISTRY, missed="pardon?", farewell="bye") for _ in range(2)]
    assert await say(one, "hi") == ["what size?"]
    assert await say(two, "huge") == ["pardon?"]
    assert await say(one, "large") == ["which street?"]
    assert await say(two, "Main Street 1") == ["large to Main Street 1?"]
    assert await say(one, "yes") == ["bye"]
    assert await say(two, "hi") == ["what size?"]


@pytest.mark.requirement("D60")
async def test_cancelling_what_is_depended_on(opened: Make) -> None:
    dialogue: Dialogue = await opened(root=Pizza, registry=REGISTRY, farewell="bye")
    await say(dialogue, "hi")
    await say(dialogue, "small")
    handled = await dialogue.handle(command("cancel"))
    assert [reply.text for reply in handled.replies] == ["never mind", "bye"]


@pytest.mark.requirement("D53", "D60")
async def test_backward_takes_the_data_along(opened: Make) -> None:
    dialogue: Dialogue = await opened(root=Pizza, registry=REGISTRY, undo=5)
    await say(dialogue, "hi")
    await say(dialogue, "small")
    assert await say(dialogue, "Main Street 1") == ["small to Main Street 1?"]
    for question in ("which street?", "what size?"):
        handled = await dialogue.handle(command("backward"))
        assert [reply.text for reply in handled.replies] == [question]
    await say(dialogue, "large")
    assert await say(dialogue, "Side Street 2") == ["large to Side Street 2?"]


@pytest.mark.requirement("D60")
async def test_stages_without_questions_and_redirection(opened: Make) -> None:
    dialogue: Dialogue = await opened(root=Straight, registry=REGISTRY)
    assert await say(dialogue, "hi") == ["3 steps", "which street?"]
    async with dialogue.turn(message()) as session:
        session.sneak()
        assert session.dialog.stage == "start"
        assert [one.partition(":")[0] for one in session.repo.state.data] == ["Address"]
        await session.dialog.hear(session.dialog.repeat())
        assert isinstance(session.dialog.context, Address)
        assert session.dialog.context.session is session  # type: ignore[attr-defined]
        assert session.tracker.steps == ["repeat start"]


@pytest.mark.requirement("D60", "D6")
async def test_more_than_twenty_redirects(opened: Make) -> None:
    dialogue: Dialogue = await opened(root=Circle, registry=REGISTRY, apology="sorry")
    assert await say(dialogue, "hi") == ["sorry"]
    with pytest.raises(RedirectLoop, match="20"):
        async with dialogue.turn(message()) as session:
            await session.dialog.hear()
    records, _ = await everything(dialogue)
    assert records == []


@pytest.mark.requirement("D60")
async def test_stages_that_are_not_there(opened: Make) -> None:
    dialogue: Dialogue = await opened(root=Faulty, registry=REGISTRY)
    with pytest.raises(ConfigurationError, match=r"Faulty: unknown stage 'strat'; did you mean 'start'"):
        await say(dialogue, "hi")
    with pytest.raises(ConfigurationError, match=r"Faulty\.on_start returned no navigator"):
        await say(dialogue, "nothing")
    with pytest.raises(ConfigurationError, match=r"Faulty: a function of stage 'start' gave a str"):
        await say(dialogue, "a text")


@pytest.mark.requirement("D57")
async def test_scenes(opened: Make) -> None:
    dialogue: Dialogue = await opened(root=Pizza, scenes={"address": Address}, registry=REGISTRY)
    handled = await dialogue.handle(message("hi"), scene="address")
    assert [reply.text for reply in handled.replies] == ["which street?"]
    assert await say(dialogue, "hi", user="bob") == ["what size?"]
    with pytest.raises(InvalidInput, match="did you mean 'address'"):
        await dialogue.handle(message("hi"), scene="adress")
    with pytest.raises(NotAdopted):
        Dialogue(root=type("Unknown", (Struct,), {}), registry=REGISTRY)


@pytest.mark.requirement("D56")
async def test_a_nested_dialogue_has_its_own_position_in_the_same_commit(opened: Make) -> None:
    dialogue: Dialogue = await opened(root=Pizza, registry=REGISTRY)
    async with dialogue.turn(message("hi")) as session:
        await session.dialog.hear()
        async with session.nested("survey", Address) as inner:
            await inner.dialog.hear()
            assert inner.id == session.id
        assert [reply.text for reply in session.replies] == ["what size?", "which street?"]
    async with dialogue.turn(message("Main Street 1")) as session:
        assert set(session.repo.positions) == {"", "survey"}
        async with session.nested("survey", Address) as inner:
            await inner.dialog.hear()
            assert inner.quitting
        assert not session.quitting
    async with dialogue.turn(message("small")) as session:
        assert set(session.repo.positions) == {""}
        await session.dialog.hear()
        assert [reply.text for reply in session.replies] == ["which street?"]


@pytest.mark.requirement("D56")
async def test_dialogues_two_deep(opened: Make) -> None:
    async def survey(session: Any, _: Any) -> Any:
        async with session.nested("survey", Pizza) as outer, outer.nested("address", Address) as inner:
            await (outer if outer.dialog.stage is None else inner).dialog.hear()
            if session.message.text == "enough":
                outer.quit()
        return session

    dialogue: Dialogue = await opened(root=Pizza, registry=REGISTRY, pipes=[survey], missed="pardon?")
    # What an inner one has answered is not missed.
    assert await say(dialogue, "hi") == ["what size?"]
    assert await say(dialogue, "hm") == ["which street?"]
    async with dialogue.turn(message()) as session:
        await session.dialog.hear()
        assert set(session.repo.positions) == {"", "survey", "survey/address"}
    assert await say(dialogue, "enough") == []
    async with dialogue.turn(message()) as session:
        assert set(session.repo.positions) == {""}
        assert session.dialog.stage == "start"


@pytest.mark.requirement("D61")
async def test_quitting_by_the_dialogue_or_the_session_is_the_same(opened: Make) -> None:
    dialogue: Dialogue = await opened(root=Pizza, registry=REGISTRY)
    for way in ("move", "dialog", "session"):
        async with dialogue.turn(message("hi")) as session:
            await session.dialog.hear()
            first = session.id
        async with dialogue.turn(message("bye")) as session:
            if way == "move":
                await session.dialog.hear(session.dialog.quit())
            elif way == "dialog":
                session.dialog.quit()
            else:
                session.quit()
            assert session.quitting
        async with dialogue.turn(message("hi")) as session:
            assert session.id != first
            session.quit()

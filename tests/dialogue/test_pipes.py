"""What a message goes through before the dialogue hears it."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import Struct

from insession import ConfigurationError, InvalidInput
from insession.dialogue import (
    STANDARD,
    Dialogue,
    Meaning,
    MessageKind,
    NavigationPipe,
    Registry,
    Reply,
    Session,
    Stage,
    context,
    events,
    intent,
    marked_intents,
    navigation,
)

from .conftest import Make
from .samples import command, message

REGISTRY = Registry()


@context(registry=REGISTRY)
class Question(Struct):
    """One question after another."""

    first: str = ""
    second: str = ""

    async def on_start(self, stage: Stage) -> Any:
        return stage.ask("first?", lambda dialog: self.heard(dialog.session.message.text) or dialog.next("second"))

    def heard(self, text: str) -> Any:
        self.first = text

    async def on_second(self, stage: Stage) -> Any:
        return stage.ask("second?", into="second")


@intent(name="help", registry=REGISTRY)
class Help(Struct):
    """What is there to be done."""

    topic: str = "all"

    def match(self, said: Any, nlu: Any) -> bool:
        return bool(said.text == "help")

    def navigate(self, dialog: Any) -> Any:
        if self.topic == "nothing":
            return None
        dialog.say(f"help on {self.topic}")
        return dialog.wait()


@pytest.fixture(params=["memory"])
def store_name(request: pytest.FixtureRequest) -> str:
    """What is tested here touches no store."""
    name: str = request.param
    return name


async def said(dialogue: Dialogue, *texts: str, **fields: Any) -> list[str]:
    """The replies to the last of some messages."""
    replies: tuple[Reply, ...] = ()
    for text in texts:
        replies = (await dialogue.handle(message(text, **fields))).replies
    return [reply.text for reply in replies]


@pytest.mark.requirement("D31", "D62")
async def test_pipes_go_in_their_order_and_back(opened: Make) -> None:
    steps: list[str] = []

    async def outer(session: Session, next: Any) -> Session:  # noqa: A002 - the document's word
        steps.append("outer")
        session = await next(session)
        steps.append("outer again")
        session.replies[:] = [Reply(session.replies[0].text.upper())]
        return session

    class Inner:
        async def handle(self, session: Session, next: Any) -> Session:  # noqa: A002 - the document's word
            steps.append("inner")
            return await next(session)  # type: ignore[no-any-return]

    dialogue: Dialogue = await opened(pipes=[outer, Inner()], root=Question, registry=REGISTRY)
    assert await said(dialogue, "hi") == ["FIRST?"]
    assert steps == ["outer", "inner", "outer again"]


@pytest.mark.requirement("D31")
async def test_a_pipe_may_stop_a_message_and_exceptions_pass(opened: Make) -> None:
    async def stop(session: Session, _: Any) -> Session:
        session.reply("no further")
        return session

    async def fail(session: Session, _: Any) -> Session:
        raise LookupError(session.message.text)

    stopped: Dialogue = await opened(pipes=[stop, fail], root=Question, registry=REGISTRY)
    assert await said(stopped, "hi") == ["no further"]
    failing: Dialogue = await opened(pipes=[fail], root=Question, registry=REGISTRY)
    with pytest.raises(LookupError, match="hi"):
        await failing.handle(message("hi", user="bob"))
    assert await failing.history(message(user="bob")) == []


@pytest.mark.requirement("D32")
@pytest.mark.parametrize("fault", ["returns nothing", "returns another", "calls next twice", "hands on another"])
async def test_a_pipe_that_breaks_its_promise(opened: Make, fault: str) -> None:
    async def pipe(session: Session, next: Any) -> Any:  # noqa: A002 - the document's word
        if fault == "hands on another":
            return await next(object())
        await next(session)
        if fault == "calls next twice":
            await next(session)
        return {"returns nothing": None, "returns another": object()}.get(fault, session)

    dialogue: Dialogue = await opened(pipes=[pipe], root=Question, registry=REGISTRY)
    with pytest.raises(ConfigurationError, match="pipe pipe"):
        await dialogue.handle(message("hi"))
    assert await dialogue.history(message()) == []


@pytest.mark.requirement("D33", "D59")
async def test_events_of_the_platform(opened: Make) -> None:
    dialogue: Dialogue = await opened(root=Question, registry=REGISTRY, missed="pardon?", farewell="bye")
    assert await said(dialogue, "start_session", kind=MessageKind.EVENT) == ["first?"]
    assert await said(dialogue, "one") == ["second?"]
    assert await said(dialogue, "connect", kind=MessageKind.EVENT) == ["second?"]
    assert await said(dialogue, "start_session", kind=MessageKind.EVENT) == ["first?"]
    assert await said(dialogue, "end_session", kind=MessageKind.EVENT) == ["bye"]
    assert await said(dialogue, "typing", kind=MessageKind.EVENT) == ["first?"]


@pytest.mark.requirement("D34")
@pytest.mark.parametrize("debug", [True, False])
async def test_marked_intents(opened: Make, debug: bool) -> None:
    async def understand(heard: Any) -> Meaning | None:
        return Meaning(intent="navigation.quit") if heard.data == "understood" else None

    dialogue: Dialogue = await opened(
        root=Question,
        registry=REGISTRY,
        debug=debug,
        understand=understand,
        pipes=[events, marked_intents, NavigationPipe([Help, *navigation.intents])],
    )
    assert await said(dialogue, "hi") == ["first?"]
    assert await said(dialogue, "#help#") == (["help on all"] if debug else ["second?"])
    assert await said(dialogue, "#no.such.intent#", user="bob") == ["first?"]
    assert await said(dialogue, "hi", "#help#", kind=MessageKind.EVENT, user="eve") == ["second?"]
    assert await said(dialogue, "hi", user="dan") == ["first?"]
    # What was understood goes before what is marked.
    assert await said(dialogue, "#help#", user="dan", data="understood") == ["Good-bye."]


@pytest.mark.requirement("D35", "D59", "D62")
async def test_navigation_goes_before_what_the_dialogue_is_about(opened: Make) -> None:
    dialogue: Dialogue = await opened(root=Question, registry=REGISTRY, farewell="bye")

    async def order(word: str) -> list[str]:
        return [reply.text for reply in (await dialogue.handle(command(word))).replies]

    await said(dialogue, "hi")
    assert await said(dialogue, "one") == ["second?"]
    assert await order("/repeat") == ["second?"]
    assert await order("backward") == ["first?"]
    assert await said(dialogue, "another one") == ["second?"]
    assert await order("#restart") == ["first?"]
    assert await said(dialogue, "one more") == ["second?"]
    assert await order("home") == ["first?"]
    assert await order("cancel") == ["bye"]
    assert await said(dialogue, "hi") == ["first?"]
    assert await order("quit") == ["bye"]


@pytest.mark.requirement("D35", "D62")
async def test_an_intent_that_does_not_move_lets_the_message_go_on(opened: Make) -> None:
    async def understand(_: Any) -> Meaning:
        return Meaning(intent="help", entities={"topic": "nothing", "unknown": 1})

    dialogue: Dialogue = await opened(
        root=Question, registry=REGISTRY, understand=understand, pipes=[NavigationPipe([Help])]
    )
    assert await said(dialogue, "hi") == ["first?"]
    plain: Dialogue = await opened(root=Question, registry=REGISTRY, pipes=[NavigationPipe([Help])])
    assert await said(plain, "hi", "help", user="bob") == ["help on all"]


async def test_entities_that_do_not_fit(opened: Make) -> None:
    async def understand(_: Any) -> Meaning:
        return Meaning(intent="help", entities={"topic": 3})

    pipes = [NavigationPipe([Help])]
    dialogue: Dialogue = await opened(root=Question, registry=REGISTRY, understand=understand, pipes=pipes)
    with pytest.raises(InvalidInput, match="help: the entities do not fit"):
        await dialogue.handle(message())


async def test_navigation_by_what_cannot_navigate(opened: Make) -> None:
    registry = Registry()

    @intent(registry=registry)
    class Silent(Struct):
        pass

    @context(registry=registry)
    class Other(Struct):
        pass

    for one in (Silent, "Other"):
        dialogue: Dialogue = await opened(registry=registry, pipes=[NavigationPipe([one])])
        with pytest.raises(ConfigurationError, match="navigate"):
            await dialogue.handle(message())


@pytest.mark.requirement("D36")
def test_the_order_of_the_standard_pipes() -> None:
    assert (events, marked_intents, navigation) == STANDARD
    assert Dialogue(root=Question, registry=REGISTRY).pipes == STANDARD
    assert [REGISTRY.of(one).name for one in navigation.intents] == [
        f"navigation.{word}" for word in ("home", "backward", "quit", "cancel", "repeat", "restart")
    ]


@pytest.mark.requirement("D37")
async def test_what_is_said_of_a_message_that_nobody_handled(opened: Make) -> None:
    silent: Dialogue = await opened(registry=REGISTRY, missed="pardon?", farewell="bye")
    assert await said(silent, "hi") == ["pardon?"]

    async def leave(session: Session, _: Any) -> Session:
        session.quit()
        return session

    leaving: Dialogue = await opened(registry=REGISTRY, pipes=[leave], farewell="bye")
    assert await said(leaving, "hi", user="bob") == ["bye"]
    quiet: Dialogue = await opened(registry=REGISTRY, missed=None)
    assert await said(quiet, "hi", user="eve") == []

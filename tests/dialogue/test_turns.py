"""Turns that meet: of one chat one after another, in the order of their messages, and nothing of a stale one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from insession.dialogue import (
    ChatBusy,
    Dialogue,
    Message,
    Reply,
    Session,
    TurnConflict,
    TurnLost,
    TurnMerged,
    TurnRepeated,
    TurnReplaced,
)
from insession.kernel.operations import Commit, Find, Guard, Patch
from insession.testing.clock import ManualClock, settle

from .conftest import REAL_CLOCK, Make
from .reading import engine_of, everything, lease_names
from .samples import Order, UserInfo, message


async def lines_of(dialogue: Dialogue) -> list[str]:
    async with dialogue.turn(message("look")) as session:
        session.sneak()
        return (await session.get(Order)).lines


async def add(dialogue: Dialogue, text: str, inside: list[str] | None = None) -> None:
    async with dialogue.turn(message(text)) as session:
        if inside is not None:
            inside.append(text)
            assert len(inside) == 1
        order = await session.get(Order)
        await settle(2)
        order.lines = [*order.lines, text]
        if inside is not None:
            inside.pop()


class Holding:
    """A turn that goes on until it is let go."""

    def __init__(self, dialogue: Dialogue, text: str = "held", **fields: Any) -> None:
        self.inside = asyncio.Event()
        self._go = asyncio.Event()
        self.lost = False
        self.heard: tuple[Message, ...] = ()
        self.task = asyncio.ensure_future(self._run(dialogue, message(text, **fields)))

    async def _run(self, dialogue: Dialogue, said: Message) -> None:
        async with dialogue.turn(said) as session:
            self.heard = session.messages
            (await session.get(Order)).lines.append(said.text)
            session.reply(said.text)
            self.inside.set()
            await self._go.wait()
            self.lost = session.lost

    async def end(self) -> None:
        self._go.set()
        await self.task


@pytest.mark.requirement("D41")
async def test_one_turn_of_a_chat_at_a_time_in_all_processes(opened: Make) -> None:
    dialogues = [await opened(**REAL_CLOCK), await opened(**REAL_CLOCK)]
    inside: list[str] = []
    await asyncio.gather(*(add(dialogues[number % 2], str(number), inside) for number in range(20)))
    assert sorted(await lines_of(dialogues[0]), key=int) == [str(number) for number in range(20)]


@pytest.mark.requirement("D44")
async def test_a_queue_is_first_come_first_served(opened: Make) -> None:
    dialogues = [await opened(**REAL_CLOCK), await opened(**REAL_CLOCK)]
    first = Holding(dialogues[0])
    await first.inside.wait()
    tasks = []
    for number in range(6):
        tasks.append(asyncio.ensure_future(add(dialogues[number % 2], str(number))))
        await waiting(dialogues[0], number + 1)
    await first.end()
    await asyncio.gather(*tasks)
    assert await lines_of(dialogues[0]) == ["held", *map(str, range(6))]


async def waiting(dialogue: Dialogue, number: int) -> None:
    """Wait until so many turns wait for the chat."""
    async with asyncio.timeout(20.0):
        while True:
            found = (await engine_of(dialogue).batcher.send(Find("lease", ""))).entries
            if sum(len(lease.waiting) for lease in found) >= number:
                return
            await asyncio.sleep(0.002)


@pytest.mark.requirement("D44", "D45")
async def test_rejecting_leaves_the_holder_alone(opened: Make) -> None:
    dialogue: Dialogue = await opened(on_busy="reject")
    first = Holding(dialogue)
    await first.inside.wait()
    for _ in range(3):
        with pytest.raises(ChatBusy):
            await add(dialogue, "refused")
    assert len(await lease_names(dialogue)) == 1
    await first.end()
    await settle()
    await add(dialogue, "next")
    assert await lines_of(dialogue) == ["held", "next"]


@pytest.mark.requirement("D44")
async def test_a_queue_that_is_full_and_a_wait_that_is_over(opened: Make) -> None:
    dialogue: Dialogue = await opened(max_queue=1, max_wait=0.2, **REAL_CLOCK)
    first = Holding(dialogue)
    await first.inside.wait()
    second = asyncio.ensure_future(add(dialogue, "second"))
    await waiting(dialogue, 1)
    with pytest.raises(ChatBusy):
        await add(dialogue, "third")
    with pytest.raises(ChatBusy):
        await second
    await first.end()
    assert await lines_of(dialogue) == ["held"]


@pytest.mark.requirement("D44")
async def test_a_newer_message_replaces_the_turn(opened: Make) -> None:
    sent: list[str] = []

    async def send(_: Message, replies: tuple[Reply, ...]) -> None:
        sent.extend(reply.text for reply in replies)

    dialogues = [await opened(on_busy="replace", send=send, **REAL_CLOCK) for _ in range(2)]
    first = Holding(dialogues[0], "old")
    await first.inside.wait()
    second = Holding(dialogues[1], "new")
    await second.inside.wait()
    await second.end()
    with pytest.raises(TurnReplaced):
        await first.task
    assert await lines_of(dialogues[0]) == ["new"]
    assert sent == ["new"]


@pytest.mark.requirement("D44")
async def test_waiting_messages_become_one_turn(opened: Make) -> None:
    dialogues = [await opened(on_busy="merge", lease=3.0, **REAL_CLOCK) for _ in range(2)]
    first = Holding(dialogues[0], message_id="m0")
    await first.inside.wait()
    others = []
    for number in range(1, 5):
        others.append(Holding(dialogues[number % 2], f"text {number}", message_id=f"m{number}"))
        await waiting(dialogues[0], number)
    await first.end()
    await others[0].inside.wait()
    assert [said.text for said in others[0].heard] == [f"text {number}" for number in range(1, 5)]
    await others[0].end()
    for other in others[1:]:
        with pytest.raises(TurnMerged):
            await other.task
    assert await lines_of(dialogues[0]) == ["held", "text 1"]
    with pytest.raises(TurnRepeated):
        async with dialogues[0].turn(message("again", message_id="m3")):
            pass
    assert (await dialogues[1].handle(message("again", message_id="m4"))).repeated


@pytest.mark.requirement("D42", "D43")
@pytest.mark.parametrize("on_lost", ["cancel", "tell"])
async def test_a_turn_whose_lease_is_lost_saves_and_sends_nothing(opened: Make, on_lost: str) -> None:
    sent: list[str] = []

    async def send(_: Message, replies: tuple[Reply, ...]) -> None:
        sent.extend(reply.text for reply in replies)

    dialogue: Dialogue = await opened(on_lost=on_lost, send=send, **REAL_CLOCK)
    other: Dialogue = await opened(**REAL_CLOCK)
    turn = Holding(dialogue)
    await turn.inside.wait()
    # Somebody takes the lease over, as an engine does whose store has let it run out.
    async with engine_of(other).lock((await lease_names(other))[0], displace=True, grace=0.05):
        if on_lost == "cancel":
            with pytest.raises(TurnConflict):
                await turn.task
        else:
            async with asyncio.timeout(20.0):
                while not next(iter(engine_of(dialogue).locks.held.values())).error:  # noqa: ASYNC110 - no event
                    await asyncio.sleep(0.002)
            assert not turn.task.done()
            with pytest.raises(TurnConflict):
                await turn.end()
            assert turn.lost
    assert await lines_of(other) == []
    assert sent == []


@pytest.mark.requirement("D42")
@pytest.mark.parametrize("store_name", ["memory", "sqlite"])  # those of a server follow its own clock
async def test_a_lease_is_renewed_while_the_turn_runs(opened: Make, clock: ManualClock) -> None:
    dialogue: Dialogue = await opened(lease=9.0)
    turn = Holding(dialogue)
    await turn.inside.wait()
    for _ in range(10):
        await clock.advance(3.0)
        await engine_of(dialogue).batcher.send()
        await settle(5)
    await turn.end()
    assert await lines_of(dialogue) == ["held"]


@pytest.mark.requirement("D43")
async def test_a_turn_over_data_that_somebody_else_has_changed(dialogue: Dialogue) -> None:
    await add(dialogue, "first")
    engine = engine_of(dialogue)
    with pytest.raises(TurnConflict):
        async with dialogue.turn(message()) as session:
            (await session.get(Order)).lines.append("stale")
            (await session.get(UserInfo)).name = "stale"
            (record,), _ = await everything(dialogue)
            patch = Patch(record.id, Guard.VERSION, record.version, data=record.data, kind=record.kind)
            await engine._ask(Commit(engine.clock.now(), "somebody", "else", (patch,)))
            before = await everything(dialogue)
    assert await everything(dialogue) == before


@pytest.mark.requirement("D46", "D51")
async def test_a_waiter_that_gives_up_blocks_nobody_and_nothing_is_left_of_idle_chats(opened: Make) -> None:
    dialogue: Dialogue = await opened(**REAL_CLOCK)
    first = Holding(dialogue)
    await first.inside.wait()
    gone = [asyncio.ensure_future(add(dialogue, "gone")) for _ in range(3)]
    await waiting(dialogue, 3)
    stays = asyncio.ensure_future(add(dialogue, "stays"))
    await waiting(dialogue, 4)
    for task in gone:
        task.cancel()
    await asyncio.gather(*gone, return_exceptions=True)
    await first.end()
    await stays
    assert await lines_of(dialogue) == ["held", "stays"]
    assert await lease_names(dialogue) == []
    assert (dialogue._leaving, dialogue.running) == ({}, {})
    assert engine_of(dialogue).locks.held == {}


@pytest.mark.requirement("D49", "D70")
async def test_a_message_is_answered_once(opened: Make, clock: ManualClock) -> None:
    one, two = await opened(), await opened()
    said = message("bye", message_id="m1")
    async with one.turn(said) as session:
        first = session.id
        session.quit()
    with pytest.raises(TurnRepeated):
        async with two.turn(said):
            pass
    assert (await two.handle(said)).repeated
    records, _ = await everything(two)
    assert records == []
    async with two.turn(message("hi", message_id="m2")) as session:
        assert session.id != first
    for number in range(99):
        async with one.turn(message(message_id=f"n{number}")):
            pass
    async with one.turn(said):
        """A hundred turns later it is a message as any other."""
    with pytest.raises(TurnRepeated):
        async with one.turn(message(message_id="n50")):
            pass
    clock.set(clock.now() + 86_400.0)
    async with one.turn(message(message_id="n50")):
        """So it is after a day."""


@pytest.mark.requirement("D49")
async def test_a_turn_that_failed_is_run_again(dialogue: Dialogue) -> None:
    said = message("hi", message_id="m1")
    with pytest.raises(ZeroDivisionError):
        async with dialogue.turn(said):
            1 / 0  # noqa: B018
    async with dialogue.turn(said) as session:
        session.reply("second try")
    with pytest.raises(TurnRepeated):
        async with dialogue.turn(said):
            pass


@pytest.mark.requirement("D50", "D69")
async def test_replies_go_out_after_the_commit_in_the_order_of_the_turns(opened: Make) -> None:
    sent: list[str] = []
    seen: list[list[str]] = []
    slow = asyncio.Event()

    async def send(said: Message, replies: tuple[Reply, ...]) -> None:
        (record,), _ = await everything(dialogue)
        seen.append([said.text, str(record.data.count(b"line "))])
        if said.text == "line 0":
            await slow.wait()
        sent.extend(reply.text for reply in replies)

    dialogue: Dialogue = await opened(send=send, **REAL_CLOCK)

    async def turn(text: str) -> None:
        async with dialogue.turn(message(text)) as session:
            (await session.get(Order)).lines.append(text)
            session.reply(f"{text}, heard")

    tasks = []
    for number in range(4):
        tasks.append(asyncio.ensure_future(turn(f"line {number}")))
        async with asyncio.timeout(20.0):
            while not number and not seen:  # noqa: ASYNC110 - the first reply is on its way
                await asyncio.sleep(0.002)
    await settle(20)
    assert sent == []
    slow.set()
    await asyncio.gather(*tasks)
    assert sent == [f"line {number}, heard" for number in range(4)]
    assert seen[0] == ["line 0", "1"]


@pytest.mark.requirement("D50")
async def test_the_outbox_sends_what_a_crash_has_left(opened: Make, clock: ManualClock) -> None:
    sent: list[str] = []

    async def crash(_: Message, replies: tuple[Reply, ...]) -> None:
        raise ConnectionError(replies[0].text)

    async def send(said: Message, replies: tuple[Reply, ...]) -> None:
        sent.extend(f"{said.user_id}: {reply.text}" for reply in replies)

    crashing: Dialogue = await opened(outbox=True, send=crash)
    for number in range(4):
        with pytest.raises(ConnectionError):
            async with crashing.turn(message(f"text {number}", message_id=f"m{number}")) as session:
                session.reply(f"answer {number}")
        clock.set(clock.now() + 1.0)
    silent: Dialogue = await opened(outbox=True)
    assert await silent.deliver() == 0
    sound: Dialogue = await opened(outbox=True, send=send)
    assert await sound.deliver() == 4
    assert sent == [f"ann: answer {number}" for number in range(4)]
    assert await sound.deliver() == 0
    async with sound.turn(message("third")) as session:
        session.reply("answer 4")
    assert sent[4:] == ["ann: answer 4"]
    _, items = await everything(sound)
    assert not [key for key in items if "/outbox/" in key]


@pytest.mark.requirement("D44")
async def test_merged_messages_through_the_pipes(opened: Make) -> None:
    async def answer(session: Session, _: Any) -> Session:
        session.reply(" and ".join(said.text for said in session.messages))
        return session

    dialogue: Dialogue = await opened(on_busy="merge", pipes=[answer], **REAL_CLOCK)
    first = Holding(dialogue)
    await first.inside.wait()
    tasks = []
    for number in range(3):
        tasks.append(asyncio.ensure_future(dialogue.handle(message(f"text {number}"))))
        await waiting(dialogue, number + 1)
    await first.end()
    handled = await asyncio.gather(*tasks)
    assert [reply.text for reply in handled[0].replies] == ["text 0 and text 1 and text 2"]
    assert [one.merged for one in handled] == [False, True, True]


@pytest.mark.requirement("D68")
@pytest.mark.parametrize("store_name", ["memory"])
async def test_on_memory_a_turn_waits_for_nothing(dialogue: Dialogue) -> None:
    """How many turns a second that makes is what the benchmark of dialogues tells."""
    await add(dialogue, "first")
    batcher = engine_of(dialogue).batcher
    before = batcher.sent
    turn = add(dialogue, "second")
    with pytest.raises(StopIteration):
        # Two steps for the two pauses of its body, and no other.
        for _ in range(3):
            turn.send(None)
    assert batcher.sent == before


def test_lost_turns_are_conflicts() -> None:
    assert issubclass(TurnLost, TurnConflict)
    assert issubclass(TurnReplaced, TurnConflict)

"""Memories that two chats change at once: nothing is lost, or the one that was later is told."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from insession.dialogue import Dialogue, MemoryConflict, TurnConflict
from insession.kernel.operations import Put
from insession.testing.clock import settle

from .conftest import REAL_CLOCK, Make
from .reading import everything
from .samples import Strict, UserInfo, message


@pytest.mark.requirement("D20")
@pytest.mark.parametrize("how", ["update", "handle"])
async def test_two_chats_on_one_memory_lose_nothing(opened: Make, how: str) -> None:
    async def counted(session: Any, next: Any) -> Any:  # noqa: A002 - the document's word
        (await session.get(UserInfo)).seen += 1
        await settle(1)
        return await next(session)

    dialogues = [await opened(pipes=[counted], memories=[UserInfo], **REAL_CLOCK) for _ in range(2)]

    async def talk(chat: int) -> None:
        for _ in range(25):
            if how == "handle":
                await dialogues[chat].handle(message(chat_id=f"chat {chat}"))
                continue
            async with dialogues[chat].turn(message(chat_id=f"chat {chat}")) as session:
                await session.update(UserInfo, lambda user: setattr(user, "seen", user.seen + 1))
                await settle(1)

    await asyncio.gather(talk(0), talk(1))
    async with dialogues[0].turn(message(chat_id="chat 0")) as session:
        assert (await session.get(UserInfo)).seen == 50


@pytest.mark.requirement("D20")
async def test_a_conflict_as_the_memory_declares_it(opened: Make) -> None:
    tries = 0

    async def counted(session: Any, next: Any) -> Any:  # noqa: A002 - the document's word
        nonlocal tries
        tries += 1
        (await session.get(Strict)).count += 1
        async with dialogue.turn(message(chat_id="another")) as other:
            (await other.get(Strict)).count += 10
        return await next(session)

    dialogue: Dialogue = await opened(pipes=[counted])
    with pytest.raises(TurnConflict, match="Strict"):
        await dialogue.handle(message())
    assert tries == 1
    async with dialogue.turn(message()) as session:
        assert (await session.get(Strict)).count == 10


@pytest.mark.requirement("D20")
async def test_updates_beside_other_changes_are_a_conflict(dialogue: Dialogue) -> None:
    with pytest.raises(TurnConflict):
        async with dialogue.turn(message()) as session:
            (await session.get(UserInfo)).name = "Ann"
            await session.update(UserInfo, lambda user: setattr(user, "seen", 1))
            async with dialogue.turn(message(chat_id="another")) as other:
                (await other.get(UserInfo)).seen = 5
    async with dialogue.turn(message()) as session:
        assert ((await session.get(UserInfo)).name, (await session.get(UserInfo)).seen) == (None, 5)


@pytest.mark.requirement("D20")
@pytest.mark.parametrize("how", ["get", "update"])
async def test_a_memory_that_goes_in_the_middle_of_a_turn(dialogue: Dialogue, how: str) -> None:
    async with dialogue.turn(message()) as session:
        (await session.get(UserInfo)).seen = 7

    async def turn() -> None:
        async with dialogue.turn(message()) as session:
            if how == "update":
                await session.update(UserInfo, lambda user: setattr(user, "seen", user.seen + 1))
            else:
                (await session.get(UserInfo)).seen += 1
            _, items = await everything(dialogue)
            (key,) = [key for key in items if key.endswith("/UserInfo")]
            await dialogue.driver.write(dialogue.driver.fresh_change(), [Put(key, None)])

    if how == "get":
        with pytest.raises(MemoryConflict):
            await turn()
    else:
        await turn()
    async with dialogue.turn(message()) as session:
        assert (await session.get(UserInfo)).seen == (1 if how == "update" else 0)

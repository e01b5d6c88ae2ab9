"""The parts on dialogues: one chat from four processes with each fault alone, and two chats on one memory."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Final

from insession.dialogue import Dialogue, Session
from insession.dialogue.pipes import Next
from tests.dialogue.samples import REGISTRY, UserInfo, message
from tests.dialogue.test_processes import FAULTS, talk_from_processes
from tests.processes.conftest import EMPTY

from .part import Part, awaited

STORES: Final = ("sqlite", "valkey", "postgres")
MESSAGES: Final = 80
LEASE: Final = 1.0


async def _talk(name: str, folder: Path) -> str:
    seen = []
    for fault in FAULTS:
        below = folder / fault
        below.mkdir()
        seen.append(f"{fault}: {await talk_from_processes(EMPTY[name](below), fault, messages=MESSAGES, lease=LEASE)}")
    return "; ".join(seen)


async def _count(url: str, turns: int) -> str:
    """Two chats of one user, at once, by the two ways of changing a memory."""
    async with (
        Dialogue(url, registry=REGISTRY, memories=[UserInfo], pipes=[_counting], undo=0) as one,
        Dialogue(url, registry=REGISTRY, memories=[UserInfo], undo=0) as two,
    ):
        await asyncio.gather(_handled(one, turns), _updated(two, turns))
        async with one.turn(message(chat_id="one")) as session:
            seen = (await session.get(UserInfo)).seen
    assert seen == 2 * turns, f"{2 * turns - seen} changes are lost"
    return f"{seen:,} turns, none lost"


async def _counting(session: Session, next: Next) -> Session:  # noqa: A002 - the document's word
    (await session.get(UserInfo)).seen += 1
    return await next(session)


async def _handled(dialogue: Dialogue, turns: int) -> None:
    for _ in range(turns):
        await dialogue.handle(message(chat_id="one"))


async def _updated(dialogue: Dialogue, turns: int) -> None:
    for _ in range(turns):
        async with dialogue.turn(message(chat_id="two")) as session:
            await session.update(UserInfo, lambda user: setattr(user, "seen", user.seen + 1))


def _on(name: str, run: Callable[[str], Awaitable[str]]) -> Callable[[Path], str]:
    return awaited(lambda folder: run(EMPTY[name](folder)))


def dialogue_parts(*, full: bool) -> list[Part]:
    """All of them, store by store."""
    turns = 1_000 if full else 250
    found = []
    for name in STORES:
        found.append(Part(f"{name}: one chat from 4 processes, each fault", 40, awaited(partial(_talk, name))))
        found.append(Part(f"{name}: two chats on one memory", 20, _on(name, partial(_count, turns=turns))))
    return found

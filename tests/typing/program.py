"""A program as a user writes it: type checkers must know what comes out, and refuse what cannot go in.

An unused ``type: ignore`` is an error, so each of them proves that its line is refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, assert_type

import msgspec

import insession
from insession import Deadlines, Engine, Entry, Event, Kind, Limit, Lock, Session, SessionPage, State, Stats


class Progress(msgspec.Struct):
    """What a call remembers."""

    step: int = 0


def further(progress: Progress) -> Progress:
    return Progress(progress.step + 1)


async def told(event: Event) -> None:
    assert_type(event.owner, str | None)


def told_plainly(event: Event) -> None:
    assert_type(event.time, float)


async def chunks() -> AsyncIterator[bytes]:
    yield b"one"
    yield b"two"


async def one_session(engine: Engine) -> None:
    session = await engine.open(kind="call", owner="ann", data=Progress(), idle=60, absolute=None)
    assert_type(session, Session)
    assert_type(session.state, State)
    assert_type(session.reason, str | None)
    assert_type(session.deadlines, Deadlines)
    assert_type(session.interrupted, bool)
    async with session.running(grace=1.0) as same:
        assert_type(same, Session)
        await session.update(further, touch=True)
        await engine.update(session.id, Progress(5), version=session.version)
    async for chunk in session.guard(chunks()):
        assert_type(chunk, bytes)
    assert_type(await engine.get(session.id), Session)
    assert_type(await session.wait_interrupted(0.0), bool)
    assert_type(await session.close("completed"), bool)


async def many_sessions(engine: Engine) -> None:
    page = await engine.find(owner="ann", state="closed", limit=10)
    assert_type(page, SessionPage)
    assert_type(page.cursor, str | None)
    assert_type(await engine.count(state=None), int)
    assert_type(await engine.interrupt_all("shutdown", kind="call"), int)
    assert_type(await engine.stats(), Stats)
    assert_type(await engine.history(page.sessions[0].id), list[Event])
    async for event in engine.events(after=insession.START, types=["closed", insession.EventType.OPENED]):
        assert_type(event, Event)
        break


async def beside_sessions(engine: Engine) -> None:
    async with engine.lock("report", ttl=5.0, wait=None) as lock:
        assert_type(lock, Lock)
        assert_type(await engine.items.put("report/1", {"done": True}, fence=lock.fence), int)
    assert_type(await engine.items.get("report/1"), Entry | None)
    async with engine.observe(told), engine.observe(told_plainly, types=["opened"]) as subscription:
        assert_type(subscription.failures, int)


async def refused(engine: Engine) -> None:
    """What a type checker refuses; never run."""
    await engine.open("call")  # type: ignore[call-arg]
    await engine.open(owner=5)  # type: ignore[arg-type]
    await engine.open(idle="60")  # type: ignore[arg-type]
    await engine.interrupt(None)  # type: ignore[arg-type]
    await engine.interrupt_all(kinds="call")  # type: ignore[call-arg]
    engine.observe(chunks)  # type: ignore[arg-type]
    Kind("call", 60)  # type: ignore[call-arg]
    Limit(most=3, then="newest")  # type: ignore[arg-type]
    session = await engine.open()
    session.state = State.CLOSED  # type: ignore[misc]


async def main() -> dict[str, Any]:
    kinds = [Kind("call", data=Progress, limits=(Limit(most=3, then="oldest"),))]
    async with insession.connect("memory:", kinds=kinds) as engine:
        assert_type(engine, Engine)
        await one_session(engine)
        await many_sessions(engine)
        await beside_sessions(engine)
        return (await engine.stats()).sessions


if __name__ == "__main__":
    print(asyncio.run(main()))

"""`copy --finish` under a process that writes without a pause: nothing that the source acknowledged is missing."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest

import insession
from insession.kernel.codec import decode
from insession.kernel.moving import copy_between
from insession.kernel.operations import Load
from insession.kernel.record import Item, Record

from .checking import whole_log
from .conftest import EMPTY
from .running import Worker

CALLERS = 8
PAIRS = (("sqlite", "valkey"), ("sqlite", "postgres"), ("valkey", "postgres"), ("postgres", "cluster"))


async def move_under_a_writer(source: str, target: str, *, lines: int) -> int:
    """Copy while a process writes, then finish; how many acknowledgements were found in the target.

    ``lines``: so many acknowledgements are waited for before the copy begins, and again before it finishes.
    """
    async with Worker("feed", source, CALLERS) as writer:
        said = [await writer.line() for _ in range(lines)]
        copied = await copy_between(source, target)
        assert copied.written > 0
        said += [await writer.line() for _ in range(lines)]
        copying = asyncio.ensure_future(copy_between(source, target, finish=True))
        said += await writer.rest()
        assert (await copying).finished
        assert await writer.end() == 0
    assert said[-1] == ["done"]
    assert sum(line[0] == "moved" for line in said) == CALLERS
    return await check_target(target, said)


async def move_with_killed_copiers(source: str, target: str, *, lines: int, kills: int, seed: int = 1) -> int:
    """The same, where those who copy are killed again and again, also after the source has moved."""
    chance = random.Random(seed)
    async with Worker("feed", source, CALLERS) as writer:
        said = [await writer.line() for _ in range(lines)]
        moved = asyncio.Event()
        listening = asyncio.create_task(_listen(writer, said, moved))
        for turn in range(kills):
            async with Worker("carry", source, target) as copier:
                for _ in range(chance.randint(1, 1 + 3 * turn)):
                    if not await copier.line():
                        break
                copier.kill()
                await copier.end()
        async with Worker("carry", source, target) as copier:
            await moved.wait()
            copier.kill()
            await copier.end()
        async with Worker("carry", source, target) as copier:
            carried = (await copier.rest())[-1]
        assert carried == ["carried", "True"]
        await listening
    assert sum(line[0] == "moved" for line in said) == CALLERS
    return await check_target(target, said)


async def _listen(writer: Worker, said: list[list[str]], moved: asyncio.Event) -> None:
    """Hear the writer to its end: one whom nobody hears would stop."""
    while line := await writer.line():
        said.append(line)
        if line[0] == "moved":
            moved.set()


async def check_target(target: str, said: list[list[str]]) -> int:
    """What was acknowledged last of every key is in the target; events are not."""
    last: dict[str, list[str]] = {}
    touched: dict[str, float] = {}
    tokens: dict[str, int] = {}
    for line in said:
        if line[0] in {"r", "i"}:
            last[line[1]] = line
        elif line[0] == "t":
            touched[line[1]] = float(line[2])
        elif line[0] == "l":
            tokens[line[1]] = int(line[2])
    async with insession.connect(target) as engine:
        found = await _loaded(engine, list(last))
        for key, line in last.items():
            _check(found[key], line, touched.get(key, 0.0))
        assert await whole_log(engine) == []
        for name, token in tokens.items():
            async with engine.lock(name) as lock:
                assert lock.fence.token > token
        session = await engine.open(kind="fed")
        assert session.version > max(int(line[2]) for line in last.values())
    return sum(line[0] in {"r", "i", "t"} for line in said)


async def _loaded(engine: insession.Engine, keys: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for place in range(0, len(keys), 100):
        some = keys[place : place + 100]
        (answer,) = await engine.store.apply([Load(tuple(some))])
        found |= dict(zip(some, answer.found, strict=True))  # type: ignore[union-attr]
    return found


def _check(one: Record | Item | None, line: list[str], touched: float) -> None:
    if line[0] == "i":
        assert (None if one is None else str(one.version)) == (None if line[3] == "None" else line[2])
        return
    assert isinstance(one, Record), line
    step = decode(one.data, None, one.id)["step"]
    assert [str(one.version), str(one.state), str(one.reason), str(step)] == line[2:]
    assert one.touched >= touched


@pytest.mark.processes
@pytest.mark.parametrize(("source", "target"), PAIRS)
async def test_nothing_that_the_source_acknowledged_is_missing(source: str, target: str, tmp_path: Path) -> None:
    old, new = EMPTY[source](tmp_path), EMPTY[target](tmp_path)
    assert await move_under_a_writer(old, new, lines=500) > 1000


@pytest.mark.processes
async def test_the_same_where_copiers_are_killed(tmp_path: Path) -> None:
    old, new = EMPTY["sqlite"](tmp_path), EMPTY["valkey"](tmp_path)
    assert await move_with_killed_copiers(old, new, lines=1500, kills=1) > 1500

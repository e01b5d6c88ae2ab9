"""The keys of a store change while 8 processes write to it: nothing is unreadable, and no old key is left."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import insession
from insession.kernel.sealing import rewrap, rotate, verify
from insession.stores.sealed import Keys

from .running import Worker, sqlite_url, workers

PROCESSES = 8


class RingFile:
    """The file of a ring, which every process reads; replaced whole."""

    def __init__(self, folder: Path) -> None:
        self.path: Path = folder / "ring"
        self._keys: dict[int, bytes] = {}

    def write(self, *numbers: int) -> Keys:
        """Keep the keys of these numbers, the current one first."""
        for number in numbers:
            self._keys.setdefault(number, Keys.generate()._ring[1])
        keys = Keys({number: self._keys[number] for number in numbers})
        draft = self.path.with_suffix(".new")
        draft.touch(0o600)
        draft.write_text(keys.text())
        draft.rename(self.path)
        return keys


async def _all_use(writers: list[Worker], *numbers: int) -> None:
    word = f"ring:{'-'.join(map(str, numbers))}"
    await asyncio.gather(*(writer.until(word) for writer in writers))


async def _rotated(engine: insession.Engine, ring: RingFile, writers: list[Worker], old: int, *, gently: bool) -> None:
    """From one key to the next one, under load; the old one is gone at the end."""
    new = old + 1
    if gently:
        ring.write(old, new)
        await _all_use(writers, old, new)
    # Otherwise some seal with a key that others have not got yet: those look at the file again.
    await rotate(engine, ring.write(new, old))
    await _all_use(writers, new, old)
    done = await rewrap(engine)
    assert (done.unreadable, done.done > 0) == (0, True)
    found = await verify(engine)
    assert (set(found.keys), found.unreadable) == ({new}, 0)
    await rotate(engine, ring.write(new))
    await _all_use(writers, new)


async def rotate_under_load(url: str, folder: Path, rotations: int, *, every: float = 0.1, callers: int = 4) -> str:
    """Change the keys again and again while others write; they look at the file ``every`` so many seconds."""
    ring = RingFile(folder)
    keys = ring.write(1)
    async with insession.connect(url, keys=keys) as engine:
        ended = await engine.open(owner="ann", data={"n": "ended before"})
        await ended.close()
        async with workers(PROCESSES, "seal", url, ring.path, callers, every) as writers:
            await _all_use(writers, 1)
            for number in range(1, rotations + 1):
                await _rotated(engine, ring, writers, number, gently=number % 2 == 1)
            for writer in writers:
                await writer.say("stop")
            said = [line for lines in await asyncio.gather(*(writer.rest() for writer in writers)) for line in lines]
        steps = {name: int(number) for word, name, number in said if word == "wrote"}
        assert len(steps) == PROCESSES * callers
        found = await verify(engine)
        assert (set(found.keys), found.unreadable) == ({rotations + 1}, 0)
        assert (await engine.get(ended.id)).data == {"n": "ended before"}
        for name, number in steps.items():
            assert (await engine.get(name)).data == {"n": number}
    return f"{sum(steps.values()):,} writes of each sort, {sum(found.keys.values())} values under {rotations} changes"


@pytest.mark.processes
async def test_keys_change_while_others_write(tmp_path: Path) -> None:
    await rotate_under_load(sqlite_url(tmp_path, "normal"), tmp_path, 2)

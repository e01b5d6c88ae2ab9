"""Owners that are secrets: stores see a keyed digest, whose key lies in the store unless it is given."""

import asyncio
from pathlib import Path

import pytest

from insession import ConfigurationError, Kind, connect
from insession.kernel.engine import Engine
from insession.stores.memory import MemoryStore

SECRET = "hardware-of-ann"
KIND = Kind("device", secret_owner=True)


async def test_all_processes_of_a_store_have_one_key(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'sessions.db'}"
    async with connect(url, kinds=[KIND]) as one, connect(url, kinds=[KIND]) as other:
        session = await one.open(kind="device", owner=SECRET)
        assert session.owner == other.owner_of("device", SECRET) != SECRET
        assert [found.id for found in (await other.find(kind="device", owner=SECRET)).sessions] == [session.id]
        assert (await one.history(session.id))[0].owner == session.owner
    async with connect(url, kinds=[KIND]) as later:
        assert later.owner_of("device", SECRET) == session.owner


async def test_stores_have_different_keys() -> None:
    async with Engine(MemoryStore(), kinds=[KIND]) as one, Engine(MemoryStore(), kinds=[KIND]) as other:
        assert one.owner_of("device", SECRET) != other.owner_of("device", SECRET)


async def test_engines_that_open_at_once_agree_on_a_key(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'sessions.db'}"
    engines = [connect(url, kinds=[KIND]) for _ in range(8)]
    await asyncio.gather(*(engine.__aenter__() for engine in engines))
    assert len({engine.owner_of("device", SECRET) for engine in engines}) == 1
    for engine in engines:
        await engine.__aexit__(None, None, None)


async def test_an_engine_that_declares_nothing_erases_and_interrupts_a_secret_owner(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'sessions.db'}"
    async with connect(url, kinds=[KIND]) as engine, connect(url) as plain:
        await engine.open(kind="device", owner=SECRET)
        assert await plain.interrupt_all(kind="device", owner=SECRET) == 1
        assert await plain.erase(SECRET) > 0
        assert await engine.count(kind="device", state=None) == 0


async def test_more_owners_than_are_remembered_keep_their_digests() -> None:
    async with Engine(MemoryStore(), kinds=[KIND]) as engine:
        first = engine.owner_of("device", SECRET)
        for n in range(5_000):
            engine.owner_of("device", f"{n}")
        assert engine.owner_of("device", SECRET) == first


def test_an_owner_has_no_digest_before_the_engine_is_open() -> None:
    with pytest.raises(ConfigurationError, match="opened"):
        connect("memory:", kinds=[KIND]).owner_of("device", SECRET)

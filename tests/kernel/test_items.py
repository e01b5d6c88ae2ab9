"""Items: versions, owners, expiry, pages, and the fences of locks."""

from __future__ import annotations

from typing import Any

import pytest

from insession import Conflict, Displaced, Engine, Entry, InvalidInput, LockLost
from insession.kernel.operations import Fence
from insession.testing.clock import ManualClock, settle

from .jobs import Holder


async def test_an_item_is_written_read_and_deleted(engine: Engine, other: Engine) -> None:
    version = await engine.items.put("notes/1", {"text": "hello"}, owner="ann")
    assert await other.items.get("notes/1") == Entry("notes/1", {"text": "hello"}, version, "ann")
    assert await engine.items.put("notes/1", 2) > version
    await engine.items.delete("notes/1")
    await engine.items.delete("notes/1")
    assert await other.items.get("notes/1") is None


async def test_versions(engine: Engine) -> None:
    version = await engine.items.put("notes/1", 1, version=0)
    with pytest.raises(Conflict) as raised:
        await engine.items.put("notes/1", 2, version=0)
    assert raised.value.version == version
    newer = await engine.items.put("notes/1", 2, version=version)
    with pytest.raises(Conflict):
        await engine.items.delete("notes/1", version=version)
    await engine.items.delete("notes/1", version=newer)
    with pytest.raises(Conflict) as raised:
        await engine.items.put("notes/1", 3, version=newer)
    assert raised.value.version == 0


async def test_an_item_expires(engine: Engine, clock: ManualClock) -> None:
    await engine.items.put("notes/1", 1, expires=10.0)
    entry = await engine.items.get("notes/1")
    assert entry is not None
    assert entry.expires == clock.now() + 10.0
    clock.set(clock.now() + 10.0)
    assert await engine.items.get("notes/1") is None
    assert await engine.items.find("notes/") == ([], None)
    await engine.items.put("notes/1", 2, version=0)
    assert await engine.items.get("notes/1") is not None


async def test_expired_items_are_purged(engine: Engine, clock: ManualClock) -> None:
    await engine.items.put("notes/1", 1, expires=10.0)
    clock.set(clock.now() + 11.0)
    assert await engine.purge() == 1
    assert await engine.purge() == 0


async def test_items_of_a_session_have_keys_of_their_own(engine: Engine) -> None:
    session, second = await engine.open(), await engine.open()
    await session.items.put("draft", 1)
    await session.items.put("memory/ann", 2)
    await second.items.put("draft", 3)
    entries, after = await session.items.find()
    assert ([entry.key for entry in entries], after) == (["draft", "memory/ann"], None)
    assert (await engine.items.get(f"{session.id}/draft")) is not None
    await session.close()
    assert await session.items.get("draft") is not None


async def test_pages_of_items(engine: Engine) -> None:
    for number in range(7):
        await engine.items.put(f"notes/{number}", number, owner="ann")
    await engine.items.put("other/1", 0, owner="bob")
    seen, after = list[str](), None
    while True:
        entries, after = await engine.items.find("notes/", after=after, limit=3)
        seen += [entry.key for entry in entries]
        if after is None:
            break
    assert seen == [f"notes/{number}" for number in range(7)]
    entries, after = await engine.items.find(owner="ann", limit=5)
    assert len(entries) == 5
    entries, after = await engine.items.find(owner="ann", limit=5, after=after)
    assert ([entry.data for entry in entries], after) == ([5, 6], None)


async def test_pages_below_a_session(engine: Engine) -> None:
    session = await engine.open()
    for number in range(5):
        await session.items.put(f"line/{number}", number)
    first, after = await session.items.find("line/", limit=2)
    rest, end = await session.items.find("line/", after=after, limit=10)
    assert [entry.data for entry in (*first, *rest)] == [0, 1, 2, 3, 4]
    assert end is None


async def test_a_fence_refuses_what_comes_after_the_lock_was_lost(
    engine: Engine, other: Engine, clock: ManualClock
) -> None:
    first = Holder(engine, ttl=9.0)
    await settle()
    await engine.items.put("report/1", 1, fence=first.fence)
    first.renew_no_more()
    clock.set(clock.now() + 10.0)
    async with other.lock("report") as second:
        with pytest.raises(LockLost):
            await engine.items.put("report/1", 2, fence=first.fence)
        with pytest.raises(LockLost):
            await engine.items.delete("report/1", fence=first.fence)
        await other.items.put("report/1", 3, fence=second.fence)
    entry = await engine.items.get("report/1")
    assert entry is not None
    assert entry.data == 3
    await first.let_go()


async def test_a_fence_refuses_a_displaced_holder(engine: Engine, other: Engine) -> None:
    victim = Holder(engine, stubborn=True)
    await settle()
    async with other.lock("report", displace=True, grace=0.0):
        await settle()
        with pytest.raises(Displaced):
            await engine.items.put("report/1", 1, fence=victim.fence)
    await victim.let_go()
    assert await engine.items.get("report/1") is None


async def test_a_fence_of_nobody_is_refused(engine: Engine) -> None:
    with pytest.raises(LockLost):
        await engine.items.put("report/1", 1, fence=Fence("report", "nobody", 1))
    async with engine.lock("report") as lock:
        pass
    with pytest.raises(LockLost):
        await engine.items.put("report/1", 1, fence=lock.fence)


@pytest.mark.parametrize("key", ["", "no slash", "a/\x00", "a/\ud800", "a/" + "x" * 600, 5, None])
async def test_wrong_keys_are_refused(engine: Engine, key: Any) -> None:
    for refused in (engine.items.get(key), engine.items.put(key, 1), engine.items.delete(key)):
        with pytest.raises(InvalidInput) as raised:
            await refused
        assert raised.value.field == "key"
    assert await engine.items.find() == ([], None)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("version", -1), ("version", "1"), ("version", True), ("owner", ""), ("owner", 5), ("expires", -1.0),
        ("expires", float("nan")), ("fence", "token"), ("data", object()),
    ],
)  # fmt: skip
async def test_wrong_options_are_refused(engine: Engine, field: str, value: Any) -> None:
    with pytest.raises(InvalidInput) as raised:
        await engine.items.put("notes/1", **({"data": 1} | {field: value}))
    assert raised.value.field == field
    assert await engine.items.get("notes/1") is None


@pytest.mark.parametrize(
    ("field", "value"),
    [("prefix", "a\x00"), ("prefix", 5), ("after", 5), ("after", "\n"), ("owner", 5), ("limit", 0), ("limit", True)],
)
async def test_wrong_pages_are_refused(engine: Engine, field: str, value: Any) -> None:
    with pytest.raises(InvalidInput) as raised:
        await engine.items.find(**{field: value})
    assert raised.value.field == field
    with pytest.raises(InvalidInput):
        await (await engine.open()).items.find(owner="ann")

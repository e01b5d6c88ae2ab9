"""Every public verb with what it cannot take: `InvalidInput` names the field, and nothing has changed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from insession import START, Engine, InvalidInput

from .samples import NOWHERE

Verb = Callable[[Engine, Any], Awaitable[object]]
TEXTS: list[Any] = ["", "a\x00b", "line\nbreak", "half \ud800", "tab\t", "\x7f", 5, b"bytes", ["list"]]
IDS: list[Any] = [
    "",
    "x",
    NOWHERE.upper(),
    NOWHERE + "0",
    NOWHERE[:-1] + "\n",
    "../" + NOWHERE[:-3],
    "half\ud800",
    None,
    5,
    b"a" * 32,
]
SECONDS: list[Any] = [0, -1, float("nan"), float("inf"), -float("inf"), 1e11, True, "10", [10]]
KINDS: list[Any] = ["", "Device", "de vice", "1st", "~node", "~lease", "a" * 65, "ä", "a\n", None, 5, ["device"], {}]


def _named(field: str, values: list[Any], **verbs: Verb) -> list[Any]:
    return [
        pytest.param(field, verb, value, id=f"{name}-{field}-{number}")
        for name, verb in verbs.items()
        for number, value in enumerate(values)
    ]


CASES = [
    *_named("kind", KINDS, open=lambda engine, value: engine.open(kind=value)),
    *_named("owner", [*TEXTS, "x" * 513], open=lambda engine, value: engine.open(owner=value)),
    *_named("name", [*TEXTS, "x" * 513], open=lambda engine, value: engine.open(name=value)),
    *_named("idle", SECONDS, open=lambda engine, value: engine.open(idle=value)),
    *_named("absolute", SECONDS, open=lambda engine, value: engine.open(absolute=value)),
    *_named("data", ["x" * ((1 << 20) + 1), object()], open=lambda engine, value: engine.open(data=value)),
    *_named(
        "session_id",
        IDS,
        get=lambda engine, value: engine.get(value),
        update=lambda engine, value: engine.update(value, 1),
        touch=lambda engine, value: engine.touch(value),
        close=lambda engine, value: engine.close(value),
        interrupt=lambda engine, value: engine.interrupt(value),
        wait=lambda engine, value: engine.interrupt(value, wait=1.0),
        history=lambda engine, value: engine.history(value),
    ),
    *_named(
        "reason",
        [*TEXTS, "x" * 201, None],
        close=lambda engine, value: engine.close(NOWHERE, value),
        interrupt=lambda engine, value: engine.interrupt(NOWHERE, value),
        interrupt_all=lambda engine, value: engine.interrupt_all(value),
    ),
    *_named(
        "wait", [-1, float("nan"), True, "1"], interrupt=lambda engine, value: engine.interrupt(NOWHERE, wait=value)
    ),
    *_named(
        "owner",
        ["", "\x00", 5, ["ann"]],
        interrupt_all=lambda engine, value: engine.interrupt_all(owner=value),
        find=lambda engine, value: engine.find(owner=value),
        count=lambda engine, value: engine.count(owner=value),
        erase=lambda engine, value: engine.erase(value),
    ),
    *_named(
        "kind",
        ["", "Device", 5, ["device"]],
        interrupt_all=lambda engine, value: engine.interrupt_all(kind=value),
        find=lambda engine, value: engine.find(kind=value),
        count=lambda engine, value: engine.count(kind=value),
    ),
    *_named(
        "state",
        ["", "activ", 5, ["active"]],
        find=lambda engine, value: engine.find(state=value),
        count=lambda engine, value: engine.count(state=value),
    ),
    *_named("limit", [0, -1, 1_001, True, 1.0, "5", None], find=lambda engine, value: engine.find(limit=value)),
    *_named(
        "cursor",
        [
            "",
            "x",
            "session|0|1.0|x",
            f"session|0|nan|{NOWHERE}|",
            f"~|0|1.0|{NOWHERE}",
            f"a|x|1.0|{NOWHERE}",
            "\x00",
            5,
        ],
        find=lambda engine, value: engine.find(cursor=value),
    ),
]


@pytest.mark.parametrize(("field", "verb", "value"), CASES)
async def test_it_is_refused_and_nothing_has_changed(engine: Engine, field: str, verb: Verb, value: Any) -> None:
    session = await engine.open(data=1)
    with pytest.raises(InvalidInput) as raised:
        await verb(engine, value)
    assert raised.value.field == field
    assert str(raised.value).startswith(f"{field}: ")
    assert len(str(raised.value)) < 300
    page = await engine.store.events(START, 100, None)
    assert [event.id for event in page.events] == [session.id]
    assert (await engine.get(session.id)).record == session.record


@pytest.mark.parametrize("grace", [-1.0, float("nan"), float("inf"), True, "1", None])
async def test_a_wrong_grace_begins_no_block(engine: Engine, grace: Any) -> None:
    session = await engine.open()
    with pytest.raises(InvalidInput) as raised:
        async with session.running(grace=grace):
            pytest.fail("the block must not begin")
    assert raised.value.field == "grace"
    assert engine._following._works == {}


@pytest.mark.parametrize("text", ["　全角　", "نیم‌فاصله", "👩‍👩‍👧", "a b", "é", "x" * 512])
async def test_texts_of_all_the_world_are_taken(engine: Engine, text: str) -> None:
    session = await engine.open(owner=text, name=text)
    assert (await engine.find(owner=text)).sessions[0].id == session.id
    await session.close(text[:200])
    assert (await engine.get(session.id)).reason == text[:200]


@pytest.mark.parametrize("version", [-1, 0, True, "1", 1.0])
async def test_a_wrong_version_is_refused(engine: Engine, version: Any) -> None:
    session = await engine.open(data=1)
    with pytest.raises(InvalidInput) as raised:
        await engine.update(session.id, 2, version=version)
    assert raised.value.field == "version"
    assert (await engine.get(session.id)).data == 1

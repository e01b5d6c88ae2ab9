"""Kinds and limits as they are declared."""

from __future__ import annotations

from typing import Any

import pytest

import insession
from insession import ConfigurationError, Engine, InvalidInput, Kind, Limit
from insession.stores.memory import MemoryStore


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("idle", 0), ("idle", -1), ("idle", float("nan")), ("idle", True), ("idle", "60"), ("absolute", 0),
        ("window", -1), ("keep", -1), ("keep", None), ("keep_count", 0), ("keep_count", 1.5), ("recovery", "keeps"),
        ("recovery", ["end"]), ("finish", "later"), ("limits", [3]), ("data", "Draft"), ("data", dict[str, int]),
    ],
)  # fmt: skip
def test_a_kind_with_a_wrong_option(option: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=rf"Kind\.{option}"):
        Kind("device", **{option: value})


@pytest.mark.parametrize("name", ["", "Device", "1st", "de vice", "a" * 65, None, 5])
def test_a_kind_with_a_wrong_name(name: Any) -> None:
    with pytest.raises(ConfigurationError, match="name"):
        Kind(name)


@pytest.mark.parametrize(
    "options",
    [
        {"most": 0},
        {"most": True},
        {"most": 1_001},
        {"most": 1.0},
        {"most": 1, "over": "all"},
        {"most": 1, "then": "newest"},
    ],
)
def test_a_wrong_limit(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="Limit"):
        Limit(**options)


def test_a_kind_is_declared_once() -> None:
    with pytest.raises(ConfigurationError, match="declared twice"):
        insession.connect("memory:", kinds=[Kind("device"), Kind("device")])


def test_the_engines_own_kinds_are_not_declared_by_others() -> None:
    with pytest.raises((ConfigurationError, InvalidInput), match="own"):
        insession.connect("memory:", kinds=[Kind("~node")])


def test_the_touch_window() -> None:
    kind = Kind("device")
    assert kind.touch_window(100.0, immediate=True) == 0.0
    assert kind.touch_window(100.0, immediate=False) == 5.0
    assert kind.touch_window(86_400.0, immediate=False) == 60.0
    assert kind.touch_window(None, immediate=False) == 0.0
    assert Kind("device", window=7.0).touch_window(100.0, immediate=True) == 7.0


async def test_the_deadlines_of_open_stand_for_those_of_the_kind() -> None:
    async with Engine(MemoryStore(), kinds=[Kind("device", idle=60.0, absolute=600.0)]) as engine:
        session = await engine.open(kind="device")
        assert session.deadlines.idle == session.opened + 60.0
        assert session.deadlines.absolute == session.opened + 600.0
        forever = await engine.open(kind="device", idle=None, absolute=None)
        assert (forever.deadlines.idle, forever.deadlines.absolute) == (None, None)


def test_limits_are_taken_as_a_list() -> None:
    limits: Any = [Limit(most=1)]
    assert Kind("device", limits=limits).limits == (Limit(most=1),)
    assert Kind("device", limits=(Limit(most=1, over="kind"),)).by_kind

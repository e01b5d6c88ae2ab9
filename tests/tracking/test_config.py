"""The configuration: what is valid, what is said of the rest, and when a change counts."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insession.errors import InvalidInput
from insession.tracking import SessionManagementConfig, SessionManager
from insession.tracking.config import PERFORMANCE, SECURITY, SETTINGS, TRACKING

from .conftest import Managers

SECONDS = (
    "session_timeout",
    "session_cleanup_interval",
    "session_heartbeat_interval",
    "interrupt_timeout",
    "interrupt_cleanup_delay",
    "session_data_retention",
)
COUNTS = ("max_concurrent_sessions", "max_session_history", "cleanup_batch_size")
SWITCHES = (
    "global_interrupt_enabled",
    "tracking_enabled",
    "track_user_agents",
    "track_ip_addresses",
    "track_timestamps",
    "require_hardware_id",
    "validate_session_ownership",
    "encrypt_session_data",
    "log_sessions",
    "log_interrupts",
    "log_hardware_ids",
)
REST = ("hardware_id_cache_file", "hardware_id_length", "hardware_id_charset", "log_level")
GUIDE = {
    "hardware_id_cache_file": "hardware_id.cache",
    "hardware_id_length": 32,
    "session_timeout": 7200,
    "max_concurrent_sessions": 50,
    "session_heartbeat_interval": 60,
    "interrupt_timeout": 10,
    "tracking_enabled": True,
    "track_user_agents": True,
    "track_ip_addresses": False,
    "max_session_history": 500,
    "cleanup_batch_size": 25,
    "require_hardware_id": True,
    "validate_session_ownership": True,
    "log_level": "DEBUG",
}
NO_SECONDS = (0, -1, 0.0, math.nan, math.inf, -math.inf, True, "5", None, [5], 1e300, 10**400, 5j, Decimal(5), b"5")
NO_COUNTS: tuple[Any, ...] = (0, -1, 1.5, 10.0, True, "10", None, math.nan, 10**400, Fraction(3), {})
NO_SWITCHES: tuple[Any, ...] = (0, 1, "True", "", None, math.nan, [])
WRONG: dict[str, tuple[Any, ...]] = {
    **dict.fromkeys(SECONDS, NO_SECONDS),
    **dict.fromkeys(COUNTS, NO_COUNTS),
    **dict.fromkeys(SWITCHES, NO_SWITCHES),
    "hardware_id_length": (7, 65, 0, -32, 32.0, True, "32", None, math.nan),
    "hardware_id_charset": ("", "abcdefghi", "a" * 62, "abab" * 9, list("abcdefghijkl"), None, 5, b"abcdefghijkl"),
    "hardware_id_cache_file": ("", 5, True, "a\0b", "a\ud800", ["a"], b"a"),
    "log_level": ("LOUD", "", "info ", 20, None, True, ["INFO"]),
}
RIGHT: dict[str, tuple[Any, ...]] = {
    **dict.fromkeys(SECONDS, (0.001, 0.5, 1, 10**9)),
    **dict.fromkeys(COUNTS, (1, 1_000)),
    **dict.fromkeys(SWITCHES, (True, False)),
    "hardware_id_length": (8, 64),
    "hardware_id_charset": ("0123456789", "0123456789" * 3, "абвгдежзийкл"),
    "hardware_id_cache_file": ("id", "folder/id", Path("id"), None),
    "log_level": ("DEBUG", "info", "Warning", "ERROR", "CRITICAL"),
}
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.complex_numbers(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.tuples(inner),
)


class TestValidate:
    """`validate` and `problems`."""

    @pytest.mark.requirement("M43", "M1")
    @pytest.mark.parametrize("values", [None, {}, GUIDE])
    def test_the_guides_configuration_and_the_defaults_are_valid(self, values: dict[str, Any] | None) -> None:
        config = SessionManagementConfig(values)
        assert config.validate() is True
        assert config.problems() == []

    @pytest.mark.requirement("M43")
    @pytest.mark.parametrize("key", RIGHT)
    def test_the_edges_are_valid(self, key: str) -> None:
        for value in RIGHT[key]:
            assert SessionManagementConfig({key: value}).validate() is True, value

    @pytest.mark.requirement("M44", "M66")
    @pytest.mark.parametrize("key", WRONG)
    def test_each_wrong_value_is_named_by_its_key(self, key: str, caplog: pytest.LogCaptureFixture) -> None:
        for value in WRONG[key]:
            config = SessionManagementConfig({key: value})
            caplog.clear()
            assert config.validate() is False, value
            (problem,) = config.problems()
            assert problem.startswith(f"{key}: ")
            assert problem in caplog.text

    def test_every_key_is_tried(self) -> None:
        assert set(SETTINGS) == {*SECONDS, *COUNTS, *SWITCHES, *REST} == set(WRONG) == set(RIGHT)

    @pytest.mark.requirement("M66")
    @given(values=ANYTHING | st.dictionaries(st.sampled_from(sorted(SETTINGS)), ANYTHING))
    def test_it_is_a_bool_for_anything(self, values: object) -> None:
        config = SessionManagementConfig(values)
        assert config.validate() is (not config.problems())

    @pytest.mark.requirement("M66")
    @pytest.mark.parametrize("values", [5, "text", [("session_timeout", 5)], True, math.nan, object()])
    def test_no_dict_at_all(self, values: object) -> None:
        config = SessionManagementConfig(values)
        assert config.validate() is False
        assert config.problems() == [f"the configuration is a dict, not {type(values).__name__}"]

    @pytest.mark.parametrize(
        ("key", "near"),
        [
            ("max_sessions", "max_concurrent_sessions"),
            ("session_timeut", "session_timeout"),
            ("track_ip_address", "track_ip_addresses"),
            ("log_hardware_id", "log_hardware_ids"),
        ],
    )
    def test_an_unknown_key_is_named_with_the_nearest(self, key: str, near: str) -> None:
        (problem,) = SessionManagementConfig({key: 7}).problems()
        assert f"unknown key {key!r}" in problem
        assert f"did you mean {near!r}" in problem

    @pytest.mark.parametrize("key", [1, None, (1, 2), b"session_timeout", ""])
    def test_a_key_that_is_no_text_is_named(self, key: object) -> None:
        (problem,) = SessionManagementConfig({key: 2}).problems()
        assert "unknown key" in problem

    def test_all_problems_are_said_at_once(self, caplog: pytest.LogCaptureFixture) -> None:
        config = SessionManagementConfig(
            {
                "session_timeout": 0,
                "log_level": "LOUD",
                "max_sessions": 7,
                "track_timestamps": "yes",
                "log_sessions": True,
            }
        )
        assert len(config.problems()) == 4
        assert not config.validate()
        for name in ("session_timeout", "log_level", "max_sessions", "track_timestamps"):
            assert name in caplog.text

    @pytest.mark.requirement("M2", "M44")
    @pytest.mark.parametrize("key", sorted(WRONG))
    async def test_a_manager_does_not_start_with_it(self, key: str) -> None:
        for value in WRONG[key][:3]:
            manager = SessionManager({key: value})
            assert await manager.initialize() is False
            assert manager.is_initialized is False

    def test_nothing_is_printed(self, capsys: pytest.CaptureFixture[str]) -> None:
        SessionManagementConfig({"session_timeout": 0}).validate()
        assert capsys.readouterr().out == ""


class TestMapping:
    """A configuration is a mapping of its own."""

    def test_values_over_defaults(self) -> None:
        config = SessionManagementConfig({"session_timeout": 5})
        assert config["session_timeout"] == 5
        assert config["max_concurrent_sessions"] == 100
        assert len(config) == len(dict(config)) == 24
        assert config.given("session_timeout")
        assert not config.given("log_level")
        del config["session_timeout"]
        assert config["session_timeout"] == 3600
        with pytest.raises(KeyError):
            config["max_sessions"]

    @pytest.mark.requirement("M89")
    async def test_a_manager_takes_a_dict_or_a_configuration(self, managers: Managers) -> None:
        values = {"session_timeout": 60}
        for config in (values, SessionManagementConfig(values)):
            manager = await managers(config)
            assert manager.get_performance_settings()["session_timeout"] == 60

    def test_a_copy_keeps_what_was_wrong(self) -> None:
        assert SessionManagementConfig(SessionManagementConfig(5)).problems()


class TestSettings:
    """What the manager says that it was given."""

    @pytest.mark.requirement("M45")
    async def test_each_setting_as_configured(self, managers: Managers) -> None:
        given = {name: value for name, value in OTHERS.items() if name in {*SECURITY, *PERFORMANCE, *TRACKING}}
        manager = await managers(given)
        assert manager.get_security_settings() == {
            "require_hardware_id": False,
            "validate_session_ownership": False,
            "encrypt_session_data": True,
            "track_ip_addresses": True,
            "log_hardware_ids": True,
        }
        performance = manager.get_performance_settings()
        assert performance.pop("max_session_history") == 10
        assert performance.pop("session_data_retention") == 3_000
        assert performance == {
            "max_concurrent_sessions": 7,
            "session_timeout": 70,
            "session_cleanup_interval": 11,
            "session_heartbeat_interval": 3,
            "cleanup_batch_size": 9,
        }
        assert manager.get_tracking_settings() == {
            "tracking_enabled": False,
            "track_user_agents": False,
            "track_ip_addresses": True,
            "track_timestamps": False,
            "log_sessions": False,
            "log_interrupts": False,
        }

    @pytest.mark.requirement("M45")
    async def test_what_they_give_out_is_a_copy(self, manager: SessionManager) -> None:
        manager.get_security_settings()["require_hardware_id"] = False
        assert manager.get_security_settings()["require_hardware_id"] is True


OTHERS = {
    "require_hardware_id": False,
    "validate_session_ownership": False,
    "encrypt_session_data": True,
    "track_ip_addresses": True,
    "log_hardware_ids": True,
    "max_concurrent_sessions": 7,
    "session_timeout": 70,
    "session_cleanup_interval": 11,
    "session_heartbeat_interval": 3,
    "cleanup_batch_size": 9,
    "max_session_history": 10,
    "session_data_retention": 3_000,
    "tracking_enabled": False,
    "track_user_agents": False,
    "track_timestamps": False,
    "log_sessions": False,
    "log_interrupts": False,
}


class TestChanges:
    """The manager works on a copy, and takes a change when it starts."""

    @pytest.mark.requirement("M78")
    async def test_the_callers_dict_is_copied(self, managers: Managers) -> None:
        values = {"max_concurrent_sessions": 1}
        manager = await managers(values)
        values["max_concurrent_sessions"] = 0
        values["nonsense"] = 1
        assert manager.get_status()["config_status"]["is_valid"] is True
        await manager.cleanup()
        assert await manager.initialize()
        assert manager.get_performance_settings()["max_concurrent_sessions"] == 1

    @pytest.mark.requirement("M78")
    @pytest.mark.parametrize("how", ["update_config", "item", "whole"])
    async def test_a_change_counts_from_the_next_start_on(self, how: str, managers: Managers) -> None:
        manager = await managers({"max_concurrent_sessions": 1})
        if how == "update_config":
            manager.update_config({"max_concurrent_sessions": 2})
        elif how == "item":
            manager.config["max_concurrent_sessions"] = 2
        else:
            manager.config = {"max_concurrent_sessions": 2}
        status = manager.get_status()["config_status"]
        assert status["pending"] == ["max_concurrent_sessions"]
        assert status["values"]["max_concurrent_sessions"] == 2
        await manager.create_session()
        with pytest.raises(Exception, match="Maximum concurrent sessions reached"):
            await manager.create_session()
        await manager.cleanup()
        assert await manager.initialize()
        assert manager.get_status()["config_status"]["pending"] == []
        assert manager.get_performance_settings()["max_concurrent_sessions"] == 2
        await manager.create_session()
        await manager.create_session()

    @pytest.mark.requirement("M78")
    async def test_a_wrong_change_is_shown_and_stops_the_next_start(self, managers: Managers) -> None:
        manager = await managers()
        wrong: dict[Any, Any] = {1: 2, "session_timeout": "soon"}
        manager.update_config(wrong)
        status = manager.get_status()["config_status"]
        assert status["is_valid"] is False
        assert len(status["problems"]) == 2
        assert set(status["pending"]) == {1, "session_timeout"}
        assert await manager.create_session()
        await manager.cleanup()
        assert await manager.initialize() is False

    @pytest.mark.parametrize("values", [5, None, "session_timeout", [("session_timeout", 5)]])
    async def test_a_change_is_a_dict(self, values: Any, manager: SessionManager) -> None:
        with pytest.raises(InvalidInput, match="values: is a dict"):
            manager.update_config(values)

    async def test_a_status_is_plain_data(self, managers: Managers) -> None:
        manager = await managers({"hardware_id_cache_file": "id.cache"})
        live = await manager.create_session("Agent", context={"a": [1, None]})
        for told in (
            manager.get_status(),
            manager.get_summary(),
            manager.get_metrics(),
            dict(live),
            await manager.get_session_status(live["session_id"]),
            await manager.sessions(),
            await manager.statistics(),
        ):
            assert json.loads(json.dumps(told)) == told

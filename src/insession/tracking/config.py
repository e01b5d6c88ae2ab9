"""The configuration of tracking: 24 keys, their defaults, and what each may be."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any, Final, NamedTuple

from insession.kernel.limits import MOST_OF_KIND
from insession.kernel.urls import unknown

from . import checks
from .logs import logger


class Setting(NamedTuple):
    """One key: its default, and what is wrong with a value (None: nothing)."""

    default: Any
    problem: Callable[[Any], str | None]


SETTINGS: Final[Mapping[str, Setting]] = {
    "hardware_id_cache_file": Setting("hardware_id.cache", checks.file_name),
    "hardware_id_length": Setting(32, checks.id_length),
    "hardware_id_charset": Setting(checks.CHARSET, checks.charset),
    "session_timeout": Setting(3600, checks.seconds),
    "session_cleanup_interval": Setting(300, checks.seconds),
    "max_concurrent_sessions": Setting(100, checks.whole(1, MOST_OF_KIND)),
    "session_heartbeat_interval": Setting(30, checks.seconds),
    "interrupt_timeout": Setting(5, checks.seconds),
    "interrupt_cleanup_delay": Setting(10, checks.seconds),
    "global_interrupt_enabled": Setting(default=True, problem=checks.switch),
    "tracking_enabled": Setting(default=True, problem=checks.switch),
    "track_user_agents": Setting(default=True, problem=checks.switch),
    "track_ip_addresses": Setting(default=False, problem=checks.switch),
    "track_timestamps": Setting(default=True, problem=checks.switch),
    "max_session_history": Setting(1000, checks.whole(1, MOST_OF_KIND)),
    "session_data_retention": Setting(86_400, checks.seconds),
    "cleanup_batch_size": Setting(50, checks.whole(1, 1_000)),
    "require_hardware_id": Setting(default=True, problem=checks.switch),
    "validate_session_ownership": Setting(default=True, problem=checks.switch),
    "encrypt_session_data": Setting(default=False, problem=checks.switch),
    "log_level": Setting("INFO", checks.level),
    "log_sessions": Setting(default=True, problem=checks.switch),
    "log_interrupts": Setting(default=True, problem=checks.switch),
    "log_hardware_ids": Setting(default=False, problem=checks.switch),
}
SECURITY: Final = (
    "require_hardware_id",
    "validate_session_ownership",
    "encrypt_session_data",
    "track_ip_addresses",
    "log_hardware_ids",
)
PERFORMANCE: Final = (
    "max_concurrent_sessions",
    "session_timeout",
    "session_cleanup_interval",
    "session_heartbeat_interval",
    "cleanup_batch_size",
    "max_session_history",
    "session_data_retention",
)
TRACKING: Final = (
    "tracking_enabled",
    "track_user_agents",
    "track_ip_addresses",
    "track_timestamps",
    "log_sessions",
    "log_interrupts",
)


class SessionManagementConfig(MutableMapping[str, Any]):
    """A copy of the values given, over the defaults of `SETTINGS`.

    Takes anything, and says in `problems` what cannot work: a configuration comes from files that people edit. Keys:
    `SETTINGS` names them all; a value that was not given reads as its default.
    """

    __slots__ = ("_given", "_problem")

    def __init__(self, values: object = None) -> None:
        self._problem: str | None = None
        self._given: dict[str, Any] = {}
        if isinstance(values, SessionManagementConfig):
            self._problem, self._given = values._problem, dict(values._given)  # noqa: SLF001 - one of our own
        elif isinstance(values, Mapping):
            self._given = dict(values)
        elif values is not None:
            self._problem = f"the configuration is a dict, not {type(values).__name__}"

    def __getitem__(self, key: str) -> Any:
        if key in self._given:
            return self._given[key]
        return SETTINGS[key].default

    def __setitem__(self, key: str, value: Any) -> None:
        self._given[key] = value

    def __delitem__(self, key: str) -> None:
        """Back to its default."""
        del self._given[key]

    def __iter__(self) -> Iterator[str]:
        yield from SETTINGS
        yield from (key for key in self._given if key not in SETTINGS)

    def __len__(self) -> int:
        return len({*SETTINGS, *self._given})

    def __repr__(self) -> str:
        return f"SessionManagementConfig({self._given!r})"

    def given(self, key: str) -> bool:
        """Whether the value was given, and is not the default by silence."""
        return key in self._given

    def problems(self) -> list[str]:
        """Everything that is wrong, each named by its key; an unknown key with the nearest one that is known."""
        found = [] if self._problem is None else [self._problem]
        for key, value in self._given.items():
            if key not in SETTINGS:
                found.append(unknown("key", str(key), SETTINGS))
            elif (problem := SETTINGS[key].problem(value)) is not None:
                found.append(f"{key}: {problem}")
        return found

    def validate(self) -> bool:
        """Whether it can work; what cannot is logged, all of it."""
        problems = self.problems()
        for problem in problems:
            logger().error("configuration: %s", problem)
        return not problems

    def only(self, keys: tuple[str, ...]) -> dict[str, Any]:
        """Some of its values."""
        return {key: self[key] for key in keys}

    @property
    def level(self) -> int | None:
        """The level of the log, where one was given."""
        return logging.getLevelNamesMapping()[self["log_level"].upper()] if self.given("log_level") else None

"""What a pool is told, checked once, and the pauses between tries."""

from __future__ import annotations

import secrets
from typing import Final

import msgspec

from insession.errors import ConfigurationError, InvalidInput
from insession.kernel.ids import check_count, check_seconds

_random: Final = secrets.SystemRandom()
MOST_SESSIONS: Final = 10_000
_COUNTS: Final = ("login_limit", "max_renewals")
_OPTIONAL_COUNTS: Final = ("max_sessions", "max_shared")
_SECONDS: Final = ("logout_timeout", "acquire_timeout", "retry_within", "spare_idle", "pause", "longest_pause")


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """The options of a `SessionPool`. Durations are seconds."""

    max_sessions: int | None = None
    max_shared: int | None = None
    idle: float | None = None
    auto_renew: bool = True
    max_retries: int = 3
    login_limit: int = 2
    logout_timeout: float = 5.0
    acquire_timeout: float = 30.0
    retry_within: float = 60.0
    pause: float = 0.2
    longest_pause: float = 10.0
    spare_idle: float = 10.0
    max_renewals: int = 20

    def __post_init__(self) -> None:
        try:
            for name in _COUNTS:
                check_count(getattr(self, name), name, MOST_SESSIONS)
            for name in _OPTIONAL_COUNTS:
                if getattr(self, name) is not None:
                    check_count(getattr(self, name), name, MOST_SESSIONS)
            for name in _SECONDS:
                check_seconds(getattr(self, name), name)
            if self.idle is not None:
                check_seconds(self.idle, "idle")
            if self.max_retries != 0:
                check_count(self.max_retries, "max_retries", 1_000)
        except InvalidInput as error:
            raise ConfigurationError(f"SessionPool: {error}") from None

    @property
    def shared(self) -> int:
        """So many sessions are opened for those who borrow one."""
        return self.max_shared or self.max_sessions or 1

    def jittered(self, tries: int) -> float:
        """How long to wait before a try that follows so many: exponential with full jitter and a cap.

        Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015 ("Full Jitter").
        """
        return _random.uniform(0.0, min(self.longest_pause, self.pause * 2.0 ** min(tries - 1, 30)))

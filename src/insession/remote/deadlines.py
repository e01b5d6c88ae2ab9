"""Blocks that end at a time of a clock, which in tests is driven by hand."""

from __future__ import annotations

from types import TracebackType
from typing import Self

import anyio

from insession.kernel.clock import Alarm, Clock


class Until:
    """``with Until(clock, when) as limit``: cancels the block at that time; ``limit.over`` tells whether it did.

    The block then ends without an error, as that of a cancelled scope does. None: never.
    """

    __slots__ = ("_alarm", "_clock", "_scope", "_when")

    def __init__(self, clock: Clock, when: float | None) -> None:
        self._clock = clock
        self._when = when
        self._scope = anyio.CancelScope()
        self._alarm: Alarm | None = None

    @property
    def over(self) -> bool:
        """Whether the time ended the block."""
        return bool(self._scope.cancelled_caught)

    def __enter__(self) -> Self:
        self._scope.__enter__()
        if self._when is not None:
            self._alarm = self._clock.alarm(self._when, self._scope.cancel)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if self._alarm is not None:
            self._alarm.cancel()
        return bool(self._scope.__exit__(kind, error, trace))

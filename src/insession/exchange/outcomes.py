"""How an exchange session ends, and what a program's exit code says of it."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final


class Outcome(enum.Enum):
    """How a session ended, or how serving it ended."""

    FINISH = "finish"
    """The platform closed it: all files went out."""
    TIMEOUT_CLOSE = "timeout-close"
    """The platform closed it: its time was over."""
    SESSION_ABORT = "session-abort"
    """The platform aborted it."""
    CLIENT_ABORT = "client-abort"
    """We aborted it, and the platform confirmed that."""
    REFUSED = "refused"
    """The platform refused the token, or the start."""
    LOST = "lost"
    """It ended without a word: while we were away, or after the time that it can last."""
    STOPPED = "stopped"
    """Serving it was stopped here (Ctrl-C, SIGTERM); the session lives on, and `reconnect` goes on with it."""

    @property
    def final(self) -> bool:
        """Whether the session is over; one that was only left can be gone on with."""
        return self is not Outcome.STOPPED

    @property
    def exit_code(self) -> int:
        """What a program that served the session exits with: 0 for `FINISH` alone, and each has its own."""
        return EXIT_CODES[self]


EXIT_CODES: Final[Mapping[Outcome, int]] = MappingProxyType(
    {
        Outcome.FINISH: 0,
        Outcome.TIMEOUT_CLOSE: 10,
        Outcome.SESSION_ABORT: 11,
        Outcome.CLIENT_ABORT: 12,
        Outcome.REFUSED: 13,
        Outcome.LOST: 14,
        # What a shell says of a program that a signal stopped.
        Outcome.STOPPED: 130,
    }
)

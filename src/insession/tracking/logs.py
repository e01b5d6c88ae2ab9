"""Where the tracking face's records go, and what they may say."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, Final

from insession.kernel.record import State

NAME: Final = "insession.tracking"
_current: list[logging.Logger] = [logging.getLogger(NAME)]
_KEY: Final = secrets.token_bytes(32)


def logger() -> logging.Logger:
    """The logger of this face: `NAME`, or what an alias renamed it to."""
    return _current[0]


def use(name: str) -> None:
    """Let records go to another logger from now on."""
    _current[0] = logging.getLogger(name)


class Records:
    """What is logged of sessions and interrupts, as the configuration allows.

    A hardware id is in no record unless ``log_hardware_ids`` is on; what is there instead tells clients apart within
    this process, and says nothing about them.
    """

    __slots__ = ("_hardware_ids", "_interrupts", "_sessions")

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._sessions: bool = config["log_sessions"]
        self._interrupts: bool = config["log_interrupts"]
        self._hardware_ids: bool = config["log_hardware_ids"]

    def created(self, session_id: str, hardware_id: str | None) -> None:
        """A session began."""
        if self._sessions and logger().isEnabledFor(logging.INFO):
            logger().info("session %s created for client %s", session_id, self.client(hardware_id))

    def ended(self, session_id: str, state: State, reason: str | None) -> None:
        """A session of this process ended."""
        wanted = self._interrupts if state is State.INTERRUPTED else self._sessions
        if wanted:
            logger().info("session %s %s: %s", session_id, state.value, reason)

    def all_interrupted(self, number: int, reason: str) -> None:
        """Many sessions were interrupted at once."""
        if self._interrupts:
            logger().info("%d sessions interrupted: %s", number, reason)

    def client(self, hardware_id: str | None) -> str:
        """What names a client in the log."""
        if hardware_id is None:
            return "without hardware id"
        if self._hardware_ids:
            return hardware_id
        return "~" + blake2b(hardware_id.encode(), key=_KEY, digest_size=4).hexdigest()

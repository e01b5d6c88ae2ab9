"""Stub."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from insession.dialogue.session import Session


class Dialog:
    """Where a dialogue stands."""

    def __init__(self, session: Session) -> None:
        self.session = session

    async def hear(self) -> None:
        """Let the dialogue answer the message."""

"""Where a dialogue stands and how it moves: contexts, their stages, navigators, intents."""

from __future__ import annotations

from .dialog import Dialog

__all__ = ["Dialog"]

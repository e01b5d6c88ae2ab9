"""Where a dialogue stands and how it moves: contexts with their stages, navigators, intents."""

from __future__ import annotations

from .dialog import Dialog
from .intents import Navigation
from .navigators import Navigator
from .stages import Stage

__all__ = ["Dialog", "Navigation", "Navigator", "Stage"]

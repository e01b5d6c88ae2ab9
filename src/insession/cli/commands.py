"""All commands, in the order of ``insession --help``."""

from __future__ import annotations

from . import keeping, looking, machine, serving, sessions
from .app import run

__all__ = ["keeping", "looking", "machine", "run", "serving", "sessions"]

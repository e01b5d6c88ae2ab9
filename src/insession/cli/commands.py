"""All commands, in the order of ``insession --help``."""

from __future__ import annotations

# isort: off
from . import serving, sessions, looking, keeping, keys, machine
from .app import run

__all__ = ["keeping", "keys", "looking", "machine", "run", "serving", "sessions"]

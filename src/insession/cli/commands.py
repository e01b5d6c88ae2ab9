"""All commands, in the order of ``insession --help``."""

from __future__ import annotations

# isort: off
from . import serving, sessions, looking, keeping, keys, machine
from .app import app, run

__all__ = ["app", "keeping", "keys", "looking", "machine", "run", "serving", "sessions"]

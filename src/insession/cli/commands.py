"""All commands, in the order of ``insession --help``."""

from __future__ import annotations

# isort: off
from . import serving, sessions, looking, keeping, keys, machine, exchange
from .app import app, run

__all__ = ["app", "exchange", "keeping", "keys", "looking", "machine", "run", "serving", "sessions"]

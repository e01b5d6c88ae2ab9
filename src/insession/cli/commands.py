"""All commands, in the order of ``insession --help``."""

from __future__ import annotations

from . import looking, machine, serving, sessions
from .app import run

__all__ = ["looking", "machine", "run", "serving", "sessions"]

"""The line to the platform: socket.io over websocket, kept up by supervision of its own."""

from __future__ import annotations

from .connection import ConnectionAbstract, Handler
from .target import Target
from .websocket import Websocket

__all__ = ["ConnectionAbstract", "Handler", "Target", "Websocket"]

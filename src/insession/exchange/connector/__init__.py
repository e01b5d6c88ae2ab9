"""Connectors: all that is known of the protocol between a `Session` and the platform."""

from __future__ import annotations

from .factory import SessionConnectorFactory
from .session_connector_abstract import SessionConnectorAbstract
from .session_websocket_connector import SessionWebsocketConnector

__all__ = ["SessionConnectorAbstract", "SessionConnectorFactory", "SessionWebsocketConnector"]

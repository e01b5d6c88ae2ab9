"""The errors of connectors, where the document's siblings look for them."""

from __future__ import annotations

from insession.exchange.errors import NotConnectedError, SessionEssayNotCorrectError, StartSessionError

__all__ = ["NotConnectedError", "SessionEssayNotCorrectError", "StartSessionError"]

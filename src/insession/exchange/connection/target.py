"""Whom a connection goes to, and how."""

from __future__ import annotations

import ssl
from typing import Any, Final, Self
from urllib.parse import quote, urlencode, urlsplit

import msgspec

MOST_MESSAGE: Final = 256 * 1024 * 1024
"""So many bytes a message from the platform may have: a file of 32 MiB makes up to six times as much JSON."""


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Whom a connection goes to, and how. Durations are seconds.

    Args:
        host: The platform's address; a path in it is the namespace unless one is given.
        token: Goes into the query of the handshake and nowhere else.
        namespace: Of socket.io.
        version: Goes into the query, too; None: not said.
        path: Where the server's socket.io lies.
        connect: So long the first line may take, with as many attempts as fit.
        first_retry: A line that is gone is made again after a random part of this,
        longest_retry: doubled with each attempt, up to this.
        flush: So long what was handed over may take to leave, before the line is closed.
        heartbeat: The websocket is pinged so often, and the line is given up where half of it passes without a pong.
        tls_verify: Whether the server's certificate is verified; ``ssl_context`` says by what.
        most_message: So many bytes a message from the platform may have.
    """

    host: str
    token: str
    namespace: str = "/pku"
    version: int | None = None
    path: str = "socket.io"
    connect: float = 30.0
    first_retry: float = 0.5
    longest_retry: float = 5.0
    flush: float = 5.0
    heartbeat: float = 10.0
    tls_verify: bool = True
    ssl_context: ssl.SSLContext | None = None
    most_message: int = MOST_MESSAGE

    def __repr__(self) -> str:
        return f"Target({self.shown!r})"

    @property
    def shown(self) -> str:
        """The address and namespace, for people."""
        parts = urlsplit(self.host)
        return f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}{self.namespace}"

    @property
    def url(self) -> str:
        """The address with its query: a secret."""
        parts = urlsplit(self.host)
        query: dict[str, Any] = {"token": self.token}
        if self.version is not None:
            query["version"] = self.version
        return f"{parts.scheme}://{parts.netloc}/?{urlencode(query, quote_via=quote)}"

    @classmethod
    def of(cls, settings: Any, ssl_context: ssl.SSLContext | None = None) -> Self:
        """What the settings of an exchange mean."""
        named = urlsplit(settings.host).path.rstrip("/")
        return cls(
            host=settings.host,
            token=settings.token.get_secret_value(),
            namespace=settings.namespace if "namespace" in settings.model_fields_set or not named else named,
            version=settings.protocol_version or None,
            connect=settings.connect_timeout,
            first_retry=settings.retry_first,
            longest_retry=settings.retry_longest,
            flush=settings.flush_timeout,
            tls_verify=settings.tls_verify,
            ssl_context=ssl_context,
        )

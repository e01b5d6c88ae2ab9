"""HTTP to the service: connections that are kept open, and what their failures mean.

They are those of httpcore2, by which httpx2 speaks HTTP, without the client above them, which keeps cookies: many
sessions share the wire, and each request carries the cookie of its own. The loggers below would tell session ids, in
URLs and headers: of our requests they say nothing.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
import ssl
import zlib
from contextvars import ContextVar
from types import TracebackType
from typing import Final, Self

import anyio.to_thread
import httpcore2
import httpx2

from insession.remote.errors import NotSent, OutcomeLost

from .errors import (
    MOST_RAW,
    SankhyaSettingsError,
    ServiceRequestInaccessibleException,
    ServiceRequestInvalidResponseException,
    ServiceRequestResponseTooLargeException,
)
from .onepiece import OnePieceBackend
from .settings import SankhyaSettings

USER_AGENT: Final = "insession-sankhya/1"
MOST_CONNECTIONS: Final = 100
IDLE: Final = 5.0
"""Seconds that an unused connection is kept: less than any server's, which would close it under a request."""
_HEADERS: Final = {"User-Agent": USER_AGENT, "Accept": "*/*", "Accept-Encoding": "gzip"}
_LOGGERS: Final = ("httpcore2.connection", "httpcore2.http11")
_quiet: Final[ContextVar[bool]] = ContextVar("insession.remote.sankhya.wire", default=False)
"""A request of ours is under way in this task."""
_SECRET: Final = ("MobileLoginSP.", "SessionManagerSP.", "authenticate", "refresh")
"""Beginnings of services whose answers hold session ids or tokens."""
_NOT_SENT: Final = (httpcore2.ConnectError, httpcore2.ConnectTimeout, httpcore2.LocalProtocolError)
_LOST: Final = (httpcore2.NetworkError, httpcore2.TimeoutException, httpcore2.ProtocolError, zlib.error)
_ZLIB_OR_GZIP: Final = 32 + zlib.MAX_WBITS


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """What came back, whole. No repr shows its content."""

    status: int
    content: bytes = dataclasses.field(repr=False)
    headers: httpx2.Headers = dataclasses.field(repr=False)

    @property
    def is_html(self) -> bool:
        """Whether it is a page for people, and no answer of a service."""
        return self.content[:256].lstrip().lower().startswith((b"<!doctype html", b"<html"))


class Wire:
    """Sends requests to one service. ``async with`` opens it, and closes its connections.

    What it raises says whether a request left: `NotSent`, `OutcomeLost`, each with a `ServiceRequestException`, and
    `ServiceRequestResponseTooLargeException` of a request that has run.
    """

    def __init__(self, settings: SankhyaSettings) -> None:
        self.address: str = settings.address
        self.most: int = settings.max_response_bytes
        self._extensions = {"timeout": dict.fromkeys(("connect", "read", "write"), settings.timeout)}
        self._ca_file = settings.ca_file
        self._trust: ssl.SSLContext | None = None
        self._idle: list[httpcore2.AsyncHTTPConnection] = []
        """The last used last. A pool of httpcore2's looks at all of its connections for every request."""
        self._open: set[httpcore2.AsyncHTTPConnection] = set()

    async def __aenter__(self) -> Self:
        # Certificates are read from disk.
        self._trust = await anyio.to_thread.run_sync(self._trusted)
        for name in _LOGGERS:
            logging.getLogger(name).addFilter(_silence)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._trust = None
        while self._open:
            await self._open.pop().aclose()
        self._idle.clear()

    async def send(
        self,
        service: str,
        method: str,
        url: str,
        *,
        content: bytes | None = None,
        headers: dict[str, str],
    ) -> Answer:
        """Send a request once. ``service`` names it in errors; ``url`` is whole, and in none of them."""
        if self._trust is None or len(self._open) - len(self._idle) >= MOST_CONNECTIONS:
            problem = "it is closed" if self._trust is None else "too many requests are under way"
            raise NotSent(f"the connection to the service: {problem}", error=_inaccessible(service, problem))
        parsed = _parsed(url)
        connection = await self._connection(self._trust, parsed.origin)
        quiet = _quiet.set(True)
        try:
            async with connection.stream(
                method, parsed, headers=_raw(_HEADERS | headers), content=content, extensions=self._extensions
            ) as response:
                said = httpx2.Headers(response.headers)
                body = await self._read(service, said, response)
        except _NOT_SENT as error:
            raise self._not_sent(service, error) from None
        except _LOST as error:
            lost = _inaccessible(service, f"the answer of {self.address} was lost ({type(error).__name__})")
            raise OutcomeLost(str(lost), error=lost) from None
        finally:
            _quiet.reset(quiet)
            self._done_with(connection)
        return Answer(response.status, body, said)

    async def _connection(self, trust: ssl.SSLContext, origin: httpcore2.Origin) -> httpcore2.AsyncHTTPConnection:
        """One that is open still, else a new one, which opens itself."""
        while self._idle:
            connection = self._idle.pop()
            if not connection.has_expired():
                return connection
            self._open.discard(connection)
            await connection.aclose()
        # Nobody stands between but whom the settings name: no proxies of the environment.
        made = httpcore2.AsyncHTTPConnection(
            origin, ssl_context=trust, keepalive_expiry=IDLE, network_backend=OnePieceBackend()
        )
        self._open.add(made)
        return made

    def _done_with(self, connection: httpcore2.AsyncHTTPConnection) -> None:
        if connection in self._open and connection.is_available():
            self._idle.append(connection)
        else:
            self._open.discard(connection)

    async def _read(self, service: str, headers: httpx2.Headers, response: httpcore2.Response) -> bytes:
        """The whole body, unpacked; no more of either is kept than is allowed."""
        if int(headers.get("Content-Length") or 0) > self.most:
            raise self._too_large(service, b"")
        packed = headers.get("Content-Encoding", "identity").lower() != "identity"
        unpack = zlib.decompressobj(_ZLIB_OR_GZIP) if packed else None
        parts, size = [], 0
        async for part in response.aiter_stream():
            parts.append(part if unpack is None else unpack.decompress(part, self.most + 1 - size))
            size += len(parts[-1])
            if size > self.most:
                raise self._too_large(service, parts[0])
        if parts and unpack is not None and not unpack.eof:
            raise zlib.error
        return b"".join(parts)

    def _too_large(self, service: str, beginning: bytes) -> Exception:
        return ServiceRequestResponseTooLargeException(
            f"{self.address} answers more than {self.most} bytes; ask for less, or raise max_response_bytes",
            service=service,
        ).with_raw(_shown(service, beginning))

    def _not_sent(self, service: str, error: Exception) -> Exception:
        failure = _inaccessible(service, f"{self.address} cannot be reached: {_reason(error)}")
        # A certificate that is refused now will be refused again.
        return failure if _refused_certificate(error) else NotSent(str(failure), error=failure)

    def _trusted(self) -> ssl.SSLContext:
        if self._ca_file is None:
            return httpx2.create_ssl_context(trust_env=False)
        try:
            return ssl.create_default_context(cafile=str(self._ca_file))
        except OSError as error:
            problem = f"ca_file: {self._ca_file} holds no certificates that can be read ({error.strerror})"
            raise SankhyaSettingsError(problem, ("ca_file",)) from None


@functools.lru_cache(maxsize=1_024)
def _parsed(url: str) -> httpcore2.URL:
    """The same few URLs come again and again, and taking one apart costs more than building the request."""
    parsed = httpx2.URL(url)
    return httpcore2.URL(scheme=parsed.raw_scheme, host=parsed.raw_host, port=parsed.port, target=parsed.raw_path)


def _raw(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in headers.items()]


def _silence(_: logging.LogRecord) -> bool:
    return not _quiet.get()


def unreadable(service: str, answer: Answer, problem: str) -> ServiceRequestInvalidResponseException:
    """The error of an answer that is none of the protocol."""
    error = ServiceRequestInvalidResponseException(f"the answer cannot be read: {problem}", service=service)
    error.with_raw(_shown(service, answer.content))
    return error


def refused_status(service: str, answer: Answer) -> ServiceRequestInaccessibleException:
    """The error of an HTTP status that the protocol does not have."""
    return ServiceRequestInaccessibleException(
        f"answered with HTTP {answer.status}", service=service, status=answer.status
    ).with_raw(_shown(service, answer.content))


def _shown(service: str, content: bytes) -> bytes:
    """The beginning of an answer for an error, unless it may name sessions."""
    return b"" if service.startswith(_SECRET) else content[:MOST_RAW]


def _inaccessible(service: str, problem: str) -> ServiceRequestInaccessibleException:
    return ServiceRequestInaccessibleException(problem, service=service)


def _reason(error: Exception) -> str:
    """Why a connection failed: the innermost cause says it best, and knows no header."""
    text = str(error).strip()
    return f"{type(error).__name__}{f': {text}' if text else ''}"


def _refused_certificate(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False

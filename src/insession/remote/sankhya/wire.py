"""HTTP to the service: connections that are kept open, and what their failures mean.

It is httpx2's transport without its client: no cookies are kept (many sessions share it, and each request carries the
cookie of its own), nothing is redirected, and nobody logs URLs, which hold session ids.
"""

from __future__ import annotations

import dataclasses
import ssl
from collections.abc import Mapping
from types import TracebackType
from typing import Final, Self

import anyio.to_thread
import httpx2

from insession.remote.errors import NotSent, OutcomeLost

from .errors import (
    MOST_RAW,
    SankhyaSettingsError,
    ServiceRequestInaccessibleException,
    ServiceRequestInvalidResponseException,
    ServiceRequestResponseTooLargeException,
)
from .settings import SankhyaSettings

USER_AGENT: Final = "insession-sankhya/1"
MOST_CONNECTIONS: Final = 100
MOST_URLS: Final = 500
_SECRET: Final = ("MobileLoginSP.", "SessionManagerSP.", "authenticate", "refresh")
"""Beginnings of services whose answers hold session ids or tokens."""
_NOT_SENT: Final = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.PoolTimeout,
    httpx2.UnsupportedProtocol,
    httpx2.LocalProtocolError,
)


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
    """Sends requests to one service. ``async with`` opens the transport and closes it.

    What it raises says whether a request left: `NotSent`, `OutcomeLost`, each with a `ServiceRequestException`, and
    `ServiceRequestResponseTooLargeException` of a request that has run.
    """

    def __init__(self, settings: SankhyaSettings) -> None:
        self.address: str = settings.address
        self.most: int = settings.max_response_bytes
        self._ca_file = settings.ca_file
        self._timeouts = {"timeout": httpx2.Timeout(settings.timeout).as_dict()}
        self._urls: dict[str, httpx2.URL] = {}
        self._transport: httpx2.AsyncHTTPTransport | None = None

    async def __aenter__(self) -> Self:
        # Certificates are read from disk.
        self._transport = await anyio.to_thread.run_sync(self._made)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        transport, self._transport = self._transport, None
        if transport is not None:
            await transport.aclose()

    async def send(
        self,
        service: str,
        method: str,
        url: str,
        *,
        content: bytes | None = None,
        headers: Mapping[str, str],
    ) -> Answer:
        """Send a request once. ``service`` names it in errors; ``url`` is whole, and in none of them."""
        transport = self._transport
        if transport is None:
            raise NotSent("the connection to the service is closed", error=_inaccessible(service, "it is closed"))
        try:
            request = httpx2.Request(
                method,
                self._parsed(url),
                content=content,
                headers={"User-Agent": USER_AGENT, "Accept": "*/*", **headers},
                extensions=self._timeouts,
            )
            response = await transport.handle_async_request(request)
            try:
                body = await self._read(service, response)
            finally:
                await response.aclose()
        except _NOT_SENT as error:
            raise self._not_sent(service, error) from None
        except httpx2.HTTPError as error:
            lost = _inaccessible(service, f"the answer of {self.address} was lost ({type(error).__name__})")
            raise OutcomeLost(str(lost), error=lost) from None
        return Answer(response.status_code, body, response.headers)

    def _parsed(self, url: str) -> httpx2.URL:
        """The URL, of which there are few for each session; to take one apart costs as much as to send it."""
        found = self._urls.get(url)
        if found is None:
            if len(self._urls) >= MOST_URLS:
                self._urls.clear()
            found = self._urls[url] = httpx2.URL(url)
        return found

    async def _read(self, service: str, response: httpx2.Response) -> bytes:
        if int(response.headers.get("Content-Length") or 0) <= self.most and "Content-Encoding" not in response.headers:
            if "Content-Length" in response.headers:
                return await response.aread()
        elif "Content-Encoding" not in response.headers:
            raise self._too_large(service, b"")
        parts, size = [], 0
        async for part in response.aiter_bytes():
            parts.append(part)
            size += len(part)
            if size > self.most:
                raise self._too_large(service, parts[0])
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

    def _made(self) -> httpx2.AsyncHTTPTransport:
        verify: ssl.SSLContext | bool = True
        if self._ca_file is not None:
            try:
                verify = ssl.create_default_context(cafile=str(self._ca_file))
            except OSError as error:
                problem = f"ca_file: {self._ca_file} holds no certificates that can be read ({error.strerror})"
                raise SankhyaSettingsError(problem, ("ca_file",)) from None
        return httpx2.AsyncHTTPTransport(
            verify=verify,
            limits=httpx2.Limits(max_connections=MOST_CONNECTIONS, max_keepalive_connections=MOST_CONNECTIONS),
            # Nobody stands between but whom the settings name: no proxies of the environment.
            trust_env=False,
        )


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

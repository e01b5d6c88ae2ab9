"""Files of the second dialect, fetched over HTTP."""

from __future__ import annotations

import asyncio
import random
from typing import Final

import aiohttp

from insession.exchange.contracts import Id
from insession.exchange.errors import DownloadFailed, DownloadTimedOut

OK: Final = 200
_SERVER_ERROR: Final = 500
_TOO_MANY: Final = 429
MOST_FILE: Final = 256 * 1024 * 1024
_AT_ONCE: Final = 8
_CHUNK: Final = 64 * 1024


class Downloads:
    """Fetches files, some at once, each within so many seconds, with as many attempts as fit where that may help."""

    def __init__(self, host: str, token: str, *, seconds: float, tls_verify: bool = True, retry: float = 0.5) -> None:
        self._host = host
        self._token = token
        self._seconds = seconds
        self._verify = tls_verify
        self._retry = retry
        self._http: aiohttp.ClientSession | None = None
        self._places = asyncio.Semaphore(_AT_ONCE)

    async def fetch(self, epicrisis_id: Id) -> bytes:
        """The bytes of a file. Raises `DownloadFailed` and `DownloadTimedOut`; neither shows the address."""
        try:
            async with asyncio.timeout(self._seconds), self._places:
                return await self._fetched(epicrisis_id)
        except TimeoutError:
            raise DownloadTimedOut(self._seconds) from None

    async def _fetched(self, epicrisis_id: Id) -> bytes:
        attempt = 0
        while True:
            try:
                return await self._once(epicrisis_id)
            except DownloadFailed as error:
                if not error.retryable:
                    raise
            await asyncio.sleep(random.uniform(0.0, min(5.0, self._retry * 2**attempt)))  # noqa: S311 - jitter
            attempt += 1

    async def _once(self, epicrisis_id: Id) -> bytes:
        if self._http is None:
            self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None))
        query = {"baselineToken": self._token, "epicrisisId": str(epicrisis_id)}
        try:
            async with self._http.get(self._host, params=query, ssl=self._verify) as answer:
                return await _content(answer)
        except aiohttp.ClientConnectorCertificateError:
            raise DownloadFailed("the server's certificate cannot be verified") from None
        except aiohttp.ClientPayloadError:
            raise DownloadFailed("it broke off before its end", retryable=True) from None
        except (aiohttp.ClientError, OSError) as error:
            # The library's own text holds the address, and with it the token.
            raise DownloadFailed(f"the server cannot be reached ({type(error).__name__})", retryable=True) from None

    async def close(self) -> None:
        """Close what was opened."""
        if self._http is not None:
            await self._http.close()
            self._http = None


async def _content(answer: aiohttp.ClientResponse) -> bytes:
    """The body of a good answer, whole."""
    if answer.status != OK:
        again = answer.status >= _SERVER_ERROR or answer.status == _TOO_MANY
        raise DownloadFailed(f"the server answered {answer.status}", status=answer.status, retryable=again)
    body = bytearray()
    async for chunk in answer.content.iter_chunked(_CHUNK):
        body += chunk
        if len(body) > MOST_FILE:
            raise DownloadFailed(f"it is larger than {MOST_FILE} bytes")
    said = answer.content_length
    if said is not None and said != len(body) and "Content-Encoding" not in answer.headers:
        raise DownloadFailed(f"{len(body)} of {said} bytes came", retryable=True)
    if not body:
        raise DownloadFailed("it is empty")
    return bytes(body)

"""The client over HTTP, for a service that runs elsewhere."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar
from urllib.parse import quote

import httpx2
import msgspec

from insession.errors import ConfigurationError, InsessionError, OutcomeUnknown, StoreUnavailable
from insession.kernel.events import Event, EventType
from insession.kernel.ids import check_id
from insession.kernel.upkeep import Stats
from insession.service.feed import KEEP_ALIVE
from insession.service.log import Logged
from insession.service.problems import Problem
from insession.service.wire import (
    CloseSession,
    Ending,
    Erase,
    Erased,
    History,
    InterruptAll,
    InterruptedAll,
    InterruptSession,
    LockList,
    NodeList,
    OpenSession,
    SessionList,
    SessionView,
)

from .client import Client
from .codes import ServiceProblem

T = TypeVar("T")
_TYPES: Final = frozenset(EventType)
"""Other blocks of the stream are no events: it says good-bye when the service stops."""
TIMEOUT: Final = 10.0
LONG: Final = 600.0
"""So many seconds for what takes as long as there are sessions."""


class RemoteClient:
    """See `Client`."""

    def __init__(self, http: httpx2.AsyncClient, where: str) -> None:
        self._http = http
        self.where = where

    async def find(
        self, *, kind: str | None, owner: str | None, node: str | None, state: str, cursor: str | None, limit: int
    ) -> SessionList:
        query = {"kind": kind, "node": node, "state": state, "cursor": cursor, "limit": limit}
        # Not in the URL: that would end in logs.
        headers = {} if owner is None else {"Insession-Owner": quote(owner)}
        return await self._ask(SessionList, "GET", "/v1/sessions", params=_given(query), headers=headers)

    async def get(self, session_id: str) -> SessionView:
        return await self._ask(SessionView, "GET", f"/v1/sessions/{check_id(session_id)}")

    async def history(self, session_id: str) -> list[Event]:
        answer = await self._ask(History, "GET", f"/v1/sessions/{check_id(session_id)}/history")
        return answer.events

    async def open(self, wanted: OpenSession) -> SessionView:
        return await self._ask(SessionView, "POST", "/v1/sessions", body=wanted)

    async def touch(self, session_id: str) -> SessionView:
        return await self._ask(SessionView, "POST", f"/v1/sessions/{check_id(session_id)}/touch")

    async def close(self, session_id: str, reason: str) -> Ending:
        path = f"/v1/sessions/{check_id(session_id)}/close"
        return await self._ask(Ending, "POST", path, body=CloseSession(reason))

    async def interrupt(self, session_id: str, reason: str, wait: float | None) -> Ending:
        return await self._ask(
            Ending,
            "POST",
            f"/v1/sessions/{check_id(session_id)}/interrupt",
            body=InterruptSession(reason, wait),
            timeout=TIMEOUT + (wait or 0.0),
        )

    async def interrupt_all(self, kind: str | None, owner: str | None, reason: str) -> int:
        body = InterruptAll(kind, owner, reason)
        return (await self._ask(InterruptedAll, "POST", "/v1/interrupt", body=body, timeout=LONG)).interrupted

    async def stats(self) -> Stats:
        return await self._ask(Stats, "GET", "/v1/stats", timeout=LONG)

    async def locks(self, prefix: str, *, cursor: str | None, limit: int) -> LockList:
        query = {"prefix": prefix or None, "cursor": cursor, "limit": limit}
        return await self._ask(LockList, "GET", "/v1/locks", params=_given(query))

    async def nodes(self) -> list[SessionView]:
        return (await self._ask(NodeList, "GET", "/v1/nodes")).nodes

    async def erase(self, owner: str) -> int:
        return (await self._ask(Erased, "POST", "/v1/erase", body=Erase(owner), timeout=LONG)).erased

    async def events(
        self, after: str | None, types: Collection[str] | None, *, follow: bool
    ) -> AsyncGenerator[Logged, None]:
        wanted = None if types is None else ",".join(types)
        query = _given({"after": after, "types": wanted, "follow": str(follow).lower()})
        timeout = httpx2.Timeout(TIMEOUT, read=3 * KEEP_ALIVE)
        try:
            async with self._http.stream("GET", "/v1/events", params=query, timeout=timeout) as answer:
                if answer.status_code != httpx2.codes.OK:
                    raise _problem(await answer.aread(), answer.status_code)
                async for logged in _logged(answer.aiter_bytes()):
                    yield logged
        except httpx2.HTTPError as error:
            raise StoreUnavailable(f"the event stream of {self.where} broke off: {_said(error)}") from None

    async def _ask(self, wanted: type[T], method: str, path: str, *, body: Any = None, **options: Any) -> T:
        content = None if body is None else msgspec.json.encode(body)
        try:
            answer = await self._http.request(method, path, content=content, **options)
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            raise StoreUnavailable(f"no service answers at {self.where}: {_said(error)}") from None
        except httpx2.HTTPError as error:
            raise OutcomeUnknown(f"the answer of {self.where} was lost: {_said(error)}") from None
        if not answer.is_success:
            raise _problem(answer.content, answer.status_code)
        try:
            return msgspec.json.decode(answer.content, type=wanted)
        except msgspec.MsgspecError as error:
            raise ConfigurationError(f"{self.where} does not answer like an insession service: {error}") from None


@asynccontextmanager
async def remote(url: str, token: str | None) -> AsyncIterator[Client]:
    """A client of the service at a URL, which shows it a bearer token (RFC 6750)."""
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL as error:
        raise ConfigurationError(f"--url: {error}") from None
    where = str(parsed.copy_with(userinfo=b"")).rstrip("/")
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise ConfigurationError(f"--url: {where!r} is not like http://127.0.0.1:8080")
    if token and not (token.isascii() and token.isprintable() and " " not in token):
        raise ConfigurationError("token: is printable ASCII without blanks")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    # No proxies from the environment: nobody stands between but whom the URL names.
    async with httpx2.AsyncClient(base_url=url, headers=headers, timeout=TIMEOUT, trust_env=False) as http:
        yield RemoteClient(http, where)


async def _logged(chunks: AsyncIterator[bytes]) -> AsyncIterator[Logged]:
    """Server-sent events, told apart by hand: what splits text into lines knows more line ends than the format."""
    fields: dict[bytes, bytes] = {}
    rest = b""
    async for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            field, _, value = line.removesuffix(b"\r").partition(b": ")
            if field:
                fields[field] = value
                continue
            if b"data" in fields and fields[b"event"] != b"goodbye":
                cursor, name = fields[b"id"].decode(), fields[b"event"].decode()
                if name in _TYPES:
                    yield Logged(cursor, msgspec.json.decode(fields[b"data"], type=Event))
                elif name == "trimmed":
                    yield Logged(cursor)
            fields.clear()


def _problem(content: bytes, status: int) -> InsessionError:
    try:
        return ServiceProblem(msgspec.json.decode(content, type=Problem))
    except msgspec.MsgspecError:
        return ConfigurationError(f"it does not answer like an insession service (status {status}); look at --url")


def _given(query: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in query.items() if value is not None}


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__

"""A tiny service with sessions, over TCP: a line of JSON, a line back, one request a connection.

It counts what it receives, and fails as it is told.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections import Counter, defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Self

from insession.remote import (
    Busy,
    Call,
    CredentialsRefused,
    Denied,
    NotSent,
    OutcomeLost,
    ServiceFull,
    SessionGone,
    Ticket,
)

PASSWORD = "correct horse"


class ServiceError(Exception):
    """The service's own refusal."""


@dataclass
class Fault:
    """What happens to one request: ``before`` and ``after`` break the connection, ``say`` answers that instead."""

    before: bool = False
    after: bool = False
    say: str | None = None
    hold: asyncio.Event | None = None


@dataclass
class Tiny:
    """The service. ``faults[operation]`` are those of its next requests."""

    password: str = PASSWORD
    most: int | None = None
    evicts: bool = False
    requests_per_session: int | None = None
    sessions: dict[str, str] = field(default_factory=dict)
    """The tags of those that live, by session id, oldest first."""
    counts: Counter[str] = field(default_factory=Counter)
    faults: defaultdict[str, deque[Fault]] = field(default_factory=lambda: defaultdict(deque))
    always: dict[str, Fault] = field(default_factory=dict)
    saved: list[Any] = field(default_factory=list)
    used: Counter[str] = field(default_factory=Counter)
    seen: list[str] = field(default_factory=list)
    """The session ids of the requests that were executed, in their order."""
    port: int = 0

    async def __aenter__(self) -> Self:
        self._connections: set[asyncio.Task[None]] = set()
        self._busy: Counter[str] = Counter()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._connections:
            task.cancel()
        if self._connections:
            await asyncio.wait(self._connections)
        await self._server.wait_closed()

    def fail(self, operation: str, *faults: Fault) -> None:
        """Plan what happens to the next requests of an operation."""
        self.faults[operation].extend(faults)

    def expire(self) -> None:
        """All sessions are dead."""
        self.sessions.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await self._answered(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._connections.discard(task)
            writer.close()

    async def _answered(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = await reader.readline()
        if not line:
            return
        request = json.loads(line)
        operation = request["operation"]
        self.counts[operation] += 1
        planned = self.faults[operation]
        fault = planned.popleft() if planned else self.always.get(operation, Fault())
        self._enter(operation, request)
        try:
            if fault.hold is not None:
                await fault.hold.wait()
            if fault.before:
                return
            answer = {"status": fault.say} if fault.say else self._done(operation, request)
        finally:
            self._leave(operation, request)
        if not fault.after:
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()

    def _enter(self, operation: str, request: Any) -> None:
        key = "login" if operation == "login" else str(request.get("ref"))
        self._busy[key] += 1
        if operation == "login":
            self._peak("peak_logins", self._busy[key])
        elif self._busy[key] > 1:
            self.counts["overlaps"] += 1

    def _leave(self, operation: str, request: Any) -> None:
        self._busy["login" if operation == "login" else str(request.get("ref"))] -= 1

    def _peak(self, name: str, number: int) -> None:
        self.counts[name] = max(self.counts[name], number)

    def _done(self, operation: str, request: Any) -> dict[str, Any]:
        if operation == "login":
            return self._log_in(request)
        if operation == "lost":
            return {"status": "ok", "answer": [ref for ref, tag in self.sessions.items() if tag == request["tag"]]}
        ref = request["ref"]
        if operation == "logout":
            self.counts["logouts_ok"] += self.sessions.pop(ref, None) is not None
            return {"status": "ok"}
        self.used[ref] += 1
        if self.requests_per_session and self.used[ref] > self.requests_per_session:
            self.sessions.pop(ref, None)
        if ref not in self.sessions:
            return {"status": "gone"}
        self.seen.append(ref)
        if operation == "save":
            self.saved.append(request["value"])
        return {"status": "ok", "answer": request.get("value")}

    def _log_in(self, request: Any) -> dict[str, Any]:
        if request["password"] != self.password:
            self.counts["logins_refused"] += 1
            return {"status": "refused"}
        if self.most is not None and len(self.sessions) >= self.most:
            if not self.evicts:
                self.counts["logins_full"] += 1
                return {"status": "full"}
            del self.sessions[next(iter(self.sessions))]
        ref = secrets.token_hex(12)
        self.sessions[ref] = request["tag"]
        self.counts["logins_ok"] += 1
        self._peak("peak_sessions", len(self.sessions))
        return {"status": "ok", "answer": ref}


REPORTS: dict[str, type[Exception]] = {
    "gone": SessionGone,
    "denied": Denied,
    "refused": CredentialsRefused,
    "full": ServiceFull,
    "busy": Busy,
    "error": ServiceError,
}


class Client:
    """An authenticator and a transport for it."""

    def __init__(self, port: int, *, account: str = "ann", password: str = PASSWORD, service: str = "tiny") -> None:
        self.port = port
        self.service = service
        self.account = account
        self.password = password

    def credentials_digest(self) -> bytes:
        return sha256(f"{self.account}\0{self.password}".encode()).digest()

    async def login(self, tag: str) -> Ticket:
        ref = await self._ask("login", tag=tag, user=self.account, password=self.password)
        return Ticket(ref=ref, user=self.account)

    async def logout(self, ticket: Ticket) -> None:
        await self._ask("logout", ref=ticket.ref)

    async def send(self, call: Call[Any], ticket: Ticket) -> Any:
        return await self._ask(call.service, ref=ticket.ref, value=call.request)

    async def _ask(self, operation: str, **fields: Any) -> Any:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError as error:
            raise NotSent("the tiny service refuses the connection") from error
        try:
            writer.write(json.dumps({"operation": operation, **fields}).encode() + b"\n")
            line = await reader.readline()
        except OSError as error:
            raise OutcomeLost("the connection broke") from error
        finally:
            writer.close()
        if not line.endswith(b"\n"):
            raise OutcomeLost("the connection ended before the answer did")
        answer = json.loads(line)
        if answer["status"] != "ok":
            raise REPORTS[answer["status"]](f"the tiny service says: {answer['status']}")
        return answer.get("answer")


class Searcher(Client):
    """One that may ask the service for sessions by their tag."""

    async def find_lost(self, tag: str) -> Sequence[Ticket]:
        return [Ticket(ref=ref) for ref in await self._ask("lost", tag=tag)]


def find(value: object = "x", **options: Any) -> Call[Any]:
    """A call that may be sent again."""
    return Call(service="find", request=value, idempotent=True, **options)


def save(value: object = "x", **options: Any) -> Call[Any]:
    """A call that may not."""
    return Call(service="save", request=value, **options)

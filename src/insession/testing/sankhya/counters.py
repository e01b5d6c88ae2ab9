"""What the double has counted, and the log of requests."""

from __future__ import annotations

import hashlib
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import msgspec

LOGGED: Final = 20_000
"""Requests that the log keeps; of each, so many bytes of the body."""
LOGGED_BODY: Final = 65_536


class Counters(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot; every number is since the start, or since `SankhyaDouble.reset_counters`."""

    logins_attempted: int = 0
    logins_ok: int = 0
    logins_refused: int = 0
    """Wrong credentials, or an expired user."""
    logins_refused_limit: int = 0
    logouts: int = 0
    """Of live sessions."""
    logouts_unknown: int = 0
    """Of sessions that were dead already, or never lived."""
    live_sessions: int = 0
    peak_live_sessions: int = 0
    orphans: int = 0
    """Live sessions none of whose connections is open any more: nobody is left to log them out. A client that closes
    idle connections makes some for a while; when all clients have ended it is exact."""
    expirations: int = 0
    evictions: int = 0
    kills: int = 0
    """By `SessionManagerSP.killSession`."""
    peak_concurrent_logins: int = 0
    peak_concurrent_requests: int = 0
    saves_received: int = 0
    """Every save that arrived, also those that were not run."""
    saves_executed: int = 0
    duplicate_saves: int = 0
    """Saves run again with the same rows and key."""
    overlaps: int = 0
    """Requests that arrived while another one of the same session was under way."""
    violations: tuple[str, ...] = ()
    """What a client must not do, a sentence each: no session id in the cookie or in the URL, two different ones, no
    User-Agent, credentials in a URL, a DWR call, the wrong module, a service that is not that of the envelope."""
    authentications: int = 0
    """Of the gateway."""
    refreshes: int = 0
    refresh_reuse: int = 0
    """Refresh tokens that came a second time."""
    received: dict[str, int] = {}
    """Requests by service."""
    executed: dict[str, int] = {}
    cpu_seconds: float = 0.0
    """Of the process that the double runs in, since that began."""


class Exchange(msgspec.Struct, kw_only=True):
    """A request as it came, and what became of it. Its repr shows neither body nor session."""

    number: int
    at: float
    """Seconds on the monotonic clock."""
    service: str
    method: str = "POST"
    path: str = ""
    session: str = ""
    """The id that came along."""
    user_agent: str = ""
    body: bytes = b""
    executed: bool = False
    outcome: str = ""
    """``ok``, ``expired``, ``refused``, or the fault."""

    def __repr__(self) -> str:
        return f"<{self.number} {self.method} {self.service} {self.outcome or 'under way'}>"


class Tally:
    """The numbers while they grow. Only the double's loop writes; any thread may read."""

    def __init__(self) -> None:
        self.numbers: Counter[str] = Counter()
        self.received: Counter[str] = Counter()
        self.executed: Counter[str] = Counter()
        self.violations: list[str] = []
        self.log: deque[Exchange] = deque(maxlen=LOGGED)
        self._saves: set[bytes] = set()
        self._under_way: Counter[str] = Counter()
        self._number = 0

    def add(self, name: str, number: int = 1) -> None:
        """Count something."""
        self.numbers[name] += number

    def highest(self, name: str, value: int) -> None:
        """Keep a peak."""
        self.numbers[name] = max(self.numbers[name], value)

    def violate(self, sentence: str) -> None:
        """Note once what a client must not do."""
        if sentence not in self.violations:
            self.violations.append(sentence)

    @contextmanager
    def concurrent(self, peak: str) -> Iterator[None]:
        """Count what is under way at once."""
        self._under_way[peak] += 1
        self.highest(peak, self._under_way[peak])
        try:
            yield
        finally:
            self._under_way[peak] -= 1

    def arrived(self, service: str, *, method: str, path: str, session: str, user_agent: str, body: bytes) -> Exchange:
        """Log a request."""
        self._number += 1
        self.received[service] += 1
        exchange = Exchange(
            number=self._number,
            at=time.monotonic(),
            service=service,
            method=method,
            path=path,
            session=session,
            user_agent=user_agent,
            body=body[:LOGGED_BODY],
        )
        self.log.append(exchange)
        return exchange

    def saved(self, content: str) -> None:
        """Count a save that has run."""
        digest = hashlib.sha256(content.encode()).digest()
        self.add("saves_executed")
        self.add("duplicate_saves", digest in self._saves)
        self._saves.add(digest)

    def reset(self) -> None:
        """Begin again; what has been saved is remembered."""
        self.numbers.clear()
        self.received.clear()
        self.executed.clear()
        self.violations.clear()
        self.log.clear()

    def snapshot(self, *, live: int, orphans: int) -> Counters:
        """The numbers of now."""
        return Counters(
            **dict(self.numbers),
            live_sessions=live,
            orphans=orphans,
            violations=tuple(self.violations),
            received=dict(self.received),
            executed=dict(self.executed),
            cpu_seconds=time.process_time(),
        )

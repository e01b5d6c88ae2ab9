"""What the platform knows, over every restart of its server: tokens, sessions, and what it has counted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec

from .counters import Counters, FileCount
from .dialects import dialect_of
from .held import HeldSession, Tell
from .making import made_up
from .rules import Drop, FileId, PlatformFaults, PlatformFile, PlatformRules, file_bytes

Answer = Callable[[str, str, Mapping[str, Any]], Awaitable[None]]


class PlatformMemory:
    """The protocol's logic. `tell` sends an event to a connection, `lose` loses its line, `task` runs something."""

    def __init__(
        self,
        rules: PlatformRules,
        faults: PlatformFaults,
        files: Sequence[PlatformFile],
        *,
        tell: Tell,
        lose: Callable[[Drop], None],
        task: Callable[[Awaitable[None]], object],
    ) -> None:
        self.rules: PlatformRules = rules
        self.faults: PlatformFaults = faults
        self.counters: Counters = Counters()
        self._files = tuple(files)
        self._dialect = dialect_of(rules)
        self._tell = tell
        self.lose: Callable[[Drop], None] = lose
        self._task = task
        self._sessions: list[tuple[str, HeldSession]] = []
        self._tokens: dict[str, str] = {}
        self._gone: set[str] = set()
        """Connections that are no more: what they still say was under way, and breaks no rule."""
        self._made = 0
        self._contents: dict[str, PlatformFile] = {}
        self._downloads: set[str] = set()
        self._events: dict[str, Answer] = {
            "session-start": self._start,
            "session-reconnect": self._reconnect,
            self._dialect.result_event: self._result,
            "session-cliend-abort": partial(self._abort, "cliend"),
            "session-client-abort": partial(self._abort, "client"),
        }

    def snapshot(self) -> Counters:
        """What was counted so far, as a copy."""
        held = [session for _, session in self._sessions]
        files = [msgspec.structs.replace(count) for session in held for count in session.counts.values()]
        foreign = sum(session.foreign for session in held)
        return msgspec.json.decode(
            msgspec.json.encode(msgspec.structs.replace(self.counters, files=files, foreign=foreign)), type=Counters
        )

    def active(self, token: str) -> HeldSession | None:
        """The session that this token has now: one at most."""
        return next((one for owner, one in self._sessions if owner == token and one.outcome is None), None)

    def _latest(self, token: str) -> HeldSession | None:
        return next((one for owner, one in reversed(self._sessions) if owner == token), None)

    def knows(self, token: str) -> bool:
        """Whether the token is somebody's."""
        return token in self.rules.tokens if self.rules.tokens else token != ""

    async def connected(self, sid: str, token: str) -> None:
        """A known client is there."""
        self._tokens[sid] = token
        session = self._latest(token)
        if session is None or not self.rules.joins:
            return
        if session.outcome is None:
            await self._join(sid, session)
        elif not session.told and self.rules.away == "later":
            await session.tell_end(sid)

    def gone(self, sid: str) -> None:
        """It is not there any more."""
        self._gone.add(sid)
        session = self.active(self._tokens.pop(sid, ""))
        if session is not None:
            session.leave(sid)

    async def heard(self, event: str, sid: str, data: Sequence[Any]) -> None:
        """A client says something."""
        if sid in self._gone:
            return
        token = self._tokens.get(sid)
        answer = self._events.get(event)
        if token is None or answer is None:
            self.counters.violations.append(f"the event {event[:80]!r} is unknown, or came too early")
            return
        payload = data[0] if data and isinstance(data[0], dict) else {}
        if len(data) > 1 or (data and not isinstance(data[0], dict) and data[0] not in {"", None}):
            self.counters.violations.append(f"{event}: the payload is not one object")
        await answer(sid, token, payload)

    async def abort(self, message: str) -> None:
        """The platform ends every active session by force."""
        for token in {owner for owner, _ in self._sessions}:
            session = self.active(token)
            if session is not None and session.end("session-abort"):
                self.counters.closed.append("session-abort")
                if session.joined is not None:
                    await session.tell_end(session.joined, message)

    def download(self, token: str, file_id: str) -> tuple[int, bytes]:
        """Status and content of a file of 2023."""
        self.counters.downloads += 1
        file, session = self._contents.get(file_id), self.active(token)
        if not self.knows(token) or session is None or file is None:
            return 404, b"<html>no such file</html>"
        if session.mishaps.hits(file.id, self.faults.fail_download_every) and file_id not in self._downloads:
            self._downloads.add(file_id)
            return self.faults.download_status, b"<html>this is no file</html>"
        return 200, file_bytes(file.content)

    async def _start(self, sid: str, token: str, asked: Mapping[str, Any]) -> None:
        self.counters.starts.append(dict(asked))
        self.counters.violations += self._dialect.problems_of_start(asked)
        if self.faults.silent_start:
            return
        refusal = self.faults.refuse_start or ("a session is active" if self.active(token) is not None else "")
        if refusal:
            await self._tell(sid, "session-start-error", {"message": refusal})
            return
        session = self._new(asked)
        self._sessions.append((token, session))
        self.counters.sessions.append(session.id)
        await self._tell(sid, "session-start-success", {"sessionId": session.id})
        session.joined = sid
        self._task(self._held(session))

    def _new(self, asked: Mapping[str, Any]) -> HeldSession:
        count, interval = self._dialect.wants(asked)
        wanted = self.rules.count if self.rules.count is not None else count if isinstance(count, int) else 10
        files = self._files or [made_up(self._next_id(), self.rules) for _ in range(wanted)]
        self._contents.update({str(file.id): file for file in files} if self.rules.dialect == "2023" else {})
        spacing = self.rules.interval if self.rules.interval is not None else interval
        return HeldSession(
            self._dialect.session_id(len(self._sessions) + 1),
            files,
            interval=float(spacing) if isinstance(spacing, int | float) else 1.0,
            rules=self.rules,
            faults=self.faults,
            dialect=self._dialect,
            tell=self._tell,
            lose=self.lose,
        )

    def _next_id(self) -> FileId:
        self._made += 1
        return self._dialect.file_id(self._made)

    async def _held(self, session: HeldSession) -> None:
        await session.run()
        if session.outcome in {"finish", "timeout-close"}:
            self.counters.closed.append(session.outcome)

    async def _join(self, sid: str, session: HeldSession) -> None:
        self.counters.joins += 1
        await self._tell(sid, "session-reconnect-success", {"sessionId": session.id})
        await session.join(sid)

    async def _reconnect(self, sid: str, token: str, _: Mapping[str, Any]) -> None:
        self.counters.reconnects += 1
        session = self.active(token)
        if session is None:
            await self._tell(sid, "session-reconnect-error", {"message": "no session is active"})
        elif session.joined == sid:
            await self._tell(sid, "session-reconnect-success", {"sessionId": session.id})
        else:
            await self._join(sid, session)

    async def _abort(self, spelled: str, sid: str, token: str, asked: Mapping[str, Any]) -> None:
        said = asked.get("message")
        self.counters.aborts.append(said if isinstance(said, str) else "")
        if self.faults.silent_abort:
            return
        session = self.active(token)
        refusal = self.faults.refuse_abort or ("" if session is not None else "no session is active")
        if session is None or refusal:
            await self._tell(sid, f"session-{spelled}-abort-error", {"message": refusal})
            return
        session.end("client-abort")
        session.told = True
        self.counters.closed.append("client-abort")
        await self._tell(sid, f"session-{spelled}-abort-success", {"message": "the session is aborted"})

    async def _result(self, sid: str, token: str, data: Mapping[str, Any]) -> None:
        self.counters.results += 1
        session = self.active(token)
        if session is None:
            self.counters.violations.append("a result came with no session active")
            return
        result = self._dialect.result(session.id, data)
        self.counters.violations += result.problems
        count = _counted(session, result.file)
        if count is None:
            self.counters.violations.append(f"a result of a file that was not sent: {str(result.file)[:80]!r}")
            return
        verdict = session.judge(count, result.content)
        await self._judged(sid, session, count, verdict)
        session.lose_if_due()

    async def _judged(self, sid: str, session: HeldSession, count: FileCount, verdict: str | None) -> None:
        told = self._dialect.told(session.id, count.id)
        if verdict == "":
            count.acknowledged += 1
            await self._tell(sid, "session-file-send-success", told)
        elif verdict is not None:
            count.refused += 1
            await self._tell(sid, "session-file-send-error", {**told, "message": verdict})


def _counted(session: HeldSession, file: object) -> FileCount | None:
    """The file that a result names, by its id and its type."""
    if isinstance(file, bool) or not isinstance(file, str | int):
        return None
    count = session.counts.get(file)
    return count if count is not None and count.sent and type(count.id) is type(file) else None

"""A desk with a connector of a test's own: what is sent is kept, and verdicts are given as the test says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from insession.exchange.answering import Policy
from insession.exchange.contracts import ExchangeEvent, Id, Outgoing, Received, Resend, Serving, What
from insession.exchange.desk import Desk
from insession.exchange.epicrisis import Epicrisis
from insession.exchange.errors import NotConnectedError
from insession.exchange.files import SessionFiles
from insession.exchange.outcomes import Outcome

SESSION = 17
TOKEN = "participant-1"


class Line:
    """The connector's part: a line that is up or down, and a platform that acknowledges or is silent."""

    def __init__(self, *, acknowledges: bool = True) -> None:
        self.acknowledges = acknowledges
        self.up = True
        self.sent: list[Outgoing] = []
        self.events: list[ExchangeEvent] = []
        self.error: Exception | None = None
        self.desk: Desk | None = None
        self._verdicts: set[asyncio.Task[None]] = set()
        self._news = asyncio.Event()

    async def send(self, outgoing: Outgoing) -> None:
        if not self.up:
            raise NotConnectedError
        if self.error is not None:
            raise self.error
        self.sent.append(outgoing)
        self._news.set()
        if self.acknowledges and self.desk is not None:
            task = asyncio.create_task(self.desk.acknowledged(outgoing.file_id))
            self._verdicts.add(task)
            task.add_done_callback(self._verdicts.discard)

    async def again(self) -> None:
        """A new line stands: what is pending goes."""
        assert self.desk is not None
        await self.desk.resend()

    def tell(self, event: ExchangeEvent) -> None:
        self.events.append(event)
        self._news.set()

    def serving(self, session_id: Id = SESSION, *, resend: Resend = "always", **options: Any) -> Serving:
        # Where a desk is opened again it goes on with its session; one that was started would begin with nothing.
        given: dict[str, Any] = {"dialect": "2021", "joined": True} | options
        return Serving(session_id=session_id, send=self.send, tell=self.tell, resend=resend, **given)

    def of(self, what: What) -> list[ExchangeEvent]:
        return [event for event in self.events if event.what is what]

    async def told(self, what: What, count: int = 1) -> list[ExchangeEvent]:
        """Wait until so many events of a sort came."""
        await self.until(lambda: len(self.of(what)) >= count)
        return self.of(what)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not condition():
                self._news.clear()
                await self._news.wait()

    def answers(self) -> dict[Id, list[str]]:
        """What was sent for each file, in its order."""
        sent: dict[Id, list[str]] = {}
        for outgoing in self.sent:
            sent.setdefault(outgoing.file_id, []).append(outgoing.answer.text.decode())
        return sent


def received(file_id: Id, content: bytes | None = b"<file/>", **options: Any) -> Received:
    return Received(session_id=options.pop("session_id", SESSION), file_id=file_id, content=content, **options)


@asynccontextmanager
async def serving(
    root: Path,
    solution: object,
    *,
    line: Line | None = None,
    store: Any = None,
    policy: Policy | None = None,
    session_id: Id = SESSION,
    outcome: Outcome = Outcome.STOPPED,
    isolation: Any = "auto",
    **options: Any,
) -> AsyncIterator[tuple[Desk, Line]]:
    """A desk that serves a session in a folder, with its store there unless another is given."""
    line = line or Line()
    place = f"sqlite:///{root / 'exchange.db'}" if store is None else store
    desk = Desk(place, solution, participant=TOKEN, root=root, policy=policy, isolation=isolation)
    line.desk = desk
    async with desk:
        await desk.open(line.serving(session_id, **options))
        await line.again()
        yield desk, line
        await desk.close(outcome)


async def echo(epicrisis: Epicrisis) -> str:
    return f"answer to {epicrisis.id}"


class Counting:
    """A solution that waits until it is let go, and knows how many of it run at once."""

    def __init__(self) -> None:
        self.order: list[object] = []
        self.running = 0
        self.most = 0
        self.go = asyncio.Event()

    async def __call__(self, epicrisis: Epicrisis) -> str:
        self.order.append(epicrisis.id)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await self.go.wait()
        finally:
            self.running -= 1
        return f"answer to {epicrisis.id}"


def input_of(root: Path, name: str) -> Path:
    return SessionFiles(root, SESSION).received(name)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def saved_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*.xml")}

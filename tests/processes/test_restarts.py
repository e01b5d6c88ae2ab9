"""Restarts and crashes of the server, and killed connections, under callers: no change is lost or done twice.

What PostgreSQL has committed is in its log on the disk; Valkey promises the same with ``appendfsync always``, which is
how these servers run. Each caller counts in a session of its own, so that its number says which changes were applied.
"""

from __future__ import annotations

import asyncio
import signal
import tempfile
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, Protocol

import pytest

import insession
from insession import CursorTrimmed, Event, OutcomeUnknown, StoreUnavailable
from tests.servers.postgres import PostgresServer, running_server
from tests.servers.valkey import Valkey

from .checking import by_id, check_events, check_positions, whole_log
from .running import DEADLINE

CALLERS: Final = 32
RECOVERY: Final = 2.0
"""Seconds after the server answers again in which every caller has to be served."""
BETWEEN: Final = 5
"""So many changes of each caller before the next blow."""
KILL_POSTGRES: Final = (
    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
    "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
)


class Server(Protocol):
    """One that may be stopped and started again with what it wrote."""

    def start(self) -> None:
        """Start it, and wait until it answers."""

    def stop(self, how: signal.Signals) -> None:
        """Stop it, by its process."""


class Blows:
    """What happens to a server, in turn: an orderly restart, all connections killed, a crash, an absence."""

    def __init__(self, server: Server, stop: signal.Signals, crash: signal.Signals, kill: Callable[[], object]) -> None:
        self._server = server
        self._stop = stop
        self._crash = crash
        self._kill = kill
        self._number = 0

    async def strike(self, refused: asyncio.Event) -> None:
        """The next one; the server answers again when this returns. ``refused``: set when a caller was."""
        place = self._number % 4
        self._number += 1
        if place == 1:
            await asyncio.to_thread(self._kill)
            return
        await asyncio.to_thread(self._server.stop, self._crash if place == 2 else self._stop)
        if place == 3:
            refused.clear()
            await refused.wait()
        await asyncio.to_thread(self._server.start)


def _valkey_blows(server: Valkey) -> Blows:
    def kill() -> None:
        server.ask("CLIENT", "KILL", "TYPE", "pubsub")
        server.ask("CLIENT", "KILL", "TYPE", "normal")

    return Blows(server, signal.SIGTERM, signal.SIGKILL, kill)


def _postgres_blows(server: PostgresServer) -> Blows:
    return Blows(server, signal.SIGINT, signal.SIGQUIT, lambda: server._asked(KILL_POSTGRES))


class Caller:
    """Counts in its session, and finds out what became of a change whose answer it did not get."""

    def __init__(self, session: insession.Session, refusing: asyncio.Event) -> None:
        self.session = session
        self._refusing = refusing
        self.step = 0
        self.served = asyncio.Event()
        self.unknown = 0
        self.refused = 0
        self.done = 0
        self.stopping = False

    async def run(self) -> None:
        """Go on until it is told to stop."""
        while not self.stopping:
            try:
                data = await self.session.update(lambda data: {"step": data["step"] + 1}, event=True)
            except OutcomeUnknown:
                self.unknown += 1
                self.step = await self._there(self.step, self.step + 1)
            except StoreUnavailable:
                # Nothing of it ran.
                self.refused += 1
                self._refusing.set()
                self.step = await self._there(self.step)
            else:
                self.step += 1
                assert data == {"step": self.step}
                self.done += 1
                self.served.set()

    async def _there(self, *expected: int) -> int:
        while True:
            try:
                await self.session.refresh()
            except StoreUnavailable:
                self._refusing.set()
                continue
            step: int = self.session.data["step"]
            assert step in expected
            return step


class Subscriber:
    """Follows the log with its cursor, whatever happens to its connection."""

    def __init__(self, engine: insession.Engine) -> None:
        self._engine = engine
        self.events: dict[int, Event] = {}
        self.trimmed = 0
        self._heard = asyncio.Event()

    async def caught_up(self, number: int) -> None:
        """Wait until it knows so many events."""
        while len(self.events) < number:
            self._heard.clear()
            await self._heard.wait()

    async def run(self) -> None:
        """Follow for ever."""
        cursor: str | None = insession.START
        while True:
            stream = self._engine.events(after=cursor)
            try:
                async for event in stream:
                    # A cursor that was trimmed goes on at the log's beginning.
                    assert self.events.setdefault(event.position, event) == event
                    self._heard.set()
            except CursorTrimmed as error:
                self.trimmed += 1
                cursor = error.cursor
            except StoreUnavailable:
                cursor = stream.cursor


async def _all_served(callers: list[Caller], times: int) -> None:
    for _ in range(times):
        for caller in callers:
            caller.served.clear()
        for caller in callers:
            await caller.served.wait()


async def strike_under_load(url: str, blows: Blows, number: int) -> str:
    """So many blows under 32 callers and a subscriber; what was seen."""
    async with insession.connect(url) as engine, insession.connect(url) as elsewhere:
        refused = asyncio.Event()
        callers = [Caller(await engine.open(owner=f"o{place}", data={"step": 0}), refused) for place in range(CALLERS)]
        subscriber, slowest = Subscriber(elsewhere), 0.0
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(caller.run()) for caller in callers]
            following = group.create_task(subscriber.run())
            loop = asyncio.get_running_loop()
            for _ in range(number):
                async with asyncio.timeout(DEADLINE):
                    await _all_served(callers, BETWEEN)
                    await blows.strike(refused)
                    begin = loop.time()
                    await _all_served(callers, 1)
                    slowest = max(slowest, loop.time() - begin)
            for caller in callers:
                caller.stopping = True
            async with asyncio.timeout(DEADLINE):
                await asyncio.gather(*tasks)
                await _check(engine, callers, subscriber)
            following.cancel()
    assert slowest < RECOVERY, f"{slowest:.2f} s"
    done, unknown = sum(caller.done for caller in callers), sum(caller.unknown for caller in callers)
    none = sum(caller.refused for caller in callers)
    return (
        f"{number} blows, {done:,} changes, {unknown} answers lost, {none} refused, "
        f"subscriber told trimmed {subscriber.trimmed} times, slowest recovery {slowest:.2f} s"
    )


async def _check(engine: insession.Engine, callers: list[Caller], subscriber: Subscriber) -> None:
    found = by_id(log := await whole_log(engine))
    check_positions(log)
    for caller in callers:
        assert await caller._there(caller.step) == caller.step
        check_events(caller.session, found[caller.session.id])
    await subscriber.caught_up(len(log))
    assert [subscriber.events[event.position] for event in log] == log
    assert len(subscriber.events) == len(log)


@asynccontextmanager
async def valkey_of_ours(folder: Path) -> AsyncGenerator[tuple[str, Blows]]:
    """A Valkey that writes everything down before it answers."""
    server = Valkey(folder, "--appendonly", "yes", "--appendfsync", "always")
    server.start()
    try:
        yield f"{server.url}?timeout=1", _valkey_blows(server)
    finally:
        server.stop()


@asynccontextmanager
async def postgres_of_ours(_: Path) -> AsyncGenerator[tuple[str, Blows]]:
    """A PostgreSQL with its own settings, which are safe."""
    with running_server() as server:
        yield server.url(), _postgres_blows(server)


SERVERS: Final = {"valkey": valkey_of_ours, "postgres": postgres_of_ours}


async def strike(name: str, number: int) -> str:
    """So many blows at a server of this sort."""
    with tempfile.TemporaryDirectory(prefix="insession-struck-") as folder:
        async with SERVERS[name](Path(folder)) as (url, blows):
            return await strike_under_load(url, blows, number)


@pytest.mark.processes
@pytest.mark.parametrize("name", list(SERVERS))
async def test_restarts_lose_nothing_and_repeat_nothing(name: str) -> None:
    print(await strike(name, 4))

"""`PlatformDouble`: the platform on a loopback port, in a thread and a loop of its own."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

from .counters import Counters
from .memory import PlatformMemory
from .rules import Drop, PlatformFaults, PlatformFile, PlatformRules
from .server import PlatformServer
from .watching import Watched

T = TypeVar("T")


async def serve(
    rules: PlatformRules,
    faults: PlatformFaults,
    files: Sequence[PlatformFile],
    *,
    host: str,
    port: int,
    started: Callable[[PlatformServer], None],
    stop: asyncio.Event,
) -> None:
    """Serve until `stop`; `started` gets the server when it listens."""
    server = PlatformServer(host, port)
    async with asyncio.TaskGroup() as group:
        tasks = set[asyncio.Task[None]]()

        def task(work: Awaitable[None]) -> None:
            made = group.create_task(_awaited(work))
            tasks.add(made)
            made.add_done_callback(tasks.discard)

        server.memory = PlatformMemory(
            rules, faults, files, tell=server.tell, lose=lambda way: task(server.lose(way)), task=task
        )
        await server.start()
        started(server)
        await stop.wait()
        for made in list(tasks):
            made.cancel()
        await server.stop()


async def _awaited(work: Awaitable[None]) -> None:
    await work


class PlatformDouble(Watched):
    """The platform, for tests and rehearsals: real socket.io over a real socket.

    ::

        with PlatformDouble(rules=PlatformRules(count=20, interval=0.1)) as platform:
            run_my_model(host=platform.url)
            counters = platform.wait_closed()
        assert counters.answered == 20

    ``async with`` does the same without blocking the loop. Its members may be called from any thread.

    Args:
        rules: How it behaves.
        faults: What goes wrong.
        files: What every session sends; by default files are made up.
        host: Where it listens.
        port: 0 takes one that is free.
    """

    def __init__(
        self,
        *,
        rules: PlatformRules | None = None,
        faults: PlatformFaults | None = None,
        files: Sequence[PlatformFile] = (),
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.rules: PlatformRules = rules or PlatformRules()
        self.faults: PlatformFaults = faults or PlatformFaults()
        self.files: tuple[PlatformFile, ...] = tuple(files)
        self._host = host
        self._port = port
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop
        self._server: PlatformServer
        self._stop: asyncio.Event

    @property
    def url(self) -> str:
        """What a participant has in ``HOST``."""
        return f"http://{self._server.host}:{self._server.port}"

    def start(self) -> Self:
        """Listen; returns when it does."""
        began: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._thread = threading.Thread(target=self._run, args=(began,), name="platform double", daemon=True)
        self._thread.start()
        began.result()
        return self

    def stop(self) -> None:
        """Reset every connection and close the port."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
            thread.join()

    def counters(self) -> Counters:
        """What it has seen so far; a copy."""
        return self._called(_now(self._server.memory.snapshot))

    def drop(self, way: Drop) -> None:
        """Lose every client's line in this way; returns when it is done, a restart included."""
        self._called(self._lose(way))

    def abort(self, message: str = "aborted by the operator") -> None:
        """End every active session by force."""
        self._called(self._server.memory.abort(message))

    def _run(self, began: concurrent.futures.Future[None]) -> None:
        try:
            asyncio.run(self._serve(began))
        except BaseException as error:
            if began.done():
                raise
            began.set_exception(error)

    async def _serve(self, began: concurrent.futures.Future[None]) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()

        def started(server: PlatformServer) -> None:
            self._server = server
            began.set_result(None)

        await serve(
            self.rules,
            self.faults,
            self.files,
            host=self._host,
            port=self._port,
            started=started,
            stop=self._stop,
        )

    async def _lose(self, way: Drop) -> None:
        await self._server.lose(way)

    def _called(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        return await asyncio.to_thread(self.start)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.stop)


async def _now(look: Callable[[], T]) -> T:
    return look()

"""The portal: one long-lived event loop that serves the threads of a program."""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from functools import partial
from typing import Any, Final, ParamSpec, Self, TypeVar

import anyio
from anyio.from_thread import BlockingPortal

from insession.errors import CalledAfterFork, CalledFromEventLoop, PortalClosed

from .calls import LOOK, Call, post
from .held import Held

Starting = Future[asyncio.AbstractEventLoop]
Resource = AbstractAsyncContextManager[object]
NAME: Final = "insession-portal"
"""What the thread of a loop of our own is called."""
P = ParamSpec("P")
T = TypeVar("T")


class _Process:
    """This process. Its id is asked for once, and again in the child of a fork: asking costs as much as a flag may."""

    def __init__(self) -> None:
        self.pid: int = os.getpid()
        os.register_at_fork(after_in_child=self._forked)

    def _forked(self) -> None:
        self.pid = os.getpid()


_here: Final = _Process()


class Portal:
    """Runs coroutines for threads, all on one loop: its own, in a thread of its own, or that of an application.

    Whoever offers a blocking form of an asynchronous thing has one portal for it, and forwards one line a verb.

    1. It starts at the first call, never at import, and ends by `close`, at the end of a ``with`` block, else when
       the interpreter exits.
    2. It remembers its process: after a fork every call in the child raises `CalledAfterFork`.
    3. In a thread where a loop runs every call raises `CalledFromEventLoop`.
    4. An exception in the waiting thread (Ctrl-C) cancels the coroutine, and waits for its clean-up before it goes
       on; a second one does not wait.
    5. An application that has a loop hands over its own portal (``bound``): everything then runs on that loop, and
       ends when that portal stops.
    6. Closed stays closed: calls raise `PortalClosed`, and so do those that were under way.

    Args:
        resource: Makes what lives as long as the loop: entered at the start, left at the end. What it raises the first
            call raises, and the next one begins anew.
        bound: An application's portal, running on its loop; it stays open.
    """

    def __init__(self, resource: Callable[[], Resource] | None = None, *, bound: BlockingPortal | None = None) -> None:
        self._resource = resource
        self._bound = bound
        self._deciding = threading.Lock()
        """Held while a start is decided and posted, never by the loop and never while anything opens or closes."""
        self._pid: int | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._starting: Starting | None = None
        self._stopping: asyncio.Event | None = None
        self._ended: threading.Event | None = None
        self._failure: Exception | None = None
        self._thread: threading.Thread | None = None
        self._closed = False
        self._calls: set[Call[Any]] = set()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def closed(self) -> bool:
        """Whether it has ended."""
        return self._closed

    def start(self) -> asyncio.AbstractEventLoop:
        """Make sure that it runs; the loop."""
        self.check()
        _refuse_loops()
        return self._loop or self._started()

    def check(self) -> None:
        """Raise if nothing that belongs to this portal can be believed any more: after a fork, and after the end."""
        if self._pid is not None and self._pid != _here.pid:
            raise CalledAfterFork
        if self._closed:
            raise PortalClosed

    def call(self, function: Callable[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a coroutine function on the loop, and wait for what comes of it."""
        call = Call(self, self.start(), partial(function, *args, **kwargs))
        try:
            call.post()
            call.wait()
        except BaseException:
            call.abandon()
            raise
        return call.result()

    def hold(self, manager: Callable[[], AbstractAsyncContextManager[T]], *, shielded: bool = False) -> Held[T]:
        """A ``with`` block of a thread inside an asynchronous context manager, see `Held`."""
        return Held(self, manager, shielded=shielded)

    def close(self) -> None:
        """End everything, and wait for it; a second call does nothing. In a child of a fork it does nothing at all.

        Raises what the resource raised at its end.
        """
        if self._pid is not None and self._pid != _here.pid:
            return
        _refuse_loops()
        with self._deciding:
            self._closed = True
            starting = self._starting
        if starting is not None and starting.exception() is None:
            self._stop(starting.result())
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def began(self, call: Call[Any]) -> bool:
        """See `Calls`."""
        if self._loop is not None:
            self._calls.add(call)
        return self._loop is not None

    def over(self, call: Call[Any]) -> None:
        """See `Calls`."""
        self._calls.discard(call)

    def _started(self) -> asyncio.AbstractEventLoop:
        """Start it, or wait until whoever was first has."""
        # Before anything that a fork could leave locked in the child.
        self._pid = _here.pid
        with self._deciding:
            if self._closed:
                raise PortalClosed
            starting = self._starting
            if starting is None:
                starting = self._starting = Future()
                try:
                    self._begin(starting)
                except BaseException:
                    if starting.cancel():  # nobody serves it: the next call begins anew
                        self._starting = None
                    raise
        return starting.result()

    def _begin(self, starting: Starting) -> None:
        ended = self._ended = threading.Event()
        if self._bound is None:
            # A daemon: the interpreter's exit must not wait for it before it calls what is registered there.
            self._thread = threading.Thread(target=self._run, args=(starting, ended), daemon=True, name=NAME)
            atexit.register(self.close)
            self._thread.start()
            return
        try:
            serving = self._bound.start_task_soon(self._serve, self._bound, starting, ended)
        except RuntimeError:
            raise PortalClosed from None

        def served(_: Future[None]) -> None:
            if not starting.done():  # it was cancelled before its first step
                starting.set_exception(PortalClosed())

        serving.add_done_callback(served)

    def _run(self, starting: Starting, ended: threading.Event) -> None:
        try:
            asyncio.run(self._alone(starting, ended))
        except RuntimeError:
            # The end of the interpreter may refuse what ends a loop, a thread for one; all that matters is done then.
            if not ended.is_set():
                raise
        finally:
            atexit.unregister(self.close)

    async def _alone(self, starting: Starting, ended: threading.Event) -> None:
        async with BlockingPortal() as portal:
            await self._serve(portal, starting, ended)

    async def _serve(self, portal: BlockingPortal, starting: Starting, ended: threading.Event) -> None:
        """The life of the portal on its loop."""
        if not starting.set_running_or_notify_cancel():
            return
        try:
            # An application's portal that is cancelled is one that stops: what is open is closed in order all the same.
            with anyio.CancelScope(shield=True):
                async with AsyncExitStack() as stack:
                    if self._resource is not None:
                        await stack.enter_async_context(self._resource())
                    self._stopping = asyncio.Event()
                    stack.push_async_callback(self._end_calls)
                    self._loop = asyncio.get_running_loop()
                    starting.set_result(self._loop)
                    await self._until_stopped(portal, self._stopping)
        except Exception as error:  # noqa: BLE001 - whoever starts or closes it is told
            if starting.done():
                self._failure = error
            else:
                self._starting = None  # the next call begins anew
                starting.set_exception(error)
        finally:
            ended.set()
            if not starting.done():
                starting.set_exception(PortalClosed())

    async def _until_stopped(self, portal: BlockingPortal, stopping: asyncio.Event) -> None:
        """Until `close`, or the end of the application's portal."""
        waits = {asyncio.ensure_future(one) for one in (stopping.wait(), portal.sleep_until_stopped())}
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.wait(waits)

    async def _end_calls(self) -> None:
        """Take no more calls, and cancel those that are under way."""
        self._closed, self._loop = True, None
        for call in list(self._calls):
            call.cancel()
        if tasks := [call.task for call in self._calls if call.task is not None]:
            await asyncio.wait(tasks)

    def _stop(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._ended is not None and self._stopping is not None:
            with suppress(PortalClosed):
                post(loop, self._stopping.set)
            while not self._ended.wait(LOOK) and not loop.is_closed():
                pass
        if self._thread is not None:
            self._thread.join()


def _refuse_loops() -> None:
    """Raise in a thread where a loop runs, which the call would hold up."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise CalledFromEventLoop

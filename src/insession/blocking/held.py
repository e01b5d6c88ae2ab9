"""``with`` blocks of threads: an asynchronous context manager is held open on the loop meanwhile."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Generic, TypeVar

import anyio

from insession.errors import ConfigurationError, PortalClosed

from .calls import Call, Latch, post

if TYPE_CHECKING:
    from .portal import Portal

T = TypeVar("T")


class BlockLeft(Exception):
    """Stands on the loop for what is no `Exception` in the thread: Ctrl-C, an exit, a generator that is closed."""


class Held(AbstractContextManager[T], Generic[T]):
    """A block of a thread inside an asynchronous context manager, which one task enters and leaves.

    That task cannot stop the thread: a manager that cancels its block has left it by the time that the block's end
    raises what it raised. With ``shielded`` it is left when the thread is, and ``told`` says that it had cancelled.
    What the block raises the manager sees, and may swallow.
    """

    def __init__(
        self, portal: Portal, manager: Callable[[], AbstractAsyncContextManager[T]], *, shielded: bool = False
    ) -> None:
        self._portal = portal
        self._manager = manager
        self._shielded = shielded
        self._loop: asyncio.AbstractEventLoop | None = None
        self._call: Call[None] | None = None
        self._inside = Latch()
        self._value: list[T] = []
        self._leaving: asyncio.Future[Exception | None] | None = None
        self._left_by: Exception | None = None
        self._seen = False
        """Whether the manager was inside until the thread left, and so sees what the block raised."""
        self.told: bool = False
        """Whether the manager had cancelled its block by the time that the thread left it."""

    def __enter__(self) -> T:
        if self._call is not None:
            raise ConfigurationError("this block has been entered before; make one of its own for every block")
        loop = self._loop = self._portal.start()
        call = self._call = Call(self._portal, loop, self._run)
        call.halfway = self._inside
        try:
            call.post()
            self._inside.wait(loop)
        except BaseException:
            call.abandon()
            raise
        if not self._value:
            call.wait()
            call.result()
            raise PortalClosed(during=True)
        return self._value[0]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        call = self._call
        assert call is not None  # noqa: S101 - whoever leaves has entered
        self._left_by = error if error is None or isinstance(error, Exception) else BlockLeft(repr(error))
        try:
            self._portal.start()
            self._wait(call)
            call.result()
        except Exception as raised:
            # What the block raised goes on, unless the manager has seen it and raised something else.
            if error is None or (self._seen and raised is not self._left_by):
                raise
            error.__traceback__ = trace  # without its way through the loop
            return False
        return self._seen and error is not None and self._left_by is error

    def leave(self) -> None:
        """Leave the block without waiting for it, in any thread: for one that nobody leaves in order."""
        if self._loop is not None:
            with suppress(PortalClosed):
                post(self._loop, self._leave)

    def _wait(self, call: Call[None]) -> None:
        try:
            self.leave()
            call.wait()
        except BaseException:
            call.abandon()
            raise

    def _leave(self) -> None:
        if self._leaving is not None and not self._leaving.done():
            self._leaving.set_result(self._left_by)

    async def _run(self) -> None:
        self._leaving = asyncio.get_running_loop().create_future()
        async with self._manager() as value:
            self._value.append(value)
            self._inside.open()
            with anyio.CancelScope(shield=self._shielded):
                left_by = await self._leaving
            self._seen = True
            self.told = anyio.current_effective_deadline() == -math.inf
            if left_by is not None:
                raise left_by

"""One call: its handler runs in a task of its own for the session, and the client hears how that ended."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, Final, NoReturn

import grpc

from insession.errors import InsessionError, SessionEnded
from insession.kernel.record import State
from insession.tracking import LiveSession, SessionManager
from insession.tracking.logs import logger

from . import statuses
from .context import CallContext

Handler = Callable[[Any, Any], Awaitable[Any]]
"""A handler that writes its messages itself, where it streams."""
COMPLETED: Final = "completed"
CLIENT_CANCELLED: Final = "client_cancelled"
DEADLINE: Final = "deadline"
ERROR: Final = "error"
_LATE: Final = 0.02
_ROUNDED: Final = 0.011


class Tasks:
    """Tasks that outlive who began them, and are not lost."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def begin(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """A task that runs on whoever waits for it."""
        task = asyncio.create_task(coroutine)
        self.keep(task)
        return task

    def keep(self, task: asyncio.Task[Any]) -> None:
        """Keep a task until it is done, and look at its failure."""
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()


class Call:
    """A call with its session, from the session's beginning to its end."""

    def __init__(
        self,
        manager: SessionManager,
        live: LiveSession,
        context: CallContext,
        codes: Mapping[str, grpc.StatusCode],
        tasks: Tasks,
    ) -> None:
        self.live: LiveSession = live
        self._manager = manager
        self._context = context
        self._codes = codes
        self._tasks = tasks
        self._allowed: float | None = context.time_remaining()

    async def answer(self, handler: Handler, request: Any) -> Any:
        """Run the handler, end the session, and give its response; else abort with a status and a reason."""
        work = self._tasks.begin(self._run(handler, request))
        ended = self._tasks.begin(self._manager.wait_ended(self.live))
        try:
            await asyncio.wait({work, ended}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                # It was cancelled with its session. What goes on longer than it may is left alone: nobody can kill it.
                lost = ended.exception() is not None
                await asyncio.wait({work}, timeout=None if lost else self._grace)
        except asyncio.CancelledError:
            await self._leave(work)
            raise
        finally:
            ended.cancel()
        return await self._outcome(work)

    async def _run(self, handler: Handler, request: Any) -> Any:
        async with self._manager.running(self.live):
            return await handler(request, self._context)

    @property
    def _grace(self) -> float:
        return float(self._manager.get_interrupt_timeout())

    async def _leave(self, work: asyncio.Task[Any]) -> None:
        """The client has gone, or its deadline has passed."""
        try:
            await self.end(self._why_cancelled())
        finally:
            work.cancel()  # the session's end has done that, unless the store failed
            work.add_done_callback(self._too_late)

    def _why_cancelled(self) -> str:
        """Grpc does not say: the deadline, where the time is up.

        The client gives up at its deadline, a way to here earlier than ours; ours was rounded up by at most 1 % (the
        gRPC wire format's timeout has few digits here).
        """
        remaining = self._context.time_remaining()
        if remaining is None or self._allowed is None:
            return CLIENT_CANCELLED
        return DEADLINE if remaining <= _LATE + _ROUNDED * self._allowed else CLIENT_CANCELLED

    def _too_late(self, work: asyncio.Task[Any]) -> None:
        error = None if work.cancelled() else work.exception()
        if error is not None and not isinstance(error, SessionEnded | grpc.aio.AbortError):
            logger().error("the handler of %s failed after its call was over", self._context.method, exc_info=error)

    async def _outcome(self, work: asyncio.Task[Any]) -> Any:
        if not work.done():
            work.add_done_callback(self._too_late)
            await self._tell_ended()
        error = asyncio.CancelledError() if work.cancelled() else work.exception()
        if isinstance(error, SessionEnded) and error.session_id == self.live.id:
            await self._tell_ended()
        if not await self.end(COMPLETED if error is None else ERROR):
            await self._look_for_other_end()
        if error is None:
            return work.result()
        await self._tell_error(error)

    async def end(self, reason: str) -> bool:
        """End the session, unless that has happened; whether this did. A store that fails leaves it to expire."""
        if self.live.state is not State.ACTIVE or not self._manager.is_initialized:
            return False
        # To its end, whoever is cancelled meanwhile: else nobody would end it.
        return await asyncio.shield(self._tasks.begin(self._end(reason)))

    async def _end(self, reason: str) -> bool:
        try:
            return await self._manager.interrupt_session(self.live.id, reason)
        except InsessionError as problem:
            logger().warning("session %s of a call could not be ended: %s", self.live.id, problem)
            return True

    async def _look_for_other_end(self) -> None:
        """Somebody else ended the session while the handler came to its end by itself: that counts."""
        status, _ = await self._how_ended()
        if status in {State.INTERRUPTED.value, State.EXPIRED.value}:
            await self._tell_ended()

    async def _how_ended(self) -> tuple[str, str]:
        known: Mapping[str, Any] = self.live.snapshot()
        if self.live.state is State.ACTIVE and self._manager.is_initialized:
            known = await self._manager.get_session_status(self.live.id) or known
        return known["status"], known["interrupt_reason"] or known["status"]

    async def _tell_ended(self) -> NoReturn:
        status, reason = await self._how_ended()
        code = self._codes.get(reason) or self._codes.get(status) or grpc.StatusCode.ABORTED
        others = self._context.trailing_metadata()
        await self._context.abort(code, reason, statuses.trailing(self.live.id, status, reason, others))
        raise AssertionError  # abort never returns

    async def _tell_error(self, error: BaseException) -> NoReturn:
        """What grpc makes of an error, but for those that it knows nothing of."""
        if isinstance(error, InsessionError):
            await tell(self._context, error)
        if isinstance(error, asyncio.CancelledError):
            # grpc would take that for the client's doing, and never answer it.
            await self._context.abort(grpc.StatusCode.UNKNOWN, "the handler was cancelled")
        raise error


async def tell(context: CallContext, error: InsessionError) -> NoReturn:
    """Abort with the status of an error of ours; what is the server's problem is logged."""
    code, details = statuses.of_error(error)
    if details != str(error):
        logger().error("a call of %s is refused: %s", context.method, error)
    await context.abort(code, details)
    raise AssertionError  # abort never returns

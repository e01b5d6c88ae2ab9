"""The context that handlers behind the interceptor get, and the session of the call that runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextvars import ContextVar
from functools import partial
from typing import Any, Final, NoReturn

from insession.errors import InsessionError
from insession.tracking import LiveSession

current: Final[ContextVar[LiveSession | None]] = ContextVar("insession_grpc_session", default=None)


class NoSession(InsessionError, LookupError):
    """There is no session of a call here."""

    def __init__(self) -> None:
        super().__init__(
            "no session of a gRPC call is here: call current_session() in a handler behind SessionInterceptor, of a"
            " method that is not in skip or own_sessions"
        )


def current_session() -> LiveSession:
    """The session of the call whose handler runs; `NoSession` where there is none."""
    session = current.get()
    if session is None:
        raise NoSession
    return session


def values(context: Any, key: str) -> list[str]:
    """All that the client's metadata says under a key."""
    return [str(value) for name, value in context.invocation_metadata() or () if name == key]


class CallContext:
    """The `grpc.aio.ServicerContext` of a call, all of it, with what it lacks.

    A message that is read or written counts as activity of the client: the session of a stream that flows does not
    expire.
    """

    def __init__(self, context: Any, method: str, user_agent_key: str) -> None:
        self._context = context
        self._first: asyncio.Future[Any] | None = None
        self._aborting: asyncio.Future[Any] | None = None
        self.method: str = method
        """Full name of the method, as in ``/package.Service/Method``."""
        self.user_agent: str | None = next(iter(values(context, user_agent_key)), None)
        """What the client's metadata names as its user agent: mostly a library, never a person."""
        self.session: LiveSession | None = None
        """The session of the call; None where the interceptor makes none."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def active(self) -> None:
        """The client was active."""
        if self.session is not None:
            self.session["interrupt_flag"]  # who reads it is active: written down once in a touch window

    async def read(self) -> Any:
        """See `grpc.aio.ServicerContext.read`."""
        message = await self._context.read()
        self.active()
        return message

    async def write(self, message: Any) -> None:
        """See `grpc.aio.ServicerContext.write`."""
        if self._first is None:
            await self._whole(self._context.write(message))
        else:
            await self._context.write(message)
        self.active()

    async def send_initial_metadata(self, initial_metadata: Any) -> None:
        """See `grpc.aio.ServicerContext.send_initial_metadata`."""
        await self._whole(self._context.send_initial_metadata(initial_metadata))

    async def _whole(self, sending: Coroutine[Any, Any, None]) -> None:
        """Send headers to the end, even where the sender is cancelled.

        grpc takes headers for unsent until they are, so that a status that overtakes them would send them again, which
        fails the call without a word to the client.
        """
        self._first = _kept(sending)
        await asyncio.shield(self._first)

    async def abort(self, code: Any, details: str = "", trailing_metadata: Any = ()) -> NoReturn:
        """See `grpc.aio.ServicerContext.abort`."""
        await self._abort(partial(self._context.abort, code, details, tuple(trailing_metadata)))

    async def abort_with_status(self, status: Any) -> NoReturn:
        """See `grpc.aio.ServicerContext.abort_with_status`."""
        await self._abort(partial(self._context.abort_with_status, status))

    async def _abort(self, abort: Callable[[], Coroutine[Any, Any, None]]) -> NoReturn:
        """A call is aborted once: whoever comes second gets what the first one raises."""
        if self._first is not None and not self._first.done():
            await asyncio.wait({self._first})
        if self._aborting is None:
            self._aborting = _kept(abort())
        await asyncio.shield(self._aborting)
        raise AssertionError  # aborting always raises


class Requests:
    """The messages of a client that streams; each is activity of its session."""

    def __init__(self, source: Any, context: CallContext) -> None:
        self._source = source
        self._context = context

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        message = await anext(self._source)
        self._context.active()
        return message


def _kept(coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """A task whose failure nobody has to look at."""
    task = asyncio.ensure_future(coroutine)
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    return task

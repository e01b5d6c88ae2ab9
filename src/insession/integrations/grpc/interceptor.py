"""The interceptor of a `grpc.aio` server: a session for each call."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import aclosing
from typing import Any, Final

import grpc

from insession.errors import ConfigurationError, InsessionError, InvalidInput
from insession.tracking import LiveSession, NotInitialized, SessionManager

from . import statuses as by_reason
from .call import CLIENT_CANCELLED, Call, Handler, Tasks, tell, tell_lost
from .callers import PEER, Callers, Source
from .context import CallContext, Requests, current

INFRASTRUCTURE: Final = (
    "/grpc.health.v1.Health/",
    "/grpc.reflection.v1.ServerReflection/",
    "/grpc.reflection.v1alpha.ServerReflection/",
)
"""Services whose callers are no clients: load balancers and tools."""
Continuation = Callable[[grpc.HandlerCallDetails], Awaitable["grpc.RpcMethodHandler[Any, Any] | None"]]


class SessionInterceptor(grpc.aio.ServerInterceptor):
    """Makes every call of a `grpc.aio` server a session of a `SessionManager`.

    The session begins before the handler and ends with the call, for one of these reasons: ``completed``; ``error``
    (the handler raised, or aborted); ``client_cancelled`` (also: the connection was lost); ``deadline``; or whatever
    else ended it before. In that case the handler is cancelled, also while it waits, and the client gets a status, the
    reason as details, and both with the session's id in the trailing metadata. A handler that goes on for
    ``interrupt_timeout`` seconds is left behind, and its client told.

    Handlers are coroutine functions, or async generator functions where they stream; what is not is refused at its
    first call. They find their session by `current_session` or ``context.session``, and the client's user agent in
    ``context.user_agent``. Errors of ours that they do not catch become statuses too.

    Args:
        manager: What makes the sessions; initialized by the time of the first call, else calls are ``UNAVAILABLE``.
        hardware_id_from: A metadata key, or a function, plain or async, of request and `CallContext`; the request is
            None where the client streams. A call without a hardware id is refused as ``INVALID_ARGUMENT`` where
            ``require_hardware_id`` is on, else its session has none.
        own_hardware_id: Calls without a hardware id belong to this machine's own instead.
        ip_from: ``peer``, or a function as above, or a metadata key that a proxy of yours sets, such as
            ``x-forwarded-for``: everybody can send it, so only behind a proxy.
        trusted_proxies: How many proxies write such an entry: so many from the end is the client's address.
        user_agent_from: A metadata key.
        context_from: A function as above, for the session's context; else it is the method's name under ``method``.
        own_sessions: Methods whose handlers make sessions themselves, or True for all: they get the context, with
            ``user_agent``, and nothing else is done for them.
        skip: Methods that are let through untouched.
        statuses: Status codes by the reason that ended a session, else by its status; over `STATUSES`.

    Methods are named ``/package.Service/Method``, or ``/package.Service/`` for all of a service.
    """

    def __init__(
        self,
        manager: SessionManager,
        *,
        hardware_id_from: str | Source = "x-hardware-id",
        own_hardware_id: bool = False,
        ip_from: str | Source = PEER,
        trusted_proxies: int = 1,
        user_agent_from: str = "user-agent",
        context_from: Source | None = None,
        own_sessions: bool | Collection[str] = (),
        skip: Collection[str] = INFRASTRUCTURE,
        statuses: Mapping[str, grpc.StatusCode] | None = None,
    ) -> None:
        self._manager = manager
        self._callers = Callers(
            hardware_id_from=hardware_id_from,
            ip_from=ip_from,
            trusted_proxies=trusted_proxies,
            user_agent_from=user_agent_from,
            context_from=context_from,
        )
        self._own_hardware_id = own_hardware_id
        self._own_sessions = ("/",) if own_sessions is True else _methods(own_sessions or (), "own_sessions")
        self._skip = _methods(skip, "skip")
        self._codes = by_reason.checked(statuses)
        self._calls: set[Call] = set()
        self._tasks = Tasks()
        self._stopped: str | None = None

    async def shutdown(self, reason: str = "server_shutdown") -> int:
        """Interrupt the sessions of all calls of this server, and refuse new ones, as ``UNAVAILABLE``.

        To be called before ``server.stop``, which tells clients nothing. Waits at most ``interrupt_timeout`` seconds
        for their handlers. How many it ended; other servers on the same store go on, see
        `SessionManager.interrupt_all_sessions`.
        """
        self._stopped = reason
        self._codes.setdefault(reason, grpc.StatusCode.UNAVAILABLE)
        ended = await asyncio.gather(*(call.end(reason) for call in list(self._calls)))
        return sum(ended)

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """See `grpc.aio.ServerInterceptor`."""
        found = await continuation(handler_call_details)
        method = handler_call_details.method
        if found is None or _among(method, self._skip):
            return found
        return self._wrapped(found, method)

    def _wrapped(self, found: Any, method: str) -> grpc.RpcMethodHandler[Any, Any]:
        name = f"{_manner(found.request_streaming)}_{_manner(found.response_streaming)}"
        handler = _handler(getattr(found, name), method, streams=found.response_streaming)
        answer = self._pass if _among(method, self._own_sessions) else self._answer

        async def behaviour(request: Any, context: Any) -> Any:
            wrapped = CallContext(context, method, self._callers.user_agent_key)
            return await answer(handler, request, wrapped, streamed=found.request_streaming)

        made: grpc.RpcMethodHandler[Any, Any] = getattr(grpc, f"{name}_rpc_method_handler")(
            behaviour,
            request_deserializer=found.request_deserializer,
            response_serializer=found.response_serializer,
        )
        return made

    async def _pass(self, handler: Handler, request: Any, context: CallContext, *, streamed: bool) -> Any:
        del streamed
        try:
            return await handler(request, context)
        except asyncio.CancelledError:
            if (task := asyncio.current_task()) is None or task.cancelling():
                raise  # by the client
            await tell_lost(context)

    async def _answer(self, handler: Handler, request: Any, context: CallContext, *, streamed: bool) -> Any:
        live = await self._opened(None if streamed else request, context)
        context.session = live
        current.set(live)
        call = Call(self._manager, live, context, self._codes, self._tasks)
        self._calls.add(call)
        try:
            if self._stopped is not None:
                await call.end(self._stopped)  # it shut down while the session was being made
            return await call.answer(handler, Requests(request, context) if streamed else request)
        finally:
            self._calls.discard(call)

    async def _opened(self, request: Any, context: CallContext) -> LiveSession:
        if self._stopped is not None:
            await context.abort(self._codes[self._stopped], self._stopped)
        opening: asyncio.Task[LiveSession] | None = None
        try:
            facts = await self._callers.facts(request, context)
            opening = self._tasks.begin(self._open(facts))
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            if opening is not None:
                self._tasks.begin(self._end_unused(opening))
            raise
        except InvalidInput as error:
            await tell(context, self._callers.named(error))
        except InsessionError as error:
            await tell(context, error)

    async def _open(self, facts: dict[str, Any]) -> LiveSession:
        tracker = self._manager.session_tracker
        if tracker is None or not self._manager.is_initialized:
            raise NotInitialized
        if facts["hardware_id"] is None and self._own_hardware_id:
            facts["hardware_id"] = await self._manager.get_hardware_id()
        # Not the manager's own verb: there a session without a hardware id is this machine's.
        return await tracker.create(**facts)

    async def _end_unused(self, opening: asyncio.Task[LiveSession]) -> None:
        """The client went while its session was being made."""
        live = await opening
        await self._manager.interrupt_session(live.id, CLIENT_CANCELLED)


def _manner(streaming: object) -> str:
    return "stream" if streaming else "unary"


def _handler(behaviour: Any, method: str, *, streams: bool) -> Handler:
    """A handler as a coroutine function; `ConfigurationError` for one that is not async."""
    if inspect.iscoroutinefunction(behaviour):
        handler: Handler = behaviour
        return handler  # it reads and writes by its context, where it streams
    if not streams or not inspect.isasyncgenfunction(behaviour):
        raise ConfigurationError(
            f"the handler of {method} is not async, so that an interrupt could not stop it; make it `async def`, or"
            " name it in skip"
        )

    async def write_all(request: Any, context: CallContext) -> None:
        async with aclosing(behaviour(request, context)) as messages:
            async for message in messages:
                await context.write(message)

    return write_all


def _methods(names: object, option: str) -> tuple[str, ...]:
    if isinstance(names, str) or not isinstance(names, Collection):
        raise ConfigurationError(f"{option}: is a list of methods")
    for name in names:
        if not isinstance(name, str) or not name.startswith("/"):
            raise ConfigurationError(f"{option}: {name!r} is no method: /package.Service/Method or /package.Service/")
    return tuple(names)


def _among(method: str, names: tuple[str, ...]) -> bool:
    return any(method.startswith(name) if name.endswith("/") else method == name for name in names)

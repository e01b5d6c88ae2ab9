"""A real `grpc.aio` server behind the interceptor, with handlers of a test's own that speak bytes."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from insession.integrations.grpc import REASON_KEY, SESSION_KEY, STATUS_KEY, SessionInterceptor
from insession.tracking import SessionManager

SERVICE = "test.Calls"
DEVICE = (("x-hardware-id", "one device"),)
ANY_SIZE = (("grpc.max_receive_message_length", -1),)
LIMIT = 20.0
"""Seconds after which a call of a test has failed, whatever it waits for."""
Managers = Callable[..., Awaitable[SessionManager]]


class Served:
    """A server, and a channel to it."""

    def __init__(self, server: grpc.aio.Server, channel: grpc.aio.Channel, interceptor: SessionInterceptor) -> None:
        self.server = server
        self.channel = channel
        self.interceptor = interceptor

    def call(self, manner: str, name: str = "Call", service: str = SERVICE) -> Any:
        """What calls a method: ``manner`` is ``unary_unary`` and so on."""
        return getattr(self.channel, manner)(f"/{service}/{name}")


def method(manner: str, handler: Callable[..., Any]) -> Any:
    """A handler as grpc takes it."""
    return getattr(grpc, f"{manner}_rpc_method_handler")(handler)


@asynccontextmanager
async def served(
    interceptor: SessionInterceptor, *, tcp: bool = False, service: str = SERVICE, **methods: Any
) -> AsyncIterator[Served]:
    """A server on loopback; everything is closed at the end."""
    async with AsyncExitStack() as stack:
        server = grpc.aio.server(interceptors=[interceptor])
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, methods),))
        if tcp:
            target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        else:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="grpc"))
            target = f"unix:{Path(folder) / 'socket'}"
            server.add_insecure_port(target)
        await server.start()
        stack.push_async_callback(server.stop, None)
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(target, ANY_SIZE))
        yield Served(server, channel, interceptor)


def told(error: grpc.aio.AioRpcError) -> tuple[grpc.StatusCode, str | None, dict[str, str]]:
    """Code, details, and our trailing metadata."""
    metadata = dict(tuple(error.trailing_metadata() or ()))
    ours = {key: str(metadata[key]) for key in (SESSION_KEY, STATUS_KEY, REASON_KEY) if key in metadata}
    return error.code(), error.details(), ours


async def failing(call: Awaitable[Any]) -> grpc.aio.AioRpcError:
    """The error that a call ends with."""
    with pytest.raises(grpc.aio.AioRpcError) as info:
        await call
    return info.value


async def only_session(manager: SessionManager) -> dict[str, Any]:
    """The one live session."""
    (session,) = await manager.sessions()
    return session

"""The server of `grpc_interrupts`, in a process of its own: every call is a session, says its id, and waits."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Any

import grpc

from insession.integrations.grpc import CallContext, SessionInterceptor, current_session
from insession.tracking import SessionManager


async def wait(_request: bytes, _context: CallContext) -> AsyncIterator[bytes]:
    yield current_session().id.encode()
    await asyncio.get_running_loop().create_future()


async def serve(url: str, address: str) -> None:
    """Serve until killed; print ``ready``."""
    async with SessionManager({"log_level": "WARNING"}, url) as manager:
        server = grpc.aio.server(interceptors=[SessionInterceptor(manager, own_hardware_id=True)])
        methods: dict[str, Any] = {"Wait": grpc.unary_stream_rpc_method_handler(wait)}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bench.Calls", methods),))
        server.add_insecure_port(address)
        await server.start()
        print("ready", flush=True)
        await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(serve(*sys.argv[1:3]))

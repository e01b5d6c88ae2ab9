"""Speech over gRPC: every listener is a session, and can be stopped from a second terminal.

    python examples/grpc_audio.py serve --store sqlite:///insession.db --address 127.0.0.1:50051
    python examples/grpc_audio.py listen --address 127.0.0.1:50051 --device kitchen "Good morning"
    insession ls --kind device                                     # who listens
    insession interrupt <id> --reason "too loud"                   # the listener is told at once, and why

The server speaks at the pace of speech: while it waits, its handler is cancelled by the interrupt, and
the client gets a status, the reason, and the session's id. SIGTERM ends all streams as "server_shutdown".
A listener that hangs up ends its session as "client_cancelled"; speech that is over, as "completed".
"""

from __future__ import annotations

import argparse
import asyncio
import math
import signal
import struct
from collections.abc import AsyncIterator
from typing import Any

import grpc

from insession.integrations.grpc import SESSION_KEY, SessionInterceptor, current_session
from insession.tracking import SessionManager

SERVICE, METHOD = "audio.Audio", "StreamAudio"
SAMPLES_PER_SECOND = 8_000
CHUNK_SECONDS = 0.1


async def stream_audio(text: bytes, context: Any) -> AsyncIterator[bytes]:
    """The handler: it knows nothing of interrupts. Its `finally` is awaited whatever ends it."""
    session = current_session()
    print(f"{session['hardware_id']} listens with {context.user_agent}, session {session.id}", flush=True)
    try:
        for letter in text.decode():
            yield tone(200 + ord(letter) % 32 * 25)
            await asyncio.sleep(CHUNK_SECONDS)
    finally:
        print(f"session {session.id} is over: {session['interrupt_reason'] or 'all was said'}", flush=True)


def tone(hertz: float) -> bytes:
    """So long a sound, as 16-bit samples: whoever needs speech puts a synthesiser here."""
    times = (number / SAMPLES_PER_SECOND for number in range(int(SAMPLES_PER_SECOND * CHUNK_SECONDS)))
    return b"".join(struct.pack("<h", int(8_000 * math.sin(2 * math.pi * hertz * time))) for time in times)


async def serve(options: argparse.Namespace) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with SessionManager({"max_concurrent_sessions": 1_000}, options.store) as manager:
        interceptor = SessionInterceptor(manager, hardware_id_from="x-hardware-id")
        server = grpc.aio.server(interceptors=[interceptor])
        methods: dict[str, Any] = {METHOD: grpc.unary_stream_rpc_method_handler(stream_audio)}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, methods),))
        port = server.add_insecure_port(options.address)
        await server.start()
        print(f"speech at {options.address.rpartition(':')[0]}:{port}", flush=True)
        await stop.wait()
        # In this order, so that clients hear the reason and not only that the server has gone.
        print(f"{await interceptor.shutdown()} streams ended", flush=True)
        await server.stop(grace=5)


async def listen(options: argparse.Namespace) -> None:
    metadata = (("x-hardware-id", options.device),)
    seconds = 0.0
    async with grpc.aio.insecure_channel(options.address) as channel:
        call: Any = channel.unary_stream(f"/{SERVICE}/{METHOD}")(options.text.encode(), metadata=metadata)
        try:
            async for _ in call:
                seconds += CHUNK_SECONDS
        except grpc.aio.AioRpcError as error:
            session_id = dict(tuple(error.trailing_metadata() or ())).get(SESSION_KEY)
            print(f"{error.code().name} after {seconds:.1f} s: {error.details()} (session {session_id})")
        else:
            print(f"{seconds:.1f} s of speech")


async def main() -> None:
    parser = argparse.ArgumentParser(description="Every listener is a session.")
    commands = parser.add_subparsers(required=True)
    server = commands.add_parser("serve")
    server.add_argument("--store", default="sqlite:///insession.db")
    server.add_argument("--address", default="127.0.0.1:50051")
    server.set_defaults(run=serve)
    client = commands.add_parser("listen")
    client.add_argument("--address", default="127.0.0.1:50051")
    client.add_argument("--device", default="kitchen")
    client.add_argument("text", nargs="?", default="Good morning, this is a long speech. " * 5)
    client.set_defaults(run=listen)
    options = parser.parse_args()
    await options.run(options)


if __name__ == "__main__":
    asyncio.run(main())

"""The guide's stream of speech, word for word, on a real server; also a program, for tests of two processes."""

from __future__ import annotations

import asyncio
import itertools
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import grpc

from insession.integrations.grpc import SessionInterceptor
from insession.tracking import SessionManager
from tests.aliases.sampled import Samples

from .serving import Served, method, served

SERVICE = "audio.Audio"
FULL_NAME = f"/{SERVICE}/StreamAudio"


@asynccontextmanager
async def audio(manager: SessionManager, chunks: int | None = None) -> AsyncIterator[tuple[Served, Any]]:
    """A server of the sample's method, which speaks so long or for ever, and the sample's own server object."""

    async def process_audio(text: str) -> AsyncIterator[bytes]:
        for _ in itertools.count() if chunks is None else range(chunks):
            yield text.encode()
            await asyncio.sleep(0.005)

    said: list[str] = []
    names = await Samples("manager").run("grpc_stream")
    names |= await Samples("manager").run("shutdown", logger=SimpleNamespace(info=said.append))
    program = SimpleNamespace(session_manager=manager, process_audio=process_audio, said=said)
    program.shutdown = lambda: names["shutdown"](program)

    async def stream_audio(request: bytes, context: Any) -> AsyncIterator[bytes]:
        async for chunk in names["StreamAudio"](program, SimpleNamespace(text=request.decode()), context):
            yield chunk

    interceptor = SessionInterceptor(manager, own_sessions=[FULL_NAME])
    async with served(interceptor, service=SERVICE, StreamAudio=method("unary_stream", stream_audio)) as there:
        yield there, program


async def main() -> None:
    """Call a server's stream in this process, and print the session's id and then how the stream ended."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with SessionManager() as manager, audio(manager) as (there, _):
        stream = there.call("unary_stream", "StreamAudio", SERVICE)(b"speech", timeout=60)
        assert await stream.read() == b"speech"
        assert manager.session_tracker is not None
        (session_id,) = manager.session_tracker.active_sessions
        print(session_id, flush=True)
        chunks = 0
        while await stream.read() is not grpc.aio.EOF:
            chunks += 1
        status = await manager.get_session_status(session_id)
        assert status is not None
        print(chunks > 0, await stream.code(), status["status"], status["interrupt_reason"], flush=True)
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(main())
    sys.exit(0)
